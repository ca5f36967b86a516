"""The Dagster definitions as text, so that a diff shows what changed in the graph.

`make snapshot` writes the file.
"""
# ruff: noqa: PLC0415 - these imports read the environment, which conftest has to set first

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from topo_pipeline_tests import conftest  # noqa: F401 - sets the environment

SNAPSHOT = Path(__file__).parent / "definitions.yaml"


def snapshot() -> str:
    """Return every asset, job, schedule, sensor and check with the default settings, as YAML."""
    from topo_pipeline.definitions import build
    from topo_pipeline.settings import Settings

    definitions = build(Settings(_env_file=None, automation="off"))
    repository = definitions.get_repository_def()
    specs = sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key)
    contents = {
        "assets": {spec.key.to_user_string(): _asset(definitions, spec) for spec in specs},
        "checks": _checks(definitions),
        "jobs": {job.name: _job(definitions, job.name) for job in definitions.jobs or []},
        "schedules": {schedule.name: _schedule(schedule) for schedule in repository.schedule_defs},
        "sensors": {sensor.name: _sensor(sensor) for sensor in repository.sensor_defs},
    }
    return yaml.safe_dump(contents, width=1000, allow_unicode=True, sort_keys=False)


def _asset(definitions: dg.Definitions, spec: dg.AssetSpec) -> dict[str, Any]:
    """Leave out description and code version: they come from the asset's SQL, which the diff shows anyway."""
    node = definitions.resolve_asset_graph().get(spec.key)
    return _without_none(
        {
            "group": spec.group_name,
            "table": spec.metadata.get("dagster/table_name"),
            "kinds": ", ".join(sorted(spec.kinds)),
            "owners": ", ".join(spec.owners),
            "pools": ", ".join(sorted(node.pools or ())),
            "deps": ", ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps)) or None,
            "partitions": _partitions(spec.partitions_def),
            "backfill": node.backfill_policy and node.backfill_policy.policy_type.value,
            "freshness": spec.freshness_policy and repr(spec.freshness_policy),
        }
    )


def _partitions(definition: dg.PartitionsDefinition | None) -> str | None:
    if not isinstance(definition, dg.DailyPartitionsDefinition):
        return definition and repr(definition)
    return f"daily from {definition.start:%Y-%m-%d} in {definition.timezone}, end offset {definition.end_offset}"


def _checks(definitions: dg.Definitions) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in sorted(definitions.resolve_asset_graph().asset_check_keys):
        found.setdefault(key.asset_key.to_user_string(), []).append(key.name)
    return found


def _job(definitions: dg.Definitions, name: str) -> dict[str, Any]:
    job = definitions.resolve_job_def(name)
    return {"description": job.description, "steps": sorted(job.graph.node_dict)}


def _schedule(schedule: dg.ScheduleDefinition) -> dict[str, Any]:
    return {
        "description": schedule.description,
        "cron": schedule.cron_schedule,
        "timezone": schedule.execution_timezone,
        "job": schedule.job_name,
        "default": schedule.default_status.value,
    }


def _sensor(sensor: dg.SensorDefinition) -> dict[str, Any]:
    return _without_none(
        {
            "description": sensor.description,
            "kind": sensor.sensor_type.value,
            "seconds": sensor.minimum_interval_seconds,
            "jobs": ", ".join(target.job_name for target in sensor.targets) or None,
            "assets": sensor.asset_selection and str(sensor.asset_selection),
            "default": sensor.default_status.value,
        }
    )


def _without_none(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry is not None}


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
