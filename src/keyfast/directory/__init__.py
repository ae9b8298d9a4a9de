"""Directories of accounts: Active Directory over LDAP, and the embedded one for sites without it."""
