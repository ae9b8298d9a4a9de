"""The console: pages for the people who run an installation. Rendered here, and whole without a script."""
