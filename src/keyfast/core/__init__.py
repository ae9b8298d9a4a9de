"""Decisions, pure: values in, verdicts out. No input or output, no clock, no logging."""
