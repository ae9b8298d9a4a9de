"""One console over real services for the tests of a module."""

import pytest
from tests.support.console import ConsoleTown


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = ConsoleTown(tmp_path_factory.mktemp("town") / "data", "windows")
    made.join()
    yield made
    made.close()
