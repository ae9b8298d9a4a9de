"""The Windows package: an MSI with a Python of its own, built here and stamped for every package."""
