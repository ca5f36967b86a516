"""The contract check against the sandbox with each of its quirks, over real HTTP."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pytest
from msgspec import structs

from topo_pipeline.days import Window
from topo_pipeline.ingest.session import CLOCKS_APART
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.faults import Answer, Fault
from topo_pipeline.sandbox.quirks import Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api import contract, contract_facts, wire
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.contract import ASSUMPTIONS, ContractResult, as_text, check_contract, judge, summary
from topo_pipeline.topo_api.contract_facts import (
    REQUEST_LIMIT,
    TIME_LIMIT,
    Facts,
    Missing,
    Probe,
    Sample,
    gather,
)
from topo_pipeline.topo_api.errors import RequestRefused, TopoUnavailable
from topo_pipeline_tests.sandbox.differences import EXAMPLES

KEY = "topo_contract_0123"
NOW = datetime(2026, 1, 21, 15, tzinfo=UTC)
WORLD = World(scale=0.25)
FAST_RETRIES = {"wait_initial": 0.001, "wait_max": 0.001, "wait_jitter": 0.0}

ZONE, BOUNDS, RESOLUTION = (
    "the time filter uses the times that are shown",
    "time bounds are exclusive",
    "times are to the second",
)
COUNT, ADDITIVE, ORDER = "the count is exact", "counts add up", "rows come in ascending order"
TIES, PAGE_SIZE = "rows with the same time keep their order", "a page holds 100 rows"
AFTER_LAST, HAS_MORE = "a page after the last is empty", "has_more is right"
RESOURCE, EVENT, CHANNEL = (f"the {name} filter works" for name in ("resource", "event", "channel"))
TYPES, CHANNELS, CATEGORIES = (f"every {name} is listed" for name in ("type", "channel", "reply category"))
STEPS, MESSAGES, SPELLING = (
    "sends carry a step number",
    "replies carry a message id",
    "payload fields have a known spelling",
)
ORGANIZATION, NAMES = "the organization is readable", "sequence names are readable"
CLOCKS, LIMITS = "the clocks agree", "no rate limit is announced"

FAR_MINUTES = CLOCKS_APART // 60  # minutes
Deviations = Mapping[str, str]
# A row cannot be requested by its time if another time is shown.
SHIFTED = {ZONE: "differs", BOUNDS: "unknown"}
# Filters and halves are compared by their counts.
MISCOUNTED = {COUNT: "differs", **dict.fromkeys((ADDITIVE, RESOURCE, EVENT, CHANNEL), "unknown")}
EXPECTED: dict[str, Deviations] = {
    "bounds inclusive": {BOUNDS: "differs"},
    "bounds read two hours east": SHIFTED,
    "bounds read five hours west": SHIFTED,
    "bounds off by ten seconds": SHIFTED,
    "times shown two hours east": SHIFTED,
    "times shown five hours west": SHIFTED,
    "times shown cut to the second": {BOUNDS: "unknown"},  # the overlap is a second, so nothing differs
    "times shown rounded to the second": {BOUNDS: "unknown"},
    "times shown cut to the minute": {RESOLUTION: "differs", BOUNDS: "unknown"},
    "times shown rounded to the minute": {RESOLUTION: "differs", BOUNDS: "unknown"},
    "count capped": {ADDITIVE: "differs"},  # a small window counts less than the cap
    "count too high": MISCOUNTED,
    "count too low": MISCOUNTED,
    "always descending": {ORDER: "differs"},
    "unsorted": {ORDER: "differs"},
    "ties shuffled": {TIES: "differs"},
    "50 rows a page": {PAGE_SIZE: "differs"},
    "last page repeated": {AFTER_LAST: "differs"},
    "error after the last page": {AFTER_LAST: "differs"},
    "resource filter ignored": {RESOURCE: "differs", CHANNEL: "unknown"},  # channels are compared among messages only
    "event filter ignored": {EVENT: "differs"},
    "channel filter ignored": {CHANNEL: "differs"},
    "has_more always true": {HAS_MORE: "differs"},
    "has_more always false": {HAS_MORE: "differs"},
    "unlisted types": {TYPES: "differs"},
    "unlisted channels": {CHANNELS: "differs"},
    "unlisted categories": {CATEGORIES: "differs"},
    "no step numbers": {STEPS: "differs"},
    "no message ids": {MESSAGES: "differs"},
    "/me missing": {ORGANIZATION: "differs"},
    "/sequence-templates missing": {NAMES: "differs"},
    "clock ahead": {CLOCKS: "differs"},
    "clock behind": {CLOCKS: "differs"},
    "no Date header": {CLOCKS: "unknown"},
    "rate-limit headers": {LIMITS: "differs"},
}

# These differ from another example only in a number or a direction, and every assumption differs in one of the others.
VARIANTS = {
    *("bounds read five hours west", "times shown two hours east", "times shown five hours west"),
    *("times shown rounded to the second", "times shown rounded to the minute", "count too low", "clock behind"),
}

# Examples that each concern an assumption of their own, which is checked apart from the others.
TOGETHER = [
    (
        *("50 rows a page", "last page repeated", "has_more always true"),
        *("unlisted types", "unlisted channels", "no step numbers", "no message ids"),
        *("/me missing", "/sequence-templates missing", "clock ahead", "rate-limit headers"),
    ),
    ("error after the last page", "has_more always false", "unlisted categories", "no Date header"),
]
# smaller: those together, or an example of which it is a variant
ONLY_FULL = VARIANTS.union(*TOGETHER)


def windows(*days: int) -> list[Window]:
    starts = [datetime(2026, 1, day, tzinfo=UTC) for day in days]
    return [Window(start, start + timedelta(days=1)) for start in starts]


WEEKDAY = windows(15, 14)  # with ties and replies among the newest activities, so that every quirk can be seen
SATURDAY = windows(17)


@dataclass
class Checked:
    results: list[ContractResult]
    requests: int

    @property
    def deviations(self) -> dict[str, str]:
        return {result.assumption: result.outcome for result in self.results if result.outcome != "holds"}

    def seen(self, assumption: str) -> str:
        return next(result.seen for result in self.results if result.assumption == assumption)


@contextmanager
def client_of(world: World = WORLD, attempts: int = 1, **options: Any) -> Iterator[TopoClient]:
    with serve(create_app(world, api_key=KEY, now=lambda: NOW, **options)) as address:
        yield TopoClient(
            f"{address}/v1",
            KEY,
            requests_per_second=10_000,
            retries=Retries(attempts=attempts, **FAST_RETRIES),
            clock=lambda: NOW,
        )


def check(of: Sequence[Window] = WEEKDAY, **options: Any) -> Checked:
    async def run(client: TopoClient) -> list[ContractResult]:
        async with client:
            return await check_contract(client, of, lambda: NOW)

    with client_of(**options) as client:
        return Checked(asyncio.run(run(client)), client.requests)


@pytest.fixture(scope="module")
def documented() -> Checked:
    """The check of the documented API."""
    return check()


def test_every_assumption_holds_for_the_documented_api(documented: Checked) -> None:
    assert documented.deviations == {}
    assert [result.assumption for result in documented.results] == [assumption.name for assumption in ASSUMPTIONS]
    assert {result.refuses_days for result in documented.results} == {False}


def test_every_sandbox_quirk_has_an_expected_result() -> None:
    assert EXPECTED.keys() == EXAMPLES.keys()
    assert EXAMPLES.keys() >= VARIANTS


@pytest.mark.parametrize(
    "names",
    [*TOGETHER, *(pytest.param((name,), marks=[pytest.mark.full] * (name in ONLY_FULL)) for name in EXAMPLES)],
    ids=", ".join,
)
def test_the_check_reports_exactly_what_differs(names: Sequence[str]) -> None:
    changes = {
        switch.name: value
        for name in names
        for switch in fields(Quirks)
        if (value := getattr(EXAMPLES[name], switch.name)) != switch.default
    }
    checked = check(quirks=Quirks(**changes))
    assert checked.deviations == {key: outcome for name in names for key, outcome in EXPECTED[name].items()}
    assert checked.requests <= REQUEST_LIMIT
    for result in checked.results:
        assert result.refuses_days == (result.outcome == "differs" and result.assumption in {ZONE, COUNT, CLOCKS})


@pytest.mark.parametrize(
    ("cap", "has_more"),
    [
        (100, "never"),
        (250, "right"),
        *(pytest.param(cap, more, marks=pytest.mark.full) for cap, more in ((100, "right"), (250, "never"))),
    ],
)
def test_a_capped_count_within_the_sample_refuses_no_day(cap: int, has_more: Literal["right", "never"]) -> None:
    checked = check(quirks=Quirks(count_cap=cap, has_more=has_more))
    assert checked.deviations.items() >= {COUNT: "unknown", ADDITIVE: "differs"}.items()
    assert not any(result.refuses_days for result in checked.results)


@pytest.mark.parametrize("year", [1, 9999])
def test_times_in_year_1_or_9999_do_not_break_the_check(year: int) -> None:
    class ShiftedYear(World):
        def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
            found = WORLD.activities(after, before)
            return [structs.replace(activity, created_at=activity.created_at.replace(year=year)) for activity in found]

    assert check(world=ShiftedYear()).deviations[ZONE] == "differs"


def test_every_assumption_can_fail() -> None:
    """By one of the sandbox's quirks, or by facts (below) that no quirk produces."""
    by_quirks = {name for found in EXPECTED.values() for name, outcome in found.items() if outcome == "differs"}
    by_facts = {SPELLING, "a request takes less than 2 s"}
    assert by_quirks | by_facts == {assumption.name for assumption in ASSUMPTIONS}


def test_with_camel_case_payloads_fields_that_only_snake_case_has_are_unknown(documented: Checked) -> None:
    checked = check(spelling="camel")
    assert checked.deviations == {CHANNELS: "unknown", CATEGORIES: "unknown", STEPS: "differs"}
    assert (checked.seen(SPELLING), documented.seen(SPELLING)) == ("camelCase", "snake_case")


def facts(payload: str = "{}", seconds: Iterable[float] = ()) -> Facts:
    """Return the facts of a page with one activity."""
    activity = wire.Activity("0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10", NOW - timedelta(hours=1), payload)
    page = wire.ActivityPage([activity], [], total_count=1, total_pages=1, has_more=False)
    query = wire.ActivityQuery(created_at_after=NOW - timedelta(days=1), created_at_before=NOW)
    return Facts(sample=Sample(query, [page], is_whole=True), probes=[Probe(None)], seconds=[*seconds])


def outcomes(of: Facts) -> dict[str, str]:
    return {result.assumption: result.outcome for result in judge(of)}


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [('{"person_id": null}', "holds"), ('{"personId": "x"}', "holds"), ('{"PersonId": "x"}', "differs")],
)
def test_an_unknown_payload_spelling_differs(payload: str, outcome: str) -> None:
    assert outcomes(facts(payload))[SPELLING] == outcome


@pytest.mark.parametrize(("seconds", "outcome"), [([0.1, 9.0, 0.2], "holds"), ([3.0], "differs"), ([], "unknown")])
def test_slow_requests_differ(seconds: list[float], outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "_SLOW", 2.0)
    assert outcomes(facts(seconds=seconds))["a request takes less than 2 s"] == outcome


@pytest.mark.parametrize(
    ("minutes", "outcome"), [(1, "holds"), (5, "differs"), (-5, "differs"), (FAR_MINUTES, "differs")]
)
def test_clock_differences_refuse_days_only_if_large(minutes: int, outcome: str) -> None:
    response = wire.ResponseInfo(seconds=0.1, clock_ahead=60.0 * minutes, answered_at=NOW, limits={})
    [clocks] = [result for result in judge(replace(facts(), response=response)) if result.assumption == CLOCKS]
    assert (clocks.outcome, clocks.refuses_days) == (outcome, minutes == FAR_MINUTES)


def test_with_a_day_of_one_page_the_page_size_is_unknown() -> None:
    world = World(scale=0.001)
    assert 0 < len(world.activities(NOW - timedelta(days=40), NOW)) <= 100
    checked = check(world=world)
    assert "differs" not in checked.deviations.values()
    assert {PAGE_SIZE: "unknown"}.items() <= checked.deviations.items()


def test_a_day_with_few_activities_is_extended_to_the_weeks_before() -> None:
    assert check(SATURDAY).deviations == {}


class EmptyWorld(World):
    """A workspace without activities."""

    def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
        return []


def test_in_an_empty_workspace_assumptions_about_activities_are_unknown() -> None:
    checked = check(world=EmptyWorld())
    holding = {result.assumption for result in checked.results if result.outcome == "holds"}
    assert holding == {ORGANIZATION, NAMES, CLOCKS, LIMITS, "a request takes less than 2 s"}
    assert set(checked.deviations.values()) == {"unknown"}
    assert {checked.seen(name) for name in checked.deviations} == {"the days that were checked have no activity"}


def test_the_check_reads_no_time_after_now() -> None:
    class Recording(World):
        latest = datetime.min.replace(tzinfo=UTC)

        def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
            self.latest = max(self.latest, before)
            return WORLD.activities(after, before)

    world = Recording()
    check(windows(21, 20), world=world)
    assert NOW - timedelta(hours=1) < world.latest < NOW


def test_failed_requests_count_towards_the_request_limit() -> None:
    """Each request fails twice and succeeds at the third attempt."""
    checked = check(attempts=3, faults=[Answer(status=503, times=2)])
    assert REQUEST_LIMIT - 3 < checked.requests <= REQUEST_LIMIT
    assert "unknown" in checked.deviations.values()
    assert f"the limit of {REQUEST_LIMIT} requests was reached" in {result.seen for result in checked.results}


@pytest.mark.parametrize(
    "limit", [1, 4, 11, *(pytest.param(limit, marks=pytest.mark.full) for limit in (2, 3, 5, 6, 7, 8, 9, 10))]
)
def test_the_request_budget_is_never_exceeded(limit: int) -> None:
    async def run(client: TopoClient) -> list[ContractResult]:
        async with client:
            return judge(await gather(client, WEEKDAY, limit))

    with client_of() as client:
        results = asyncio.run(run(client))
    assert client.requests == limit
    assert "differs" not in {result.outcome for result in results}


def test_the_check_ends_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_facts, "TIME_LIMIT", 0.0)
    checked = check()
    assert checked.requests == 1
    assert checked.seen(COUNT) == f"the limit of {TIME_LIMIT:g} seconds was reached"
    assert "differs" not in checked.deviations.values()


def test_a_failed_request_leaves_only_its_assumption_unknown() -> None:
    fault: Fault = Answer(path="sequence-templates", status=503)
    assert check(faults=[fault]).deviations == {NAMES: "unknown"}


def test_a_key_without_access_to_names_is_reported() -> None:
    checked = check(scopes=("activities:read",))
    assert checked.deviations == {NAMES: "differs"}
    assert "403" in checked.seen(NAMES)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"scopes": ()}, RequestRefused), ({"faults": [Answer(status=503)]}, TopoUnavailable)],
    ids=["refused", "down"],
)
def test_if_nothing_can_be_read_the_error_is_raised(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        check(**options)


def test_a_check_needs_a_window() -> None:
    with pytest.raises(ValueError, match="window"):
        check([])


# The text for support


MANY_QUIRKS = Quirks(
    bounds_shift_seconds=7200,
    order="unsorted",
    ties_shuffled=True,
    count_off_by=3,
    max_page_size=50,
    after_last_page="error",
    has_more="always",
    unlisted_types=True,
    unlisted_channels=True,
    unlisted_categories=True,
    no_step_numbers=True,
    rate_limit_headers=True,
    clock_ahead_seconds=1200,
)


@pytest.mark.parametrize("quirks", [None, MANY_QUIRKS], ids=["no quirks", "many quirks"])
def test_the_text_for_support_contains_no_workspace_data(documented: Checked, quirks: Quirks | None) -> None:
    checked = check(quirks=quirks) if quirks else documented
    text = as_text(checked.results, checked_at=NOW, version="0.1.0")
    activities = WORLD.activities(datetime(2025, 12, 20, tzinfo=UTC), NOW)
    ids = {
        value
        for activity in activities
        for value in (activity.id, activity.person_id, activity.sequence_id, activity.sequence_template_id)
        if value
    }
    names = {name for template in WORLD.templates(NOW) for name in (template.name, template.summary) if name}
    for secret in (*ids, *names, WORLD.organization_id, KEY, "Sandbox key", "127.0.0.1"):
        assert secret not in text
    counts = [len(WORLD.activities(window.start, window.end)) for window in windows(*range(1, 21))]
    assert not {str(count) for count in counts if count > REQUEST_LIMIT} & set(text.split())
    assert all(assumption.name in text for assumption in ASSUMPTIONS)
    assert "2026-01-21" in text


def test_custom_categories_are_counted_and_not_quoted() -> None:
    """A custom category may contain a person's name."""
    categories = ["Jane Doe said no", "jane@example.com", "PIPELINE_WON"]
    of = facts()
    payloads = [f'{{"type": "message.replied", "metadata": {{"reply_category": "{text}"}}}}' for text in categories]
    of.replies = [
        row
        for payload in payloads
        for sample in [facts(payload).sample]
        if isinstance(sample, Sample)
        for row in sample.rows
    ]
    [seen] = [result.seen for result in judge(of) if result.assumption == CATEGORIES]
    assert seen == "not listed: PIPELINE_WON, 2 more"


def test_a_rate_limit_value_is_quoted_only_if_it_is_a_number() -> None:
    limits = {"x-ratelimit-limit": "600", "x-ratelimit-policy": "for Acme Corp"}
    of = replace(facts(), response=wire.ResponseInfo(seconds=0.1, clock_ahead=0.0, answered_at=NOW, limits=limits))
    [seen] = [result.seen for result in judge(of) if result.assumption == LIMITS]
    assert seen == "x-ratelimit-limit: 600, x-ratelimit-policy"


def test_the_summary_counts_outcomes_and_names_the_differences() -> None:
    text = summary(check(quirks=Quirks(max_page_size=50, no_date_header=True)).results)
    assert text == (
        f"{len(ASSUMPTIONS) - 2} of {len(ASSUMPTIONS)} assumptions hold, 1 differs ({PAGE_SIZE}), 1 is unknown"
    )


def test_a_missing_response_is_unknown_unless_topo_refused_it() -> None:
    of = facts()
    for missing, outcome in ((Missing("later"), "unknown"), (Missing("Topo answered 403", 403), "differs")):
        assert outcomes(replace(of, me=missing, beyond=missing))[ORGANIZATION] == outcome
        assert outcomes(replace(of, me=missing, beyond=missing))[AFTER_LAST] == outcome


def test_the_sample_can_be_any_given_day() -> None:
    assert date(2026, 1, 7) not in {window.start.date() for window in WEEKDAY}
    assert check(windows(7)).deviations == {}
