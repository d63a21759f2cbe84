"""Challenge: tries to break the model before the world does; each test with value, interval and limit."""
