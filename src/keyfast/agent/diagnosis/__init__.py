"""Diagnosis on the endpoint: what its collectors see, what that means, and how it is told. Changes nothing."""
