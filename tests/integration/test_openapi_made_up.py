"""Requests made up from the admin API's document: whatever is sent, the server neither fails nor answers otherwise."""

from collections.abc import Iterator

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from tests.support.conformity import DOCUMENT, Conformity
from tests.support.town import ACCOUNT, Town

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
EXAMPLES = 10


class Place:
    """A server with something on record, so that not everything made up is about nothing."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.parts = {"endpoints": town.join().record.endpoint_id}
        plan = {"kind": "oauth", "source": f"LOCAL\\{ACCOUNT}"}
        for noun, order in (("packages", {"mode": "oauth"}), ("rotations", plan)):
            made = self.send(method="POST", url=f"http://keyfast/admin/v1/{noun}", json=order)
            self.parts[noun] = made.json()["id"]

    def send(self, **request: object) -> httpx2.Response:
        async def sent() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.town.site._admin.app)
            async with httpx2.AsyncClient(transport=transport) as http:
                return await http.request(**request)

        answer = self.town.run(sent())
        assert isinstance(answer, httpx2.Response)
        return answer

    def try_(self, case: Case) -> httpx2.Response:
        """Send a made-up request as it is."""
        made = case.as_transport_kwargs(base_url="http://keyfast")
        made.pop("cookies", None)
        made["headers"] = {name: value.encode("latin-1", "replace") for name, value in made["headers"].items()}
        if isinstance(made.get("data"), bytes | str):
            made["content"] = made.pop("data")
        return self.send(**made)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    town = Town(tmp_path_factory.mktemp("made-up") / "server", "windows")
    yield Place(town)
    town.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_sent_is_answered_as_the_document_says(place, label, mode):
    operation = OPERATIONS[label]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Case) -> None:
        noun = case.path.split("/")[3] if case.path.startswith("/admin") else ""
        if mode is GenerationMode.POSITIVE and noun in place.parts and "id" in case.path_parameters:
            case.path_parameters["id"] = place.parts[noun]
        answer = place.try_(case)
        assert answer.status_code < 500, answer.text
        Conformity().judge(case.method, case.formatted_path, answer)
        if answer.is_success:
            Conformity().judge_body(case.method, case.formatted_path, case.body)

    holds()
