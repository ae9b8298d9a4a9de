import copy
import json
import pickle

import pytest

from keyfast.core.secret import Secret


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>30}".format])
def test_it_masks_itself(show):
    assert "hunter2" not in show(Secret(b"hunter2"))


def test_it_is_revealed_on_purpose_only():
    assert Secret(b"hunter2").reveal() == b"hunter2"


def test_it_is_compared_in_constant_time_or_not_at_all():
    assert Secret(b"a").same(Secret(b"a"))
    assert not Secret(b"a").same(Secret(b"b"))
    with pytest.raises(TypeError):
        _ = Secret(b"a") == Secret(b"a")
    with pytest.raises(TypeError):
        hash(Secret(b"a"))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, json.dumps])
def test_it_is_not_serialised_by_accident(leak):
    with pytest.raises(TypeError):
        leak(Secret(b"hunter2"))
