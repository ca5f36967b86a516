"""Several organizations on one Dagster instance and in one lake: nothing of one is seen in the other."""

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import CodePointer

from topo_pipeline import locations
from topo_pipeline.automation.facts import Request
from topo_pipeline.defs import names, records
from topo_pipeline.defs.code_location import build
from topo_pipeline.defs.executor import execute
from topo_pipeline.defs.jobs import REFRESH, REREAD_REPLIES, run_request
from topo_pipeline.defs.notifications import last_nightly_refresh, night_tags
from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.defs.run_maintenance import fail_orphaned_runs, old_records_sensor, owner_tag
from topo_pipeline.orchestration.instance import POOLS, opened, pool_limits, prepare, require_no_reader
from topo_pipeline.orchestration.ranged_runs import QUIET, Outcome, backfill, publish
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings, SettingsError, of_organizations
from topo_pipeline.templates import workspace
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.alerts.receiver import Receiver, receiving
from topo_pipeline_tests.command_line import COMMAND, answer, topo_pipeline
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.defs.only import with_only
from topo_pipeline_tests.services.postgres import Postgres

MICROSECOND = timedelta(microseconds=1)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAYS = [date(2026, 3, 16), date(2026, 3, 17), date(2026, 3, 18), date(2026, 3, 19)]
LANDED = {"acme": DAYS[:3], "globex": DAYS[1:]}
WORLDS = {"acme": World(11, scale=0.1), "globex": World(12, scale=0.1)}
ASSETS = ("activities", "sequence_templates", "sequence_runs", "sequence_activity", "engagement_report", "parquet")


@dataclass
class Organization:
    """One of the organizations: its settings and its code location, without most of the tables."""

    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse.of(self.settings)

    def backfill(self, days: Sequence[date]) -> Outcome:
        return backfill(self.definitions, days, instance=self.instance, on_progress=lambda _: None)

    def sensor(self, name: str) -> dg.SensorResult | Any:
        [sensor] = [each for each in self.definitions.sensors or () if each.name == name]
        resources = dict(self.definitions.resources or {})
        with dg.build_sensor_context(self.instance, resources=resources, definitions=self.definitions) as context:
            return sensor.evaluate_tick(context)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.reader() as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as alerts:
        yield alerts


@pytest.fixture(scope="module")
def agency(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, receiver: Receiver
) -> Iterator[dict[str, Organization]]:
    """Two organizations with overlapping days. The key of each is valid at its own sandbox only."""
    folder = tmp_path_factory.mktemp("agency")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        database = stack.enter_context(postgres.database())
        tables = ""
        for name, world in WORLDS.items():
            address = stack.enter_context(serve(create_app(world, api_key=f"topo_of_{name}", now=lambda: NOW)))
            tables += f'[{name}]\napi_key_variable = "{name.upper()}_KEY"\napi_url = "{address}/v1"\n'
            patch.setenv(f"{name.upper()}_KEY", f"topo_of_{name}")
        (folder / "organizations.toml").write_text(tables)
        patch.setenv("TOPO_WAREHOUSE", f"ducklake:postgres:{database.dsn}")
        patch.setenv("TOPO_LAKE_DATA_PATH", str(folder / "lake"))
        patch.setenv("TOPO_REPORT_DIR", str(folder / "report"))
        patch.setenv("TOPO_ALERT_WEBHOOK", f"{receiver.address}/hook")
        patch.setenv("TOPO_REQUESTS_PER_SECOND", "10000")
        patch.setenv("TOPO_API_KEY", "topo_of_nobody")
        patch.setenv("DAGSTER_HOME", str(folder / "home"))
        patch.chdir(folder)
        prepare(folder / "home")
        instance = stack.enter_context(opened(folder / "home"))
        found: dict[str, Organization] = {}
        for name, settings in (of_organizations() or {}).items():
            assert isinstance(settings, Settings), settings
            built = build(settings, clock=lambda: NOW)
            kept = with_only(built, *ASSETS)
            every = dg.Definitions(
                assets=kept.assets,
                jobs=built.jobs,
                sensors=built.sensors,
                schedules=built.schedules,
                resources=built.resources,
                executor=built.executor,
            )
            found[name] = Organization(settings, every, instance)
        for name, organization in found.items():
            assert organization.backfill(LANDED[name]).problems == ()
        yield found


@pytest.fixture(params=WORLDS)
def one(request: pytest.FixtureRequest, agency: dict[str, Organization]) -> Organization:
    return agency[request.param]


@pytest.fixture
def other(one: Organization, agency: dict[str, Organization]) -> Organization:
    [other] = [each for each in agency.values() if each is not one]
    return other


def name_of(organization: Organization) -> str:
    return str(organization.settings.organization)


def test_each_has_its_own_activities_in_its_own_schema_of_the_lake(one: Organization) -> None:
    first, last = (datetime.combine(LANDED[name_of(one)][at], time.min, UTC) for at in (0, -1))
    inside = WORLDS[name_of(one)].activities(first - MICROSECOND, last + timedelta(days=1))
    expected = {activity.id for activity in inside}
    found = {str(id) for (id,) in one.rows("SELECT id FROM topo.activities")}
    assert found
    assert found <= expected  # another test erases a person
    assert one.warehouse.name.endswith(f"/{name_of(one)}")


def test_dagsters_records_of_one_are_not_those_of_the_other(one: Organization) -> None:
    instance, settings = one.instance, one.settings
    assert sorted(records.last_loads(instance, settings)) == LANDED[name_of(one)]
    assert records.compare(instance, settings, one.warehouse) == records.Disagreement()
    recorded = records.recorded_days(instance, NOW, settings)
    assert [each.day for each in recorded if not each.failed] == LANDED[name_of(one)]
    assert records.lost_days(instance, settings) == set()


def test_every_key_and_every_run_has_the_name(one: Organization, agency: dict[str, Organization]) -> None:
    prefixes = {key.path[0] for key in one.definitions.get_repository_def().asset_graph.get_all_asset_keys()}
    assert prefixes == {name_of(one)}
    assert {key.path[0] for key in one.instance.all_asset_keys()} == set(agency)
    runs = one.instance.get_runs()
    for run in runs:
        assert [names.is_own(each.settings, run) for each in agency.values()].count(True) == 1
        assert run.tags["organization"] in agency


def test_each_has_its_own_pools_with_one_slot(one: Organization, other: Organization) -> None:
    pools = {pool for job in one.definitions.resolve_all_job_defs() for pool in job.graph.pools}
    assert pools == {f"{pool}_{name_of(one)}" for pool in POOLS}
    assert pool_limits(one.instance, [name_of(one), name_of(other)]) == dict.fromkeys(
        [f"{pool}_{name_of(each)}" for each in (one, other) for pool in POOLS], 1
    )


def test_while_one_reads_the_other_may_read_and_its_tables_follow(one: Organization, other: Organization) -> None:
    instance = one.instance
    storage = instance.event_log_storage
    run = dg.DagsterRun(
        REFRESH, status=dg.DagsterRunStatus.STARTED, tags=names.run_tags(one.settings), asset_selection=None
    )
    instance.add_run(run)
    pool = names.pool(one.settings, "topo_api")
    storage.claim_concurrency_slot(pool, run.run_id, "step")
    try:
        assert records.is_busy(instance, one.settings, {REFRESH, REREAD_REPLIES})
        assert not records.is_busy(instance, other.settings, {REFRESH, REREAD_REPLIES})
        assert records.has_run_in_progress(instance, one.settings, REFRESH)
        assert not records.has_run_in_progress(instance, other.settings, REFRESH)
        with pytest.raises(Exception, match="is reading Topo"):
            require_no_reader(instance, one.settings)
        require_no_reader(instance, other.settings)
    finally:
        storage.free_concurrency_slots_for_run(run.run_id)
        instance.delete_run(run.run_id)


def test_only_its_own_orphaned_runs_are_ended(one: Organization, other: Organization) -> None:
    run = dg.DagsterRun(REFRESH, status=dg.DagsterRunStatus.STARTED)
    ended = subprocess.Popen([sys.executable, "-c", ""])  # noqa: S603
    ended.wait()
    owner = {name: text.replace(f":{_pid(text)}:", f":{ended.pid}:") for name, text in owner_tag(run.run_id).items()}
    one.instance.add_run(run.with_tags({**owner, **names.run_tags(one.settings)}))
    try:
        assert fail_orphaned_runs(other.instance, other.settings) == []
        assert fail_orphaned_runs(one.instance, one.settings) == [run.run_id]
    finally:
        one.instance.delete_run(run.run_id)


def _pid(owner: str) -> str:
    return owner.split(":")[1]


def test_the_nightly_refresh_of_each_asks_for_its_own_missing_days(one: Organization) -> None:
    schedule = one.definitions.get_repository_def().get_schedule_def("nightly_refresh_schedule")
    at = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
    context = dg.build_schedule_context(one.instance, at, resources=dict(one.definitions.resources or {}))
    requests = schedule.evaluate_tick(context).run_requests or []
    assert {key.path[0] for request in requests for key in request.asset_selection or ()} == {name_of(one)}
    # Both read yesterday and the 3 days before it, in one run.
    assert [request.tags["dagster/asset_partition_range_start"] for request in requests] == ["2026-03-16"]


def test_the_tables_of_one_follow_what_it_landed(agency: dict[str, Organization]) -> None:
    acme, globex = agency["acme"], agency["globex"]
    day = LANDED["acme"][-1]
    reading = run_request(Request(day, day, ""), acme.settings)
    result = acme.definitions.resolve_job_def(REFRESH).execute_in_process(
        instance=acme.instance, asset_selection=reading.asset_selection, tags=dict(reading.tags), run_config=QUIET
    )
    assert result.success
    [request] = acme.sensor("tables_follow_what_landed").run_requests
    assert {key.path[0] for key in request.asset_selection} == {"acme"}
    assert request.tags["organization"] == "acme"
    asked = globex.sensor("tables_follow_what_landed").run_requests or ()
    assert {key.path[-1] for each in asked for key in each.asset_selection} & {"sequence_activity"} == set()


def test_a_revoked_key_fails_the_days_of_one_alone(agency: dict[str, Organization], receiver: Receiver) -> None:
    acme, globex = agency["acme"], agency["globex"]
    for each in agency.values():
        each.sensor("run_alert_sensor")
    before, day = len(receiver.texts), DAYS[-1]
    revoked = globex.settings.model_copy(update={"api_key": acme.settings.api_key})
    without_key = Organization(revoked, with_only(build(revoked, clock=lambda: NOW), "activities"), globex.instance)
    try:
        problems = without_key.backfill([day]).problems
        assert "check GLOBEX_KEY" in problems[0]
        assert records.failed_days(globex.instance, DAYS, globex.settings) == {day}
        assert records.failed_days(acme.instance, DAYS, acme.settings) == set()
        assert "check GLOBEX_KEY" in str(records.why_refused(globex.instance, globex.settings, day))
        assert records.why_refused(acme.instance, acme.settings, day) is None
        run = next(run for run in globex.instance.get_runs() if run.status == dg.DagsterRunStatus.FAILURE)
        shown = [str(entry) for entry in globex.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)]
        assert f"To try again: topo-pipeline --organization globex backfill {day}" in "".join(shown)
        for each in agency.values():
            each.sensor("run_alert_sensor")
        texts = [text for text in receiver.texts[before:] if str(day) in text]
        assert [text.splitlines()[0] for text in texts] == ["topo_pipeline, globex"]
    finally:
        assert globex.backfill([day]).problems == ()


def test_the_reason_of_a_skipped_tick_names_the_key_of_the_table(one: Organization) -> None:
    reason = one.sensor("heartbeat_sensor").skip_message
    key = f"heartbeat_url_variable of {name_of(one)} in organizations.toml"
    assert reason == f"No heartbeat is sent. Set {key}."


def test_a_failed_run_names_the_key_of_the_table(agency: dict[str, Organization]) -> None:
    acme, day = agency["acme"], LANDED["acme"][:1]
    elsewhere = acme.settings.model_copy(update={"timezone": "Europe/Paris"})
    wrong = Organization(elsewhere, with_only(build(elsewhere, clock=lambda: NOW), "activities"), acme.instance)
    [problem] = wrong.backfill(day).problems
    assert replace(acme, definitions=with_only(acme.definitions, "activities")).backfill(day).problems == ()
    key = "timezone = 'UTC' for acme in organizations.toml"
    assert f"not Europe/Paris. Set {key}, or set warehouse of acme to another file" in problem


def test_a_run_without_tags_of_its_own_gets_the_organization_when_it_starts(agency: dict[str, Organization]) -> None:
    """Such is a run that was started on an asset's page."""
    one = agency["globex"]
    job = one.definitions.get_repository_def().get_implicit_global_asset_job_def()
    run_id, tables = str(uuid.uuid4()), [names.asset_key(one.settings, "engagement", "sequence_runs")]
    assert execute(job, one.instance, run_id=run_id, run_config=QUIET, selection=tables).success
    run = one.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["organization"] == name_of(one)


@pytest.mark.parametrize(
    ("tags", "owner"),
    [
        ({"organization": "acme"}, "acme"),
        ({"dagster/code_location": "globex"}, "globex"),
        ({"organization": "globex", "dagster/code_location": "topo_pipeline"}, "globex"),
        ({}, None),
    ],
)
def test_a_run_belongs_to_the_organization_of_its_tag_or_location(
    agency: dict[str, Organization], tags: dict[str, str], owner: str | None
) -> None:
    run = dg.DagsterRun(REFRESH, tags=tags)
    assert [name for name, each in agency.items() if names.is_own(each.settings, run)] == ([owner] if owner else [])
    alone = agency["acme"].settings.model_copy(update={"organization": None})
    assert names.is_own(alone, run)


@contextmanager
def recorded(instance: dg.DagsterInstance, *runs: dg.DagsterRun) -> Iterator[None]:
    for run in runs:
        instance.add_run(run)
    try:
        yield
    finally:
        for run in runs:
            if instance.has_run(run.run_id):
                instance.delete_run(run.run_id)


def test_runs_of_assets_and_runs_of_days_hold_up_only_their_own(one: Organization, other: Organization) -> None:
    started = {"status": dg.DagsterRunStatus.STARTED, "job_name": "__ASSET_JOB"}
    building = dg.DagsterRun(
        **started, asset_selection=frozenset({names.asset_key(one.settings, "engagement", "sequence_activity")})
    )
    with recorded(one.instance, building):
        assert records.is_busy(one.instance, one.settings, {REFRESH})
        assert not records.is_busy(one.instance, other.settings, {REFRESH})
    days = range_tags(DAYS[0], DAYS[1])
    for reading in (
        dg.DagsterRun(**started, tags=days, asset_selection=frozenset({names.activities(one.settings)})),
        dg.DagsterRun(**started | {"job_name": REFRESH}, tags=days | names.run_tags(one.settings)),
    ):
        with recorded(one.instance, reading):
            assert len(records.runs_in_progress(one.instance, one.settings)) == 1
            assert records.runs_in_progress(one.instance, other.settings) == []


def test_the_night_of_one_is_not_that_of_the_other(one: Organization, other: Organization) -> None:
    tags = {"dagster/schedule_name": "nightly_refresh_schedule", **night_tags(NOW, 1), **range_tags(DAYS[0], DAYS[0])}
    night = dg.DagsterRun(REFRESH, status=dg.DagsterRunStatus.SUCCESS, tags=tags | names.run_tags(one.settings))
    with recorded(one.instance, night):
        assert last_nightly_refresh(one.instance, one.settings) is not None
        assert last_nightly_refresh(one.instance, other.settings) is None


def test_old_runs_of_one_are_deleted_by_its_own_sensor_alone(one: Organization, other: Organization) -> None:
    ended = {"status": dg.DagsterRunStatus.SUCCESS, "job_name": REFRESH}
    mine, theirs = (dg.DagsterRun(**ended, tags=names.run_tags(each.settings)) for each in (one, other))
    settings = one.settings.model_copy(update={"dagster_record_days": 7})
    later = {"settings": settings, "clock": lambda: datetime.now(UTC) + timedelta(days=30)}
    with recorded(one.instance, mine, theirs):
        with dg.build_sensor_context(one.instance, resources=later, definitions=one.definitions) as context:
            old_records_sensor(settings).evaluate_tick(context)
        assert [one.instance.has_run(run.run_id) for run in (mine, theirs)] == [False, True]


def test_erasing_a_person_leaves_the_other_organization_as_it_was(agency: dict[str, Organization]) -> None:
    acme, globex = agency["acme"], agency["globex"]
    everything = "SELECT id, payload FROM topo.activities ORDER BY id"
    before = globex.rows(everything)
    [(person,)] = acme.rows("SELECT max(person_id) FROM topo.activities")
    environment = {"TOPO_WAREHOUSE": acme.settings.warehouse, "DAGSTER_HOME": str(acme.settings.dagster_home)}

    def run(*arguments: str) -> str:
        done = answer(Path.cwd(), "--organization", "acme", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert "pg_test_" not in done.stdout + done.stderr
        return done.stdout

    activities = json.loads(run("status", "--json"))["activities"]
    assert "erased" in run("forget", str(person), "--yes").lower()
    exported = run("export", "topo.activities")
    assert 0 < len(exported.splitlines()) - 1 < activities
    assert str(person) not in exported
    assert (person,) not in acme.rows("SELECT DISTINCT person_id FROM topo.activities")
    assert globex.rows(everything) == before


def test_each_report_and_export_has_its_own_folder_and_organization(one: Organization) -> None:
    assert publish(one.definitions, one.instance) == ()
    manifest = json.loads((one.settings.report_dir / "parquet" / "latest" / "manifest.json").read_text())
    assert [(manifest["organization_id"],)] == one.rows("SELECT organization_id::VARCHAR FROM topo.workspace")
    page = one.settings.report_dir / "engagement_report.html"
    assert one.settings.report_dir.name == name_of(one)
    assert f"<title>Engagement report of {name_of(one)}" in page.read_text(encoding="utf-8")


def test_a_view_across_organizations_is_a_union_over_their_attached_schemas(agency: dict[str, Organization]) -> None:
    counts = {name: each.rows("SELECT count(*) FROM topo.activities")[0][0] for name, each in agency.items()}
    acme, globex = agency["acme"], agency["globex"]
    with acme.warehouse.reader() as connection:
        target = globex.settings.warehouse.removeprefix("ducklake:")
        connection.execute(f"ATTACH 'ducklake:{target}' AS globex (META_SCHEMA 'globex', READ_ONLY)")
        found = connection.execute(
            "SELECT 'acme' AS organization, count(*) FROM topo.activities"
            " UNION ALL SELECT 'globex', count(*) FROM globex.topo.activities"
        ).fetchall()
    assert dict(found) == counts


def test_dagster_loads_each_organization_as_a_code_location(agency: dict[str, Organization]) -> None:
    for entry in yaml.safe_load(workspace(list(agency)))["load_from"]:
        module = entry["python_module"]
        loaded = CodePointer.from_module(module["module_name"], module["attribute"], None).load_target()
        keys = loaded.get_repository_def().asset_graph.get_all_asset_keys()
        assert {key.path[0] for key in keys} == {module["location_name"]}


@pytest.mark.full
def test_dagster_loads_each_location_of_the_written_workspace_in_its_own_process(
    agency: dict[str, Organization],
) -> None:
    folder = Path.cwd()
    assert topo_pipeline(folder, "organizations", "--write").returncode == 0
    command = [COMMAND.replace("topo-pipeline", "dagster"), "definitions", "validate", "-w", folder / "workspace.yaml"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    assert found.returncode == 0, found.stdout + found.stderr
    for name in agency:
        assert f"Validation successful for code location {name}" in found.stdout + found.stderr


def test_a_location_of_an_unknown_or_invalid_organization_says_what_is_wrong(
    agency: dict[str, Organization], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "organizations.toml"
    shutil.copy(agency["acme"].settings.organizations_file or "", file)
    with file.open("a") as text:
        text.write('[initech]\napi_key_variable = "INITECH_KEY"\ntimezone = "Texas"\n')
    monkeypatch.setenv("TOPO_ORGANIZATIONS", str(file))
    assert locations.acme.get_repository_def().asset_graph.get_all_asset_keys()
    with pytest.raises(SettingsError, match=r"\[initech\]: timezone: 'Texas' is not an IANA time zone"):
        locations.initech  # noqa: B018
    with pytest.raises(SettingsError, match="There is no organization umbrella"):
        locations.umbrella  # noqa: B018


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.full)])
def test_a_night_of_several_organizations_is_one_run_for_each_in_a_pool_of_its_own(
    agency: dict[str, Organization], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    everyone = [f"client_{number}" for number in range(count)]
    tables = [f'[{name}]\napi_key_variable = "{name.upper()}_KEY"\n' for name in everyone]
    (tmp_path / "organizations.toml").write_text("".join(tables))
    monkeypatch.setenv("TOPO_ORGANIZATIONS", str(tmp_path / "organizations.toml"))
    for name in everyone:
        monkeypatch.setenv(f"{name.upper()}_KEY", f"topo_of_{name}")
    pools, requested = set(), []
    instance = agency["acme"].instance
    for settings in (of_organizations() or {}).values():
        assert isinstance(settings, Settings), settings
        built = build(settings, clock=lambda: NOW)
        schedule = built.get_repository_def().get_schedule_def("nightly_refresh_schedule")
        context = dg.build_schedule_context(instance, NOW, resources=dict(built.resources or {}))
        requests = schedule.evaluate_tick(context).run_requests or []
        requested += requests
        selected = {key for request in requests for key in request.asset_selection or ()}
        pools |= {built.resolve_assets_def(key).op.pool for key in selected}
    assert len(requested) == len(everyone)
    assert pools == {f"topo_api_{name}" for name in everyone}
