"""What the tests of a process share, ended with their session.

A worker of pytest-xdist is killed soon after it has said that it is done: what is left to the end of the process
may never be removed, and a database cluster takes gigabytes of disk.
"""

from contextlib import ExitStack

UNTIL_THE_SESSION_ENDS = ExitStack()
"""Closed by ``pytest_sessionfinish``; whoever starts something shared registers its removal here."""
