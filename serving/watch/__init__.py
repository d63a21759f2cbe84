"""Rules, dashboards and what is made of them."""
