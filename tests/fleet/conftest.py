"""A real domain for the stories."""

from tests.support.domain import account, ad, kerberos, make_account  # noqa: F401 - fixtures
