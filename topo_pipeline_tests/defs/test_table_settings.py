"""Tables are built with the configured rules, which Dagster records."""

import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetRecordsFilter

from topo_pipeline.automation.following import ATTEMPTS
from topo_pipeline.definitions import build
from topo_pipeline.engagement.building import build as build_table
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.tables import in_order, tables
from topo_pipeline_tests.defs.conftest import LAST_DAYS, NOW, SOME, Pipeline, pipeline_over

RULES = Rules(
    positive_replies=("REFERRAL",),
    neutral_replies=(),
    out_of_office_replies=(),
    bounced_replies=(),
    reply_window_days=1,
    censored_days=0,
)
FILE = """
positive_replies = ["REFERRAL"]
neutral_replies = []
out_of_office_replies = []
bounced_replies = []
reply_window_days = 1
censored_days = 0
"""
OUTDATED = "{}: rebuilt from scratch, because its definition has changed or a table that it reads was rebuilt"


def code_versions(pipeline: Pipeline) -> dict[str, str | None]:
    specs = pipeline.definitions.resolve_all_asset_specs()
    return {spec.key.path[-1]: spec.code_version for spec in specs if spec.key.path[0] == "engagement"}


def recorded(pipeline: Pipeline, table: str) -> dict[str, Any]:
    """Return the metadata and the code version of the table's latest materialization."""
    wanted = AssetRecordsFilter(asset_key=dg.AssetKey(["engagement", table]))
    [record] = pipeline.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    code_version = (record.asset_materialization.tags or {})["dagster/code_version"]
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()} | {
        "code_version": code_version
    }


def uses(table: str, *parameters: str) -> bool:
    """Return whether the table's SQL uses one of these parameters."""
    return any(f"${parameter}" in tables()[table].statements for parameter in parameters)


def outdated(pipeline: Pipeline) -> set[str]:
    """The tables that the latest run rebuilt from scratch because they were outdated, as its log says."""
    run = pipeline.instance.get_runs(limit=1)[0]
    lines = {event.user_message for event in pipeline.instance.all_logs(run.run_id) if not event.is_dagster_event}
    return {table for table in tables() if OUTDATED.format(table) in lines}


def contents(pipeline: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    return {name: pipeline.rows(f"FROM engagement.{name} ORDER BY ALL") for name in SOME}  # noqa: S608


def test_a_changed_rule_changes_code_versions_and_the_next_build_is_from_scratch(
    tmp_path: Path, api_key: str, copied: Pipeline
) -> None:
    (tmp_path / "rules.toml").write_text(FILE)
    by_default, versions = contents(copied), code_versions(copied)
    with pipeline_over(tmp_path, api_key, rules_file=str(tmp_path / "rules.toml")) as changed:
        changed.only("activities", *SOME).backfill(LAST_DAYS[-1:])
        rebuilt = contents(changed)
        for table, version in code_versions(changed).items():
            assert (version != versions[table]) == uses(table, *tomllib.loads(FILE)), table
        for table in SOME:
            assert recorded(changed, table)["code_version"] == code_versions(changed)[table]
            assert Rules(**recorded(changed, table)["rules"]) == RULES
            assert recorded(changed, table)["rules"].keys() == asdict(RULES).keys()
        assert outdated(changed) == {"sequence_activity", "sequence_runs"}
        changed.only("activities", *SOME).backfill(LAST_DAYS[-1:])
        assert outdated(changed) == set()
        with changed.warehouse.transaction() as connection:
            for table in (table for table in in_order() if table.name in SOME):
                of = LAST_DAYS if table.is_daily else ()
                build_table(connection, table, timezone="UTC", now=NOW, rules=RULES, days=of, full_refresh=True)
        assert contents(changed) == rebuilt
    assert all(rebuilt[table] != by_default[table] for table in ("sequence_activity", "sequence_runs"))


def test_tables_with_changed_rules_are_built_although_nothing_has_landed(pipeline: Pipeline, tmp_path: Path) -> None:
    two = ("sequence_activity", "sequence_runs")
    some = pipeline.only("activities", *two)
    some.backfill(LAST_DAYS[-1:])
    assert some.follow_up() is None
    (tmp_path / "rules.toml").write_text(FILE)
    settings = (pipeline.definitions.resources or {})["settings"]
    with_rules = settings.model_copy(update={"rules_file": tmp_path / "rules.toml"})
    built = build(with_rules, clock=lambda: NOW, warehouse=pipeline.warehouse)
    changed = replace(pipeline, definitions=built, parts={}).only("activities", *two)
    request = changed.follow_up()
    assert request is not None
    requested = {key.path[-1] for key in request.asset_selection or ()}
    assert requested >= {table for table in two if uses(table, *tomllib.loads(FILE))}
    assert changed.run(request).success
    assert recorded(changed, "sequence_runs")["code_version"] == code_versions(changed)["sequence_runs"]
    assert changed.follow_up() is None

    # A code server that still has the old rules, while each run reads the new ones.
    cursors: list[str | None] = [None]
    for _ in range(ATTEMPTS):
        request = some.follow_up(cursors)
        assert request is not None
        assert changed.run(request).success
    assert some.follow_up(cursors) is None


def test_the_same_rules_and_time_zone_have_the_same_code_versions(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key) as one, pipeline_over(tmp_path, api_key) as same:
        assert code_versions(one) == code_versions(same)
        assert None not in code_versions(one).values()
    with pipeline_over(tmp_path, api_key, timezone="Europe/Paris") as elsewhere:
        for table, version in code_versions(elsewhere).items():
            assert (version != code_versions(one)[table]) == uses(table, "timezone"), table
