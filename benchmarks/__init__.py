"""Measure check-ins against a static nginx: `make bench`. Never part of the tests."""
