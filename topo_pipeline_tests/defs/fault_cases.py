"""The fault cases: the faults to set and the expected result."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from topo_pipeline.topo_api.client import Retries
from topo_pipeline_tests.defs.conftest import NOW

# No encoding (percent-encoded, in JSON, in JSON within JSON) changes this part of the key, so tests search for it.
CORE = "3f9c2e7a41b8"
KEY = f'topo_"test\\{CORE}%'
QUICK = Retries(wait_initial=0.001, wait_max=0.001, wait_jitter=0.0, retry_after_max=0.01)
# Long enough for a complete response on a slow and busy machine; a case waits this long for each one that is not.
TIMEOUT = 3.0
SHORT_ATTEMPTS = replace(QUICK, attempts=2, attempt_timeout=TIMEOUT)
SHORT_READS = replace(QUICK, attempts=2, read_timeout=TIMEOUT)

ONCE = {"times": 1}
SECOND_PAGE = {"page": 2}


def _error(status: int, message: str, **headers: str) -> dict[str, Any]:
    body = {"status_code": status, "type": "Issue", "message": message, "request_id": f"req_{status}"}
    return {"kind": "answer", "status": status, "body": json.dumps(body), "headers": headers}


def _limit(header: str | None) -> dict[str, Any]:
    return _error(429, "slow down", **({"Retry-After": header} if header else {}))


def _shape(body: object) -> dict[str, Any]:
    return {"kind": "answer", "status": 200, "body": json.dumps(body), "headers": {"X-Request-Id": "req_shape"}}


def _in_turn(*faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan in which each request gets one fault after the other, then none."""
    return [fault | {"times": number} for number, fault in enumerate(faults, 1)][::-1]


GATEWAY = [{"kind": "answer", "status": status} for status in (500, 502, 503, 504)]
LATER = format_datetime(NOW + timedelta(days=400), usegmt=True)
LIMITS = [_limit(header) for header in (None, "0.005", LATER, "9" * 30, "-5", "soon")]
SHAPES = [
    _shape(body)
    for body in (
        [],
        None,
        "sorry",
        {"data": [], "total": 3},
        {"items": {}, "total_count": 0, "total_pages": 0, "has_more": False},
        {"items": [], "total_count": "none", "total_pages": 0, "has_more": False},
        {"items": [], "total_count": -1, "total_pages": 0, "has_more": False},
        {"items": [], "total_count": 0, "total_pages": 0},
    )
]


@dataclass(frozen=True)
class Case:
    """The faults to set and the expected result.

    Attributes:
        overhead: the maximum number of activity requests beyond the pages that the two days need.
        says: what the refusal says.
        added: how many rows the plan adds to each day permanently.
        unreadable: whether some rows can't be read.
    """

    plan: list[dict[str, Any]]
    overhead: int
    says: tuple[str, ...] = ()
    added: int = 0
    unreadable: bool = False
    retries: Retries = QUICK

    @property
    def waits(self) -> bool:
        """Whether it waits for a timeout."""
        return self.retries in (SHORT_ATTEMPTS, SHORT_READS)


ECHOES = 2
PAGES = 4 + ECHOES
"""Requests that the two days need; a fault in each request costs this many more."""


def _optional(fault: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fault in each optional call."""
    return [fault | {"path": path} for path in ("me", "sequence-templates")]


OPTIONAL = {
    "a reset": Case(_optional({"kind": "reset"}), 0),
    "a reset during the body": Case(_optional({"kind": "reset", "midway": True}), 0),
    "a truncated body with a matching length": Case(_optional({"kind": "cut"}), 0),
    "a body shorter than its length": Case(_optional({"kind": "short"}), 0),
    "an error with a gateway's page": Case(_optional({"kind": "answer"}), 0),
    "a gateway's page with status 200": Case(_optional({"kind": "answer", "status": 200}), 0),
    "JSON of the wrong shape": Case(_optional(_shape(["sorry"])), 0),
    "a missing scope": Case(_optional(_error(403, "no")), 0),
    "a missing path": Case(_optional(_error(404, "no")), 0),
    "a rate limit": Case(_optional(_limit("3600")), 0),
    "a redirect to an invalid address": Case(_optional(_error(302, "there", Location="http://xn--a/")), 0),
    "a hang": Case(_optional({"kind": "drip", "pause": 60}), 0, retries=SHORT_ATTEMPTS),
}
"""Each costs the names and one warning per call."""

LANDS = {
    "errors with a gateway's page": Case(_in_turn(*GATEWAY), len(GATEWAY) * PAGES),
    "rate limits": Case(_in_turn(*LIMITS[:3]), 3 * PAGES),
    "rate limits with an invalid Retry-After": Case(_in_turn(*LIMITS[3:]), 3 * PAGES),
    "resets before and during the body": Case(
        _in_turn({"kind": "reset"}, {"kind": "reset", "midway": True}), 2 * PAGES
    ),
    "a truncated body with a matching length": Case([{"kind": "cut"} | ONCE], PAGES),
    "a body shorter than its length": Case([{"kind": "short"} | ONCE], PAGES),
    "a slow body": Case([{"kind": "drip", "pause": 0.1} | ONCE | SECOND_PAGE], 2, retries=SHORT_ATTEMPTS),
    "a body that stalls": Case([{"kind": "drip", "pause": 60} | ONCE | SECOND_PAGE], 2, retries=SHORT_READS),
    "JSON of the wrong shapes": Case(
        _in_turn(*SHAPES), len(SHAPES) * PAGES, retries=replace(QUICK, attempts=len(SHAPES) + 1)
    ),
    "one wrong count": Case([{"kind": "miscount", "by": 1} | ONCE], 2 * PAGES),
    "a wrong count on the second page": Case([{"kind": "miscount", "by": -1} | SECOND_PAGE], 2 * PAGES),
    "ties in another order in each request": Case([{"kind": "crowd", "count": 80}, {"kind": "ties"}], 20, added=80),
    "more than a page of ties, in another order in each request": Case(
        [{"kind": "crowd", "count": 110}, {"kind": "ties"}], 400, added=110
    ),
    "ids on two pages": Case([{"kind": "torn"}], 2 * PAGES),
    "three pages of rows with one timestamp": Case([{"kind": "crowd", "count": 300}], 0, added=300),
    "rows that appear between the pages": Case([{"kind": "appearing", "count": 3}], 8, added=3),
    "rows that vanish between the pages": Case([{"kind": "vanishing", "count": 3}], 8),
    "unknown types, channels and fields": Case([{"kind": "unknown"}], 0),
    "null and missing ids": Case([{"kind": "nulls"}], 0),
    "unreadable rows": Case([{"kind": "unreadable", "every": 40}], 0, unreadable=True),
    **{f"optional calls: {name}": Case(case.plan, 0, retries=case.retries) for name, case in OPTIONAL.items()},
    "rate limits with other statuses": Case(
        _in_turn(
            _error(403, "API rate limit exceeded"),
            _error(400, "Too many requests"),
            _error(408, "no"),
            _error(425, "no"),
        ),
        4 * PAGES,
    ),
    "everything at once": Case(
        [
            *_in_turn(_error(429, "slow down"), {"kind": "reset"}),
            {"kind": "torn"},
            {"kind": "crowd", "count": 80},
            {"kind": "ties"},
            {"kind": "unknown"},
            {"kind": "unreadable", "every": 60},
        ],
        60,
        added=80,
        unreadable=True,
    ),
}

GAVE_UP = f"gave no usable answer in {QUICK.attempts} attempts"
FIRST_PAGES = 2 * QUICK.attempts - PAGES
"""Only the first page of each day is requested, once per attempt."""
SECOND_PAGES = FIRST_PAGES + 2
AT_ONCE = 1 - PAGES
"""There is only one request."""

ADVICE = (
    "again later",
    "If it happens again, contact Topo's support",
    "check TOPO_",
    "lacks the scope",
    "Topo refused the request",
    "--accept-unreadable",
)

REFUSED = {
    "errors with a gateway's page": Case(
        [GATEWAY[2], *_in_turn(*GATEWAY)], FIRST_PAGES, says=(GAVE_UP, "503: Sorry The gateway is busy")
    ),
    "rate limits": Case(
        [LIMITS[0], *_in_turn(*LIMITS[1:])], FIRST_PAGES, says=(GAVE_UP, "slow down", "request id req_429")
    ),
    "resets": Case([{"kind": "reset"}], FIRST_PAGES, says=(GAVE_UP, "ReadError")),
    "resets during the body": Case([{"kind": "reset", "midway": True}], FIRST_PAGES, says=(GAVE_UP,)),
    "resets on the second page": Case([{"kind": "reset"} | SECOND_PAGE], SECOND_PAGES, says=(GAVE_UP,)),
    "truncated bodies with a matching length": Case(
        [{"kind": "cut"}], FIRST_PAGES, says=("answered 200 with something that is not a JSON object",)
    ),
    "bodies shorter than their length": Case([{"kind": "short"}], FIRST_PAGES, says=(GAVE_UP, "RemoteProtocolError")),
    "slow bodies": Case(
        [{"kind": "drip", "pause": 0.1} | SECOND_PAGE],
        2 * (1 + SHORT_ATTEMPTS.attempts) - PAGES,
        says=("gave no usable answer in 2 attempts", f"no complete answer within {TIMEOUT:g} s"),
        retries=SHORT_ATTEMPTS,
    ),
    "bodies that stall": Case(
        [{"kind": "drip", "pause": 60} | SECOND_PAGE],
        2 * (1 + SHORT_READS.attempts) - PAGES,
        says=("gave no usable answer in 2 attempts", "ReadTimeout"),
        retries=SHORT_READS,
    ),
    "JSON of the wrong shapes": Case(
        _in_turn(*SHAPES),
        2 * len(SHAPES) - PAGES,
        says=("answered 200 with no `has_more`, in 8 attempts", "request id req_shape"),
        retries=replace(QUICK, attempts=len(SHAPES)),
    ),
    "too many unreadable rows": Case(
        [{"kind": "unreadable"}], 0, says=("rows that Topo sent can't be read", "--accept-unreadable")
    ),
    "a count that is one too high": Case([{"kind": "miscount", "by": 1}], 12, says=("1 missing",)),
    "a count that is one too low": Case([{"kind": "miscount", "by": -1}], 12, says=("1 too many",)),
    "new rows in every request": Case([{"kind": "appearing", "count": 10_000}], 30, says=("not proved",)),
    "rows with one timestamp that no page shows": Case(
        [{"kind": "crowd", "count": 130}, {"kind": "torn"}], 400, says=("missing", "not proved")
    ),
    "a refused key that is echoed": Case(
        [_error(401, f"who is {KEY}?")], AT_ONCE, says=("check TOPO_API_KEY", "who is [key]?", "request id req_401")
    ),
    "a missing scope": Case([_error(403, "no")], AT_ONCE, says=("activities:read", "request id req_403")),
    "a rejected request": Case([_error(422, "no")], AT_ONCE, says=("Topo refused", "request id req_422")),
    "a rate limit with the status of a missing scope": Case(
        [_error(403, "API rate limit exceeded")], FIRST_PAGES, says=(GAVE_UP, "rate limit", "request id req_403")
    ),
    "a count that is too large to store": Case(
        [_shape({"items": [], "total_count": 10**30, "total_pages": 0, "has_more": False})],
        FIRST_PAGES,
        says=("an invalid `total_count`",),
    ),
    "a key refused by /me": Case([_error(401, "no") | {"path": "me"}], -PAGES, says=("check TOPO_API_KEY",)),
    "an error page made only of tags": Case(
        [{"kind": "answer", "body": "<script" * 16_000}], FIRST_PAGES, says=(GAVE_UP, "503")
    ),
    "a redirect that contains the key": Case(
        [_error(302, "there", Location=f"https://elsewhere.example/{quote(KEY)}")],
        AT_ONCE,
        says=("redirected to elsewhere.example", "check TOPO_API_URL"),
    ),
    "the key in a gateway's page, in every encoding": Case(
        [{"kind": "answer", "body": f"<p>{{authorization}} {quote(KEY, safe='')} {json.dumps(KEY)}</p>"}],
        FIRST_PAGES,
        says=(GAVE_UP, 'Bearer [key] [key] "[key]"'),
    ),
    "the key as a request id": Case(
        [{"kind": "answer", "headers": {"X-Request-Id": "{authorization}", "Retry-After": "{authorization}"}}],
        FIRST_PAGES,
        says=(GAVE_UP, "request id Bearer [key]"),
    ),
}
