"""Requests made up from the admin API's document: whatever is sent, the server neither fails nor answers otherwise."""

from collections.abc import Iterator

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from tests.support.conformity import DOCUMENT, Conformity
from tests.support.town import Town

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
EXAMPLES = 40


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("made-up") / "server", "windows")
    town.join()
    yield town
    town.close()


def send(town: Town, case: Case) -> httpx2.Response:
    """Send a made-up request to the application, as it is."""
    made = case.as_transport_kwargs(base_url="http://keyfast")
    made.pop("cookies", None)
    if isinstance(made.get("data"), bytes | str):
        made["content"] = made.pop("data")

    async def sent() -> httpx2.Response:
        transport = httpx2.ASGITransport(town.site._admin.app)
        async with httpx2.AsyncClient(transport=transport) as http:
            return await http.request(**made)

    answer = town.run(sent())
    assert isinstance(answer, httpx2.Response)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_sent_is_answered_as_the_document_says(town, label, mode):
    operation = OPERATIONS[label]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Case) -> None:
        answer = send(town, case)
        assert answer.status_code < 500, answer.text
        Conformity().judge(case.method, case.formatted_path, answer)
        if answer.is_success:
            Conformity().judge_body(case.method, case.formatted_path, case.body)

    holds()
