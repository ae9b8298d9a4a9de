"""People at endpoints, by the name they log on with, as operating systems spell it."""


def plain_user(text: str) -> str:
    r"""Return a logon name as it is searched: ``CORP\Alice`` and ``alice@corp.example.com`` are ``alice``."""
    bare = text.strip().rpartition("\\")[2]
    return bare.partition("@")[0].lower()
