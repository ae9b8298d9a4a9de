"""What somebody looks for, read from a query and written as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.endpoint import EndpointState
from keyfast.core.protection import Disks
from keyfast.core.search import EVERYTHING, MAX_TEXT, Search, read_search
from keyfast.errors import UsageError


def test_what_is_no_field_is_left_to_the_page():
    assert read_search({"after": "x", "limit": "9", "q": "  ", "told": "kept"}) == EVERYTHING
    assert EVERYTHING.query == {}


def test_a_query_says_what_is_looked_for():
    asked = {"q": " pc-1 ", "state": "active", "disks": "exposed", "account": "CORP\\svc", "ring": "lab"}
    found = read_search(asked)
    assert found == Search("pc-1", "", EndpointState.ACTIVE, Disks.EXPOSED, "CORP\\svc", "", "lab")
    assert found.query == asked | {"q": "pc-1"}


@pytest.mark.parametrize("query", [{"state": "asleep"}, {"disks": "maybe"}, {"q": "x" * (MAX_TEXT + 1)}])
def test_what_there_is_not_is_refused(query):
    with pytest.raises(UsageError):
        read_search(query)


_text = st.text(st.characters(codec="utf-8"), max_size=20).map(str.strip)


@given(st.builds(Search, q=_text, name=_text, account=_text, state=st.sampled_from([None, *EndpointState])))
def test_what_is_written_is_read_again(search):
    assert read_search(search.query) == search
