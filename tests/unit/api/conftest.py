"""One console over real services for the tests of a module."""

import pytest
from tests.support.console import ConsoleTown


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = ConsoleTown(tmp_path_factory.mktemp("town") / "data", "windows")
    made.join()
    yield made
    made.close()


@pytest.fixture
def make_town(tmp_path):
    made = []

    def make(mode):
        made.append(ConsoleTown(tmp_path / f"data-{len(made)}", mode))
        return made[-1]

    yield make
    for town in made:
        town.close()
