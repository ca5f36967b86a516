"""Every fault of the sandbox, over real HTTP, through the asset: a day lands whole, or is refused and left as it was.

A day that has landed and one that has not are read under each fault. Whatever befalls them, the key shows nowhere.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import httpx
import pytest

from topo_pipeline import definitions
from topo_pipeline.defs.resources import Topo
from topo_pipeline.runs import Outcome
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.client import Retries
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import CHECKOUT
from topo_pipeline_tests.defs.conftest import NOW, Bent, Pipeline

OLD, NEW = date(2026, 3, 2), date(2026, 3, 3)
DAYS = [OLD, NEW]
PAGE = 100
# No spelling (percent-encoded, in JSON, in JSON within JSON) changes the core of the key: it is what is searched for.
CORE = "3f9c2e7a41b8"
KEY = f'topo_"test\\{CORE}%'
QUICK = Retries(wait_initial=0.001, wait_max=0.001, wait_jitter=0.0, retry_after_max=0.01)
IMPATIENT = replace(QUICK, attempts=2, attempt_timeout=0.4)

ONCE = {"times": 1}
SECOND_PAGE = {"page": 2}
LASTING = {"crowd", "appearing", "vanishing", "unknown", "nulls", "unreadable"}
"""What stands in the source itself, and not only on the way from it."""


def _error(status: int, message: str, **headers: str) -> dict[str, Any]:
    body = {"status_code": status, "type": "Issue", "message": message, "request_id": f"req_{status}"}
    return {"kind": "answer", "status": status, "body": json.dumps(body), "headers": headers}


def _limit(header: str | None) -> dict[str, Any]:
    return _error(429, "slow down", **({"Retry-After": header} if header else {}))


def _shape(body: object) -> dict[str, Any]:
    return {"kind": "answer", "status": 200, "body": json.dumps(body), "headers": {"X-Request-Id": "req_shape"}}


def _in_turn(*faults: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan under which each request meets one fault after the other, then none: the last that strikes prevails."""
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
    """A plan of faults, and what must be true after it.

    Attributes:
        overhead: requests for activities beyond the pages that the two days need, at most.
        says: what the refusal says.
        added: how many rows the plan adds to each day for good.
        unreadable: whether some rows can't be read.
    """

    plan: list[dict[str, Any]]
    overhead: int
    says: tuple[str, ...] = ()
    added: int = 0
    unreadable: bool = False
    retries: Retries = QUICK


PAGES = 4
"""That the two days need: where each is struck so many times, so many times this many requests are lost."""

LANDS = {
    "errors with a gateway's page": Case(_in_turn(*GATEWAY), len(GATEWAY) * PAGES),
    "rate limits": Case(_in_turn(*LIMITS[:3]), 3 * PAGES),
    "rate limits that make no sense": Case(_in_turn(*LIMITS[3:]), 3 * PAGES),
    "resets, before and in the midst of a body": Case(
        _in_turn({"kind": "reset"}, {"kind": "reset", "midway": True}), 2 * PAGES
    ),
    "a body cut under a right length": Case([{"kind": "cut"} | ONCE], PAGES),
    "a body cut under a wrong length": Case([{"kind": "short"} | ONCE], PAGES),
    "a body that drips": Case([{"kind": "drip", "pause": 0.1} | ONCE | SECOND_PAGE], 2, retries=IMPATIENT),
    "JSON of other shapes": Case(
        _in_turn(*SHAPES), len(SHAPES) * PAGES, retries=replace(QUICK, attempts=len(SHAPES) + 1)
    ),
    "a count that lies once": Case([{"kind": "miscount", "by": 1} | ONCE], 2 * PAGES),
    "a count that lies on the second page": Case([{"kind": "miscount", "by": -1} | SECOND_PAGE], 2 * PAGES),
    "ties in another order at each request": Case([{"kind": "crowd", "count": 80}, {"kind": "ties"}], 20, added=80),
    "a page of ties and more, in another order at each request": Case(
        [{"kind": "crowd", "count": 150}, {"kind": "ties"}], 400, added=150
    ),
    "ids that come on two pages": Case([{"kind": "torn"}], 2 * PAGES),
    "a thousand rows at one instant": Case([{"kind": "crowd", "count": 1000}], 0, added=1000),
    "rows that come between the pages": Case([{"kind": "appearing", "count": 3}], 8, added=3),
    "rows that go between the pages": Case([{"kind": "vanishing", "count": 3}], 8),
    "unknown types, channels and fields": Case([{"kind": "unknown"}], 0),
    "null and missing ids": Case([{"kind": "nulls"}], 0),
    "rows that can't be read": Case([{"kind": "unreadable"}], 0, unreadable=True),
    "nobody tells whose key it is, or what sequences are called": Case(
        [{"kind": "answer", "path": path} for path in ("me", "sequence-templates")], 0
    ),
    "everything at once": Case(
        [
            *_in_turn(_error(429, "slow down"), {"kind": "reset"}),
            {"kind": "torn"},
            {"kind": "crowd", "count": 80},
            {"kind": "ties"},
            {"kind": "unknown"},
            {"kind": "unreadable", "every": 9},
        ],
        60,
        added=80,
        unreadable=True,
    ),
}

GAVE_UP = f"gave no usable answer in {QUICK.attempts} attempts"
FIRST_PAGES = 2 * QUICK.attempts - PAGES
"""Each day's first page is asked for so often, and no other."""
SECOND_PAGES = FIRST_PAGES + 2
AT_ONCE = 1 - PAGES
"""One request, and never again."""

ADVICE = ("again later", "read it again", "check TOPO_", "lacks the scope", "Topo refused the request")

REFUSED = {
    "errors with a gateway's page": Case(
        [GATEWAY[2], *_in_turn(*GATEWAY)], FIRST_PAGES, says=(GAVE_UP, "503: Sorry The gateway is busy")
    ),
    "rate limits": Case(
        [LIMITS[0], *_in_turn(*LIMITS[1:])], FIRST_PAGES, says=(GAVE_UP, "slow down", "request id req_429")
    ),
    "resets": Case([{"kind": "reset"}], FIRST_PAGES, says=(GAVE_UP, "ReadError")),
    "resets in the midst of a body": Case([{"kind": "reset", "midway": True}], FIRST_PAGES, says=(GAVE_UP,)),
    "resets of the second page": Case([{"kind": "reset"} | SECOND_PAGE], SECOND_PAGES, says=(GAVE_UP,)),
    "bodies cut under a right length": Case(
        [{"kind": "cut"}], FIRST_PAGES, says=("answered 200 with no JSON object where one is due",)
    ),
    "bodies cut under a wrong length": Case([{"kind": "short"}], FIRST_PAGES, says=(GAVE_UP, "RemoteProtocolError")),
    "bodies that drip": Case(
        [{"kind": "drip", "pause": 0.1} | SECOND_PAGE],
        2 * (1 + IMPATIENT.attempts) - PAGES,
        says=("gave no usable answer in 2 attempts", "no whole answer within 0.4 s"),
        retries=IMPATIENT,
    ),
    "JSON of other shapes": Case(
        _in_turn(*SHAPES),
        2 * len(SHAPES) - PAGES,
        says=("answered 200 with no `has_more`, in 8 attempts", "request id req_shape"),
        retries=replace(QUICK, attempts=len(SHAPES)),
    ),
    "a count that is one too high": Case([{"kind": "miscount", "by": 1}], 12, says=("1 missing",)),
    "a count that is one too low": Case([{"kind": "miscount", "by": -1}], 12, says=("1 surplus",)),
    "rows that come at every request": Case([{"kind": "appearing", "count": 10_000}], 30, says=("not proved",)),
    "rows of one instant hidden behind their pages": Case(
        [{"kind": "crowd", "count": 250}, {"kind": "torn"}], 400, says=("missing", "not proved")
    ),
    "resets before it is known whose key it is": Case(
        [{"kind": "reset", "path": "me"}], -PAGES, says=(GAVE_UP, "ReadError")
    ),
    "a key refused, and echoed": Case(
        [_error(401, f"who is {KEY}?")], AT_ONCE, says=("check TOPO_API_KEY", "who is [key]?", "request id req_401")
    ),
    "a scope that is missing": Case([_error(403, "no")], AT_ONCE, says=("activities:read", "request id req_403")),
    "a request that is not understood": Case([_error(422, "no")], AT_ONCE, says=("Topo refused", "request id req_422")),
    "a redirect with the key in it": Case(
        [_error(302, "there", Location=f"https://elsewhere.example/{quote(KEY)}")],
        AT_ONCE,
        says=("redirected to elsewhere.example", "check TOPO_API_URL"),
    ),
    "the key in a gateway's page, in every spelling": Case(
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


@dataclass
class Sandbox:
    """The API that is faulty, and what the tests themselves see of it."""

    api: Bent
    world: World
    url: str
    http: httpx.Client

    def plan(self, *faults: dict[str, Any]) -> None:
        """Set the faults from here on."""
        self.http.put("/faults", json=faults).raise_for_status()

    def requests(self) -> int:
        """How often activities were asked for so far."""
        return self.api.asked.count("/v1/activities")

    def truth(self, plan: list[dict[str, Any]], day: date) -> list[Any]:
        """What the source comes to show of a day, as it stands in JSON; read until it moves no more."""
        self.plan(*(fault for fault in plan if fault["kind"] in LASTING))
        reading, before = self._items(day), None
        while reading != before:
            reading, before = self._items(day), reading
        return reading

    def _items(self, day: date) -> list[Any]:
        start = datetime.combine(day, time(), UTC)
        params = {
            "created_at_after": (start - timedelta(milliseconds=1)).isoformat(),
            "created_at_before": (start + timedelta(days=1)).isoformat(),
            "size": PAGE,
            "sort_by": "created_at",
            "sort_order": "asc",
        }
        items: list[Any] = []
        for page in range(1, 30):
            answer = self.http.get("/v1/activities", params=params | {"page": page}).raise_for_status().json()
            items += answer["items"]
            if not answer["has_more"]:
                return items
        raise AssertionError("there is no last page")


def _is_sound(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and bool(item["id"])
        and item["created_at"][0] == "2"
        and isinstance(item["payload"], dict)
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(11, scale=0.1)
    api = Bent(create_app(world, api_key=KEY, now=lambda: NOW))
    headers = {"Authorization": f"Bearer {KEY}"}
    with serve(api) as address, httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
        yield Sandbox(api, world, address, http)


def _pipeline(sandbox: Sandbox, folder: Path, instance: dg.DagsterInstance, retries: Retries = QUICK) -> Pipeline:
    api_url = f"{sandbox.url}/v1"
    settings = Settings(_env_file=None, api_url=api_url, api_key=KEY, requests_per_second=10_000, concurrency=2)
    warehouse = Warehouse(str(folder / "topo.duckdb"))
    resources = {
        "topo": Topo(settings, lambda: NOW, retries),
        "warehouse": warehouse,
        "settings": settings,
        "clock": lambda: NOW,
    }
    return Pipeline(definitions.build(resources), instance, warehouse, sandbox.api, sandbox.world, api_url)


@pytest.fixture(scope="module")
def sound(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse in which the first day has landed, without any fault."""
    folder = tmp_path_factory.mktemp("sound")
    sandbox.plan()
    with dg.DagsterInstance.ephemeral() as instance:
        assert _pipeline(sandbox, folder, instance).backfill([OLD]).problems == ()
    return folder


@dataclass
class Stage:
    """Where a case is played: a warehouse that holds the first day, and a Dagster instance with files."""

    sandbox: Sandbox
    folder: Path
    instance: dg.DagsterInstance
    log: pytest.LogCaptureFixture
    printed: pytest.CaptureFixture[str]
    pipeline: Pipeline = field(init=False)

    def play(self, case: Case) -> tuple[Outcome, int]:
        """Read both days under the case's faults; return what came of it and the requests it took."""
        self.pipeline = _pipeline(self.sandbox, self.folder, self.instance, case.retries)
        self.sandbox.plan(*case.plan)
        before = self.sandbox.requests()
        outcome = self.pipeline.backfill(DAYS)
        return outcome, self.sandbox.requests() - before

    def everything_said(self) -> str:
        """All that is left of the runs: what was printed and logged, Dagster's records and files, the warehouse."""
        [*runs] = self.instance.get_runs()
        assert runs
        entries = [entry for run in runs for entry in self.instance.all_logs(run.run_id)]
        assert entries
        with self.pipeline.warehouse.reader() as connection:
            tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
            rows = [connection.execute(f'FROM "{s}"."{t}"').fetchall() for s, t in tables]  # noqa: S608
        files = [path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file()]
        said: list[Any] = [*self.printed.readouterr(), self.log.text, *(vars(record) for record in self.log.records)]
        said += [*((run, run.tags, run.run_config) for run in runs), *entries, *(entry.to_json() for entry in entries)]
        return "\n".join([*map(str, [*said, *rows, self.pipeline, self.pipeline.definitions.resources]), *files])


@pytest.fixture
def stage(
    sandbox: Sandbox,
    sound: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    caplog.set_level("INFO")
    shutil.copy(sound / "topo.duckdb", tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(CHECKOUT / "topo_pipeline" / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Stage(sandbox, tmp_path, instance, caplog, capfd)


def _landed(pipeline: Pipeline) -> list[list[tuple[Any, ...]]]:
    tables = ("activities", "loads", "activity_changes", "rejects")
    return [pipeline.rows(f"FROM topo.{table} ORDER BY ALL") for table in tables]  # noqa: S608


def _assert_the_key_is_nowhere(stage: Stage) -> None:
    said = stage.everything_said().lower()
    assert "/v1/activities" in said  # the log of requests
    assert "topo__activities" in said  # Dagster's events
    assert CORE not in said


@pytest.mark.parametrize("case", LANDS.values(), ids=LANDS)
def test_under_a_fault_that_can_be_overcome_every_row_lands_once(case: Case, stage: Stage) -> None:
    outcome, requests = stage.play(case)
    _assert_the_key_is_nowhere(stage)
    assert outcome.problems == ()
    assert list(outcome.landed) == DAYS

    needed = 0
    for day in DAYS:
        truth = stage.sandbox.truth(case.plan, day)
        needed += -(-len(truth) // PAGE)
        sound = {item["id"]: item["payload"] for item in truth if _is_sound(item)}
        landed = stage.pipeline.rows(f"SELECT id::VARCHAR, payload FROM topo.activities WHERE day = '{day}'")  # noqa: S608
        assert len(landed) == len(sound)
        assert {id_: json.loads(payload) for id_, payload in landed} == sound
        rejects = stage.pipeline.rows(f"SELECT raw FROM topo.rejects WHERE day = '{day}'")  # noqa: S608
        unreadable = [item for item in truth if not _is_sound(item)]
        assert sorted(json.dumps(json.loads(raw)) for (raw,) in rejects) == sorted(map(json.dumps, unreadable))
        assert bool(unreadable) == case.unreadable
        start = datetime.combine(day, time(), UTC)
        simulated = stage.sandbox.world.activities(start - timedelta(milliseconds=1), start + timedelta(days=1))
        assert len(truth) == len(simulated) + case.added
        assert case.unreadable or {row.id for row in simulated} <= sound.keys()
        [(count, rows, rejected)] = stage.pipeline.rows(
            f"SELECT api_total_count, rows, rejects FROM topo.loads WHERE day = '{day}' AND run_id = '{_run_id(stage)}'"  # noqa: S608
        )
        assert (count, rows, rejected) == (len(truth), len(sound), len(unreadable))
    assert needed <= requests <= needed + case.overhead


def _run_id(stage: Stage) -> str:
    [run_id] = {run.run_id for run in stage.instance.get_runs()}
    return str(run_id)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_under_a_fault_that_lasts_the_days_are_refused_and_left_as_they_were(case: Case, stage: Stage) -> None:
    before = _landed(_pipeline(stage.sandbox, stage.folder, stage.instance))
    outcome, requests = stage.play(case)
    _assert_the_key_is_nowhere(stage)
    assert outcome.landed == ()
    [problem] = outcome.problems
    assert "2 of 2 days did not land" in problem
    assert all(str(day) in problem for day in DAYS)
    assert all(part in problem for part in case.says), problem
    assert any(advice in problem for advice in ADVICE)
    assert "\n" not in problem
    assert _landed(stage.pipeline) == before
    assert requests <= PAGES + case.overhead
