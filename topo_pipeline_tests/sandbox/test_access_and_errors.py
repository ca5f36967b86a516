"""Access, and the body of errors."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from topo_pipeline_tests.sandbox.conftest import CLIENT, KEY, Api


def assert_is_topo_error(response: httpx.Response, status_code: int, type_: str) -> None:
    body = response.json()
    assert response.status_code == body["status_code"] == status_code
    assert body["type"] == type_
    assert body["message"]
    assert body["request_id"].startswith("req_")
    assert re.fullmatch("[0-9a-f]{32}", body["trace_id"])
    assert re.fullmatch("[0-9a-f]{16}", body["span_id"])
    assert set(body) <= {"status_code", "type", "message", "data", "request_id", "trace_id", "span_id"}
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["activities", "sequence-templates", "me"])
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "missing"),
        ("", "form"),
        ("Bearer", "form"),
        (f"Basic {KEY}", "form"),
        (KEY, "form"),
        ("Bearer topo_wrong", "invalid"),
        (f"Bearer {KEY}x", "invalid"),
        ("Bearer topo_\xe9".encode("latin-1"), "invalid"),
    ],
)
def test_a_missing_malformed_or_wrong_key_is_refused(
    api: Api, path: str, header: str | bytes | None, expected: str
) -> None:
    headers: dict[str, Any] = {} if header is None else {"Authorization": header}
    with httpx.Client(base_url=api.http.base_url, **CLIENT) as stranger:
        response = stranger.get(path, headers=headers)
    assert_is_topo_error(response, 401, "UnauthorizedIssue")
    assert expected in response.json()["message"]
    assert KEY not in response.text


def test_the_key_is_checked_before_the_parameters(api: Api) -> None:
    response = api.http.get("activities?page=0", headers={"Authorization": "Bearer no"})
    assert_is_topo_error(response, 401, "UnauthorizedIssue")


@pytest.mark.parametrize(
    ("path", "scope", "other_path"),
    [
        ("activities", "activities:read", "sequence-templates"),
        ("sequence-templates", "sequences:read", "activities"),
    ],
)
def test_a_missing_scope_is_named(open_sandbox: Callable[..., Api], path: str, scope: str, other_path: str) -> None:
    others = {"activities:read", "sequences:read"} - {scope}
    api = open_sandbox(scopes=others)
    response = api.http.get(path)
    assert_is_topo_error(response, 403, "UnauthorizedIssue")
    assert scope in response.json()["message"]
    assert api.http.get(other_path).status_code == 200
    assert api.page("me")["scopes"] == sorted(others)


@pytest.mark.parametrize("path", ["nothing", "activities/", "activities/1", "../", "../v2/activities"])
def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    assert_is_topo_error(api.http.get(path), 404, "NotFoundIssue")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_get_is_allowed(api: Api, method: str) -> None:
    response = api.http.request(method, "activities")
    assert_is_topo_error(response, 405, "NotFoundIssue")
    assert response.headers["allow"] == "GET"


def test_an_invalid_parameter_is_an_error_with_the_same_fields(api: Api) -> None:
    assert_is_topo_error(api.http.get("activities?size=101"), 400, "ValidationIssue")


def test_every_error_has_its_own_request_id(api: Api) -> None:
    ids = {api.http.get("nothing").json()["request_id"] for _ in range(5)}
    assert len(ids) == 5
