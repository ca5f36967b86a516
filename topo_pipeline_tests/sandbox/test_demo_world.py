"""The demo's 26 weeks: their volume, and sequences whose rates can and can't be told apart."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from statsmodels.stats.proportion import proportion_confint

from topo_pipeline.sandbox import demo
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.world import World

AUTOMATIC = {"OUT_OF_OFFICE", "BOUNCED", "SPAM_FILTER"}
wilson = partial(proportion_confint, method="wilson")


@pytest.fixture(scope="module")
def world() -> World:
    return World(demo.SEED, scale=demo.SCALE)


@pytest.fixture(
    scope="module",
    params=[
        datetime(2026, 11, 29, tzinfo=UTC),
        pytest.param(datetime(2027, 1, 10, tzinfo=UTC), marks=pytest.mark.full),  # the same at the turn of the year
    ],
    ids=str,
)
def today(request: pytest.FixtureRequest) -> datetime:
    day: datetime = request.param
    return day


@pytest.fixture(scope="module")
def activities(world: World, today: datetime) -> list[Activity]:
    return world.activities(today - timedelta(days=demo.DAYS), today)


@pytest.fixture(scope="module")
def sequences(world: World, today: datetime, activities: list[Activity]) -> dict[str, list[list[Activity]]]:
    """Return the runs of each sequence that were touched."""
    names = {template.id: template.name or "" for template in world.templates(today)}
    by_run: dict[str, list[Activity]] = defaultdict(list)
    for activity in activities:
        by_run[activity.sequence_id].append(activity)
    by_name: dict[str, list[list[Activity]]] = defaultdict(list)
    for run in by_run.values():
        if {"message.sent", "invitation.sent"} & {activity.type for activity in run}:
            template_id = next(each.sequence_template_id for each in run if each.sequence_template_id)
            by_name[names[template_id]].append(run)
    return by_name


def has_replied(run: list[Activity]) -> bool:
    return any(each.type == "message.replied" and each.reply_category not in AUTOMATIC for each in run)


def test_a_day_has_about_250_activities(activities: list[Activity]) -> None:
    assert len(activities) / demo.DAYS == pytest.approx(250, rel=0.25)


def test_one_sequence_is_better_than_the_average_and_one_is_worse(sequences: dict[str, list[list[Activity]]]) -> None:
    replied = {name: sum(map(has_replied, runs)) for name, runs in sequences.items()}
    contacts = {name: len(runs) for name, runs in sequences.items()}
    average = sum(replied.values()) / sum(contacts.values())
    ranges = {name: wilson(replied[name], contacts[name]) for name in contacts if contacts[name] >= 100}
    best, worst = "Founders UK - seed round closed", "HR directors Nordics - payroll switch"
    assert ranges[worst][1] < average < ranges[best][0]
    alike = [name for name, (low, high) in ranges.items() if low < average < high]
    assert len(alike) >= 5


def test_one_sequence_has_too_few_contacts_for_a_rate(sequences: dict[str, list[list[Activity]]]) -> None:
    assert 5 < len(sequences["General counsel - contract backlog pilot"]) < 30


def test_one_sequence_has_enough_contacts_each_week_to_compare_its_weeks(
    sequences: dict[str, list[list[Activity]]],
) -> None:
    largest = max(sequences.values(), key=len)
    touched = (
        min(each.created_at for each in run if each.type in ("message.sent", "invitation.sent")) for run in largest
    )
    weeks = Counter(at.date() - timedelta(days=at.weekday()) for at in touched)
    assert sum(contacts >= 30 for contacts in weeks.values()) >= 20


def test_sequences_of_every_status_were_active(
    world: World, today: datetime, sequences: dict[str, list[list[Activity]]]
) -> None:
    by_status = defaultdict(list)
    for template in world.templates(today):
        by_status[template.status].append(template)
    ended = [*by_status["FINISHING"], *by_status["INACTIVE"]]
    assert [len(sequences[template.name or ""]) > 100 for template in ended] == [True]
    assert max(len(sequences[template.name or ""]) for template in by_status["ARCHIVED"]) > 100
    [newest] = [each for each in by_status["ACTIVE"] if each.updated_at > today - timedelta(weeks=9)]
    began = [run[0].created_at for run in sequences[newest.name or ""]]
    assert min(began) > newest.updated_at
    assert len(began) > 20


def test_the_rare_cases_occur(activities: list[Activity]) -> None:
    templates: dict[str, set[str]] = defaultdict(set)
    replies: dict[str, list[str | None]] = defaultdict(list)
    for each in activities:
        templates[each.sequence_id] |= {each.sequence_template_id} if each.sequence_template_id else set()
        if each.type == "message.replied":
            replies[each.sequence_id].append(each.reply_category)
    assert sum(len(ids) == 2 for ids in templates.values()) > 10
    assert sum(each.sequence_template_id is None for each in activities) > 50
    first_message: dict[str, str] = {}
    for each in activities:
        if each.type in ("message.sent", "message.replied"):
            first_message.setdefault(each.sequence_id, each.type)
    enrolled = {each.sequence_id for each in activities if each.type == "sequence.created"}
    assert sum(first_message.get(run) == "message.replied" for run in enrolled) > 5
    orders = Counter(pair for categories in replies.values() for pair in zip(categories, categories[1:], strict=False))
    assert sum(count for (first, _), count in orders.items() if first == "OUT_OF_OFFICE") > 5
    assert orders["BAD_TIMING", "INTERESTED"] > 1
    assert {"UNSUBSCRIBED", "BOUNCED", "SPAM_FILTER"} <= {each for row in replies.values() for each in row}
