import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core import ids


@given(st.binary(min_size=16, max_size=16))
def test_an_endpoint_id_parses_as_itself(raw):
    made = ids.endpoint_id(raw)
    assert ids.parse_endpoint_id(made) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "3D1219C7-C4C5-404A-AA1F-6D2A48ADFDA4",
        "3d1219c7c4c5404aaa1f6d2a48adfda4",
        "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4\n",
    ],
)
def test_anything_but_the_canonical_form_is_refused(text):
    assert ids.parse_endpoint_id(text) is None
