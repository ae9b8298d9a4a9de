"""Composition root: builds stores, services and routes, and runs them as processes."""
