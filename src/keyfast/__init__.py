"""Keyfast: endpoint-encryption management that never strands an endpoint."""

__version__ = "0.1.0"
