"""Days whose replies changed after they were read are found and read again; other days are not."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg
import httpx
import pytest
from msgspec.structs import replace

from topo_pipeline.defs.jobs import REPLY_DAYS
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.erasure import erase
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import NOW, WORLD, Pipeline, days, last_check, pipeline_over
from topo_pipeline_tests.warehouse.builders import path_of

LANDED = days(3)


class Edited(World):
    """The tests' world with some activities removed, late or changed."""

    edit: Callable[[Activity], Activity | None] = staticmethod(lambda activity: activity)

    def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
        return [kept for activity in WORLD.activities(after, before) if (kept := self.edit(activity))]


def read_when(folder: Path, shown: Callable[[Activity], Activity]) -> Path:
    """Read the days with this edit of the world; return the warehouse."""
    with pipeline_over(folder, API_KEY) as pipeline:
        edit(pipeline, API_KEY, shown)
        assert pipeline.read(LANDED).success
        return path_of(pipeline.warehouse)


@pytest.fixture(scope="module")
def read_early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return read_when(
        tmp_path_factory.mktemp("early"),
        lambda activity: replace(activity, classified_at=None) if is_late(activity) else activity,
    )


@pytest.fixture(scope="module")
def read_late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return read_when(tmp_path_factory.mktemp("late"), lambda activity: activity)


@pytest.fixture
def landed(tmp_path: Path, api_key: str, read_early: Path) -> Iterator[Pipeline]:
    """Landed days, read when the replies of every other day were not classified yet."""
    shutil.copy(read_early, tmp_path)
    with pipeline_over(tmp_path, api_key) as pipeline:
        yield pipeline


@pytest.fixture
def settled(tmp_path: Path, api_key: str, read_late: Path) -> Iterator[Pipeline]:
    """Landed days, read when all their replies were classified: nothing differs."""
    shutil.copy(read_late, tmp_path)
    with pipeline_over(tmp_path, api_key) as pipeline:
        yield pipeline


def is_late(activity: Activity) -> bool:
    """Return whether it is a reply that was classified only after its day was read."""
    return activity.type == "message.replied" and activity.created_at.day % 2 == 0


def run_job(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_job_def("reread_replies")
    return job.execute_in_process(instance=pipeline.instance, raise_on_error=False)


def read_again(pipeline: Pipeline) -> list[date]:
    """Run the job; return the days that it materialized."""
    result = run_job(pipeline)
    assert result.success
    events = [event for event in result.all_events if event.is_step_materialization]
    return [date.fromisoformat(str(event.partition)) for event in events]


def replies_of(pipeline: Pipeline) -> list[Activity]:
    start = datetime.combine(LANDED[0], time(), UTC)
    found = pipeline.world.activities(start - timedelta(microseconds=1), start + timedelta(days=len(LANDED)))
    return [activity for activity in found if activity.type == "message.replied"]


def edit(pipeline: Pipeline, api_key: str, change: Callable[[Activity], Activity | None]) -> None:
    world = Edited(WORLD.seed, scale=WORLD.scale)
    world.edit = change
    pipeline.api.app = create_app(world, api_key=api_key, now=lambda: NOW)


def test_only_days_whose_replies_were_classified_since_are_read_again(landed: Pipeline) -> None:
    changed = [reply for reply in replies_of(landed) if is_late(reply) and reply.category_at(NOW)]
    expected = sorted({activity.created_at.date() for activity in changed})
    assert 0 < len(expected) < len(LANDED)

    assert read_again(landed) == expected

    rows = landed.rows("SELECT id::VARCHAR, reply_category FROM topo.activities WHERE event_type = 'REPLIED'")
    assert dict(rows) == {reply.id: reply.category_at(NOW) for reply in replies_of(landed)}
    kept = landed.rows("SELECT id::VARCHAR, reply_category FROM topo.activity_changes ORDER BY id")
    assert kept == [(id_, None) for id_ in sorted(reply.id for reply in changed)]
    assert read_again(landed) == []


def test_a_vanished_reply_and_a_new_one_are_found(settled: Pipeline, api_key: str) -> None:
    first = replies_of(settled)[0]
    edit(settled, api_key, lambda activity: None if activity.id == first.id else activity)
    assert read_again(settled) == [first.created_at.date()]
    edit(settled, api_key, lambda activity: activity)
    assert read_again(settled) == [first.created_at.date()]


def test_an_unreadable_reply_does_not_count_as_vanished(settled: Pipeline) -> None:
    faults = httpx.URL(settled.api_url).join("/faults")
    httpx.put(faults, json=[{"kind": "unreadable", "every": 2}]).raise_for_status()
    assert read_again(settled) == []


def test_changes_of_other_activities_are_ignored(settled: Pipeline, api_key: str) -> None:
    edit(settled, api_key, lambda activity: activity if activity.event_type == "REPLIED" else None)
    assert read_again(settled) == []


def test_replies_of_an_erased_person_are_ignored(settled: Pipeline) -> None:
    person = UUID(replies_of(settled)[0].person_id)
    with settled.warehouse.transaction() as connection:
        assert erase(connection, person, now=NOW).activities
    assert read_again(settled) == []


def test_if_nothing_differs_only_the_pages_of_replies_are_requested(settled: Pipeline) -> None:
    settled.api.requested.clear()
    assert read_again(settled) == []
    in_all = [a for a in settled.world.activities(None, NOW) if a.type == "message.replied"]
    in_window = [reply for reply in in_all if reply.created_at.date() >= (NOW - timedelta(days=REPLY_DAYS)).date()]
    assert settled.api.requested == ["/v1/me"] + ["/v1/activities"] * -(-len(in_window) // 100)


def test_without_landed_days_nothing_is_requested(pipeline: Pipeline) -> None:
    pipeline.warehouse.prepare()
    assert read_again(pipeline) == []
    assert pipeline.api.requested == []


def test_replies_that_cannot_be_proved_complete_are_refused(landed: Pipeline) -> None:
    before = landed.rows("FROM topo.activities ORDER BY id")
    landed.api.miscounted = {(NOW - timedelta(days=1)).date()}
    result = run_job(landed)
    assert not result.success
    [failure] = result.get_step_failure_events()
    assert "1 missing" in str(failure.step_failure_data.user_failure_data)
    assert landed.rows("FROM topo.activities ORDER BY id") == before


def test_a_type_filter_that_is_ignored_is_refused(settled: Pipeline) -> None:
    settled.api.ignores = "event_type"
    [failure] = [event for event in run_job(settled).all_events if event.is_step_failure]
    assert "Topo's type filter returned" in str(failure.step_failure_data.error)


def test_if_unproved_days_may_land_a_missing_reply_does_not_count_as_vanished(
    tmp_path: Path, api_key: str, read_late: Path
) -> None:
    shutil.copy(read_late, tmp_path)
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        first = replies_of(pipeline)[0]
        pipeline.api.miscounted = {(NOW - timedelta(days=1)).date()}
        edit(pipeline, api_key, lambda activity: None if activity.id == first.id else activity)
        assert read_again(pipeline) == []
        late = replace(first, reply_category="REFERRAL", classified_at=first.created_at)
        edit(pipeline, api_key, lambda activity: late if activity.id == first.id else activity)
        assert read_again(pipeline) == [first.created_at.date()]


def test_another_organizations_replies_are_not_requested(landed: Pipeline, api_key: str) -> None:
    landed.api.app = create_app(World(12, scale=0.1), api_key=api_key, now=lambda: NOW)
    landed.api.requested.clear()
    assert not run_job(landed).success
    assert landed.api.requested == ["/v1/me"]


def test_days_that_land_unproved_are_reported_by_the_check(tmp_path: Path, api_key: str, read_late: Path) -> None:
    shutil.copy(read_late, tmp_path)
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        first = replies_of(pipeline)[0]
        day = first.created_at.date()
        pipeline.api.miscounted = {day}
        edit(pipeline, api_key, lambda activity: None if activity.id == first.id else activity)
        assert read_again(pipeline) == [day]
        evaluation = last_check(pipeline)
        assert (evaluation.passed, evaluation.metadata["examples"].value) == (False, [str(day)])
