"""The OpenAPI schema: responses to generated requests match it, and it matches the contract."""

from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import KEY

if TYPE_CHECKING:
    from schemathesis import Case
    from schemathesis.specs.openapi.schemas import OpenApiSchema

WORLD = World(scale=0.05, starts=date(2026, 1, 1))
BEARER = {"Authorization": f"Bearer {KEY}"}
# The contract ignores unknown parameters, and access has its own tests.
CONFIG = {
    "seed": 20260114,
    "generation": {"allow-extra-parameters": False, "with-security-parameters": False},
}
FUZZ = settings(max_examples=20)


PATHS = ("/v1/activities", "/v1/sequence-templates", "/v1/me")


@cache
def schema(spelling: Literal["camel", "snake"] = "snake") -> "OpenApiSchema":
    import schemathesis  # noqa: PLC0415 - the import takes a second, and only one test worker needs it
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415

    app = create_app(WORLD, api_key=KEY, now=lambda: datetime(2026, 2, 2, 12, tzinfo=UTC), spelling=spelling)
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


@pytest.mark.parametrize("spelling", ["snake", "camel"])
@pytest.mark.parametrize("path", PATHS)
def test_responses_to_generated_requests_match_the_schema(path: str, spelling: Literal["camel", "snake"]) -> None:
    from schemathesis.generation import GenerationMode  # noqa: PLC0415 - as above

    operation = schema(spelling)[path]["GET"]
    modes = GenerationMode if operation.query else [GenerationMode.POSITIVE]  # without parameters no request is invalid

    @FUZZ
    @given(case=st.one_of([operation.as_strategy(mode) for mode in modes]))
    def fuzz(case: "Case") -> None:
        case.call_and_validate(headers=BEARER)

    fuzz()


def test_every_operation_is_fuzzed() -> None:
    assert set(schema().raw_schema["paths"]) == set(PATHS)


def parameters(path: str) -> dict[str, dict[str, Any]]:
    listed = schema().raw_schema["paths"][path]["get"]["parameters"]
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


def test_the_schema_has_the_parameters_of_the_contract() -> None:
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
def test_the_schema_lists_every_status_and_requires_a_bearer_key(path: str, statuses: set[str]) -> None:
    operation = schema().raw_schema["paths"][path]["get"]
    assert set(operation["responses"]) == statuses
    (requirement,) = operation["security"]
    (scheme,) = (schema().raw_schema["components"]["securitySchemes"][name] for name in requirement)
    assert scheme == {"type": "http", "scheme": "bearer"}
