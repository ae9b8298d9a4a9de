"""The agent: enrols an endpoint once and checks in for ever after, whatever happens in between."""
