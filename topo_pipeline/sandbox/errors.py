"""Return every error of the sandbox with Topo's error body."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from topo_pipeline.sandbox.wire import Error

VALIDATION, UNAUTHORIZED, NOT_FOUND = "ValidationIssue", "UnauthorizedIssue", "NotFoundIssue"


class Refusal(Exception):
    """Raised to answer a request with an error."""

    def __init__(self, status_code: int, type_: str, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.type = type_
        self.message = message


def answer_errors(app: FastAPI) -> None:
    """Make `app` return refusals, bad parameters and unknown paths with Topo's error body."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    app.add_exception_handler(HTTPException, _no_such_route)


def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for this class alone
    headers = {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else None  # noqa: PLR2004
    return _respond(error.status_code, error.type, error.message, headers=headers)


def _bad_parameters(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    issues = [_issue(fault) for fault in error.errors() if fault["type"] != "none_required"]
    message = "; ".join(f"{issue['parameter']}: {issue['message']}" for issue in issues)
    return _respond(400, VALIDATION, message, data={"issues": issues})


def _issue(fault: dict[str, Any]) -> dict[str, str]:
    _, parameter, *_ = fault["loc"]
    return {"parameter": str(parameter), "message": fault["msg"].removeprefix("Value error, ")}


def _no_such_route(request: Request, error: Exception) -> Response:
    """Answer an unknown path (404) or method (405). Topo documents no type for the latter."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    message = f"there is no {request.method} {request.url.path}"
    return _respond(error.status_code, NOT_FOUND, message, headers=error.headers)


def _respond(
    status_code: int,
    type_: str,
    message: str,
    *,
    data: dict[str, list[dict[str, str]]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    trace = uuid.uuid4().hex
    body = Error(
        status_code=status_code,
        type=type_,
        message=message,
        data=data,
        request_id=f"req_{uuid.uuid4().hex}",
        trace_id=trace,
        span_id=trace[:16],
    )
    return Response(msgspec.json.encode(body), status_code, dict(headers or {}), media_type="application/json")
