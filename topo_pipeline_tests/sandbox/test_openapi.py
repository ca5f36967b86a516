"""The OpenAPI schema, the app and the contract agree: fuzzed from the schema, read against the contract."""

from datetime import UTC, date, datetime
from typing import Any, Literal

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.config import SchemathesisConfig

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import KEY

WORLD = World(scale=0.05, starts=date(2026, 1, 1))
BEARER = {"Authorization": f"Bearer {KEY}"}
# The contract ignores unknown parameters, and access has tests of its own.
CONFIG = {
    "seed": 20260114,
    "generation": {"allow-extra-parameters": False, "with-security-parameters": False},
}
FUZZ = settings(max_examples=20, derandomize=True, deadline=None, database=None)


def load(spelling: Literal["camel", "snake"]) -> Any:
    app = create_app(WORLD, api_key=KEY, now=lambda: datetime(2026, 2, 2, 12, tzinfo=UTC), spelling=spelling)
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


SNAKE, CAMEL = load("snake"), load("camel")


def fuzzed(schema: Any, path: str) -> Any:
    """A test for one operation: of several in one test, pytest-xdist takes all for the first."""

    @schema.include(path=path).parametrize()
    @FUZZ
    def test(case: Any) -> None:
        case.call_and_validate(headers=BEARER)

    return test


test_activities_keep_to_the_snake_schema = fuzzed(SNAKE, "/v1/activities")
test_sequence_templates_keep_to_the_snake_schema = fuzzed(SNAKE, "/v1/sequence-templates")
test_the_key_keeps_to_the_snake_schema = fuzzed(SNAKE, "/v1/me")
test_activities_keep_to_the_camel_schema = fuzzed(CAMEL, "/v1/activities")
test_sequence_templates_keep_to_the_camel_schema = fuzzed(CAMEL, "/v1/sequence-templates")
test_the_key_keeps_to_the_camel_schema = fuzzed(CAMEL, "/v1/me")


def test_every_operation_is_fuzzed() -> None:
    assert set(SNAKE.raw_schema["paths"]) == {"/v1/activities", "/v1/sequence-templates", "/v1/me"}


def parameters(path: str) -> dict[str, dict[str, Any]]:
    listed = SNAKE.raw_schema["paths"][path]["get"]["parameters"]
    assert all(parameter["in"] == "query" and not parameter["required"] for parameter in listed)
    notes = {"title", "description"}
    return {p["name"]: {k: v for k, v in p["schema"].items() if k not in notes} for p in listed}


PAGING = {
    "page": {"type": "integer", "minimum": 1, "default": 1},
    "size": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
    "created_at_after": {"type": "string", "format": "date-time"},
    "created_at_before": {"type": "string", "format": "date-time"},
}
UUID = {"type": "string", "format": "uuid"}


def one_of(text: str, **more: str) -> dict[str, Any]:
    return {"type": "string", "enum": text.split(), **more}


def test_the_schema_names_the_parameters_of_the_contract() -> None:
    events = "SENT REPLIED OPENED LINK_CLICKED ACCEPTED CREATED PAUSED RESUMED STOPPED COMPLETED SKIPPED"
    assert parameters("/v1/activities") == PAGING | {
        "sort_by": {"type": "string", "const": "created_at"},
        "sort_order": one_of("asc desc", default="desc"),
        "person_id": UUID,
        "sequence_id": UUID,
        "sequence_template_id": UUID,
        "resource_type": one_of("MESSAGE INVITATION HOT_LEAD MEETING SEQUENCE_STEP SEQUENCE TASK"),
        "channel": one_of("EMAIL LINKEDIN MANUAL"),
        "event_type": one_of(events),
    }
    assert parameters("/v1/sequence-templates") == PAGING | {
        "sort_by": one_of("created_at updated_at name"),
        "sort_order": one_of("asc desc", default="asc"),
        "name": {"type": "string"},
        "status": one_of("PENDING_SETUP ACTIVE INACTIVE FINISHING ARCHIVED"),
    }


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/v1/activities", {"200", "400", "401", "403"}),
        ("/v1/sequence-templates", {"200", "400", "401", "403"}),
        ("/v1/me", {"200", "401"}),
    ],
)
def test_the_schema_tells_every_answer_and_asks_for_a_bearer_key(path: str, statuses: set[str]) -> None:
    operation = SNAKE.raw_schema["paths"][path]["get"]
    assert set(operation["responses"]) == statuses
    (requirement,) = operation["security"]
    (scheme,) = (SNAKE.raw_schema["components"]["securitySchemes"][name] for name in requirement)
    assert scheme == {"type": "http", "scheme": "bearer"}
