"""Fakes, real peers and helpers shared by all tests."""
