"""Builders of the packages that install the agent."""
