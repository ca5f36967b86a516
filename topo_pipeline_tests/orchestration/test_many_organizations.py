"""Twenty organizations on one machine: the real services run a missed night of each."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteInstigatorOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin as RepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from topo_pipeline.defs import records
from topo_pipeline.defs.resources import utc_now
from topo_pipeline.orchestration.instance import opened, prepare
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings, of_organizations
from topo_pipeline_tests.orchestration.test_dev import dev_in, until

NIGHT = "nightly_refresh_schedule"
EVERYONE = [f"client_{number}" for number in range(20)]


@pytest.mark.full
def test_a_missed_night_of_twenty_organizations_is_twenty_runs_at_once(tmp_path: Path) -> None:
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # where it is past noon
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        variables = {
            "DAGSTER_HOME": str(tmp_path / "home"),
            "TOPO_ORGANIZATIONS": str(tmp_path / "organizations.toml"),
            "TOPO_WAREHOUSE": str(tmp_path / "topo.duckdb"),
            "TOPO_REPORT_DIR": str(tmp_path / "report"),
            "TOPO_AUTOMATION": "on",
            "TOPO_TIMEZONE": zone,
            "TOPO_START_DATE": str((datetime.now(UTC) - timedelta(days=10)).date()),
            "TOPO_REQUESTS_PER_SECOND": "1000",
        }
        tables = ""
        for number, name in enumerate(EVERYONE):
            app = create_app(World(number, scale=0.02), api_key=f"topo_of_{name}", now=utc_now)
            address = stack.enter_context(serve(app))
            tables += f'[{name}]\napi_key_variable = "{name.upper()}_KEY"\napi_url = "{address}/v1"\n'
            variables[f"{name.upper()}_KEY"] = f"topo_of_{name}"
        (tmp_path / "organizations.toml").write_text(tables)
        for variable, value in variables.items():
            patch.setenv(variable, value)
        instance = stack.enter_context(opened(prepare(tmp_path / "home").parent))
        for name in EVERYONE:
            _last_tick(instance, name, datetime.now(UTC) - timedelta(days=1, hours=12))

        def nights() -> list[dg.RunRecord]:
            found = instance.get_run_records(dg.RunsFilter(tags={"dagster/schedule_name": NIGHT}))
            assert len(found) >= len(EVERYONE)
            assert all(record.dagster_run.is_finished for record in found)
            return list(found)

        with dev_in(tmp_path, **variables):
            ran = until(nights)
        assert [record.dagster_run.status for record in ran] == [dg.DagsterRunStatus.SUCCESS] * len(EVERYONE)
        assert sorted(record.dagster_run.tags["organization"] for record in ran) == sorted(EVERYONE)
        spans = sorted((record.start_time or 0, record.end_time or 0) for record in ran)
        assert any(start < end for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
        for settings in (of_organizations() or {}).values():
            assert isinstance(settings, Settings), settings
            today = datetime.now(settings.zone).date()
            night = {today - timedelta(days=ago) for ago in range(1, 2 + settings.lookback_days)}
            assert night <= records.last_loads(instance, settings).keys()  # a sensor reads today too


def _last_tick(instance: dg.DagsterInstance, organization: str, at: datetime) -> None:
    """Store the state that a daemon leaves if the last night of the organization was then."""
    target = LoadableTargetOrigin(module_name="topo_pipeline.locations", attribute=organization)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, organization)
    origin = RemoteInstigatorOrigin(RepositoryOrigin(location, "__repository__"), NIGHT)
    data = ScheduleInstigatorData("15 1 * * *", at.timestamp())
    state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    instance.add_instigator_state(state)
