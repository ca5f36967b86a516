"""The snapshot of the definitions is up to date and complete."""

import dagster as dg
import yaml

from topo_pipeline.definitions import defs
from topo_pipeline_tests.snapshot import SNAPSHOT, snapshot


def test_the_snapshot_matches_the_definitions() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == snapshot(), "run `make snapshot` and look at its diff"


def test_the_snapshot_contains_every_definition() -> None:
    contents = yaml.safe_load(SNAPSHOT.read_text(encoding="utf-8"))
    assert set(contents["assets"]) == {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    checks = {f"{asset}:{name}" for asset, names in contents["checks"].items() for name in names}
    assert checks == {key.to_user_string() for key in defs.resolve_asset_graph().asset_check_keys}
    repository: dg.RepositoryDefinition = defs.get_repository_def()
    assert set(contents["jobs"]) == {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert set(contents["schedules"]) == {schedule.name for schedule in repository.schedule_defs}
    assert set(contents["sensors"]) == {sensor.name for sensor in repository.sensor_defs}
