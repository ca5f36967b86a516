"""A change of the graph is seen in the diff."""

import dagster as dg
import yaml

from topo_pipeline.definitions import defs
from topo_pipeline_tests.snapshot import SNAPSHOT, snapshot


def test_the_snapshot_is_what_the_code_location_holds() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == snapshot(), "`make snapshot` writes it anew: look at its diff"


def test_the_snapshot_leaves_nothing_out() -> None:
    picture = yaml.safe_load(SNAPSHOT.read_text(encoding="utf-8"))
    assert set(picture["assets"]) == {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    checks = {f"{asset}:{name}" for asset, names in picture["checks"].items() for name in names}
    assert checks == {key.to_user_string() for key in defs.resolve_asset_graph().asset_check_keys}
    repository: dg.RepositoryDefinition = defs.get_repository_def()
    assert set(picture["jobs"]) == {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert set(picture["schedules"]) == {schedule.name for schedule in repository.schedule_defs}
    assert set(picture["sensors"]) == {sensor.name for sensor in repository.sensor_defs}
