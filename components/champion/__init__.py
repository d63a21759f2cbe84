"""Champion: candidate and champion on the same test rows, by paired tests."""
