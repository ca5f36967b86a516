"""The assets read from Topo: the activities, one partition per day, and lists such as the sequences.

Landing days within a run belongs here, with its log and its refusals, and what a re-execution need not read again.
Reading and proving a day does not: that is in `ingest`.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from pydantic import Field

from topo_pipeline.common.text import counted
from topo_pipeline.days import Day
from topo_pipeline.defs import names
from topo_pipeline.defs.asset_checks import report_activity_checks
from topo_pipeline.defs.messages import ExplainedFailure, as_dagster_failure, day_line, refused_days
from topo_pipeline.defs.metric_tables import table_links, table_schema
from topo_pipeline.defs.partitions import daily_partitions, date_at, day_of, every_morning
from topo_pipeline.defs.records import load_metadata, sync_records
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.catalogue import columns_of

if TYPE_CHECKING:
    from topo_pipeline.ingest.loading import Refusal
    from topo_pipeline.warehouse.landing import Load

OUTAGE = "topo_gave_no_usable_answer"
"""Metadata of a failed read: whether its last day failed because Topo gave no usable answer."""

LISTS = {
    "sequence_templates": (
        "SequenceTemplate",
        "Name and status of each sequence, as last read. Without a name, tables show the sequence's id.",
    ),
}
"""The list endpoints: the table of each, its model in `topo_api.wire`, and the description of its asset."""


def list_assets(settings: Settings) -> list[dg.AssetKey]:
    """Return the keys of the assets of the list endpoints."""
    return [names.asset_key(settings, "topo", table) for table in LISTS]


def topo_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets."""
    terms: dict[str, Any] = {
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "group_name": "topo",
        "kinds": {"python", "duckdb"},
        "owners": names.OWNERS,
        "pool": names.pool(settings, "topo_api"),
        "freshness_policy": every_morning(settings.timezone),
    }
    return [
        dg.asset(
            key=names.activities(settings),
            partitions_def=daily_partitions(settings),
            metadata=table_links("topo.activities"),
            **terms,
        )(activities),
        *(
            _list_asset(names.asset_key(settings, "topo", table), model, description, terms)
            for table, (model, description) in LISTS.items()
        ),
    ]


class ReloadConfig(dg.Config):
    """Days for which a safety limit is lifted."""

    allow_shrink: list[str] = Field(
        default=[], description="Days, such as 2026-03-14, whose reload may remove any number of rows."
    )
    accept_unreadable: list[str] = Field(
        default=[], description="Days, such as 2026-03-14, that may land with any number of unreadable rows."
    )

    def allows(self, days: Sequence[Day]) -> dict[str, set[date]]:
        """Return those of `days` that are named here, as arguments of `land`."""
        return {
            "may_shrink": {day.day for day in days if str(day.day) in self.allow_shrink},
            "accept_unreadable": {day.day for day in days if str(day.day) in self.accept_unreadable},
        }


def activities(
    context: dg.AssetExecutionContext,
    config: ReloadConfig,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[None]:
    """Every engagement event of the workspace. One partition per day, each proved complete or refused."""
    daily = daily_partitions(topo.settings)
    days = [day_of(key, daily) for key in context.partition_keys]
    with as_dagster_failure():
        kept = _reuse_landed_days(context, days, topo.settings, warehouse)
        to_read = [day for day in days if day.day not in kept]
        land(context, to_read, topo, warehouse, clock, **config.allows(days))
    # Each day is recorded as it lands. Without this mark, Dagster would add an event for each at the end of the step.
    return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def _reuse_landed_days(
    context: dg.AssetExecutionContext, days: Sequence[Day], settings: Settings, warehouse: Warehouse
) -> set[date]:
    """Return the landed days of the re-executed run, and log their materializations in this run.

    Without an event in this run, these days would show as failed if this run fails too.
    """
    kept = landed_before(context.instance, context.run, warehouse, days)
    if kept:
        context.log.info(f"The re-executed run landed {len(kept)} of {len(days)} days. They are not read again.")
    for load in kept:
        _log_materialization(context, settings, load)
    return {load.day for load in kept}


def landed_before(
    instance: dg.DagsterInstance, run: dg.DagsterRun, warehouse: Warehouse, days: Sequence[Day]
) -> "list[Load]":
    """Return the last load of each of `days` that the run re-executed by `run` has landed, closed and proved.

    The loads come from the ledger, not from Dagster's records. The warehouse may have been replaced since then, and a
    run that was killed between a commit and its event has landed the day without a record.

    Raises:
        WarehouseError: the warehouse can't be used.
    """
    from topo_pipeline.topo_api.windows import MARGIN
    from topo_pipeline.warehouse.ledger import complete_loads

    run_ids = list(_unsuccessful_ancestors(instance, run))
    if not run_ids or not days:
        return []
    warehouse.prepare()
    with warehouse.reader() as connection:
        loads = complete_loads(connection, run_ids, days[0].day, days[-1].day)
    # If TOPO_TIMEZONE has changed since then, the same date ends at another instant.
    ends = {day.day: day.window.end for day in days}
    return [
        load for load in loads if load.day in ends and ends[load.day] <= load.asked_before <= ends[load.day] + MARGIN
    ]


def _unsuccessful_ancestors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[str]:
    """Yield the ids of the failed or cancelled runs that `run` re-executes, directly and indirectly, newest first.

    Stops at a run that succeeded: re-executing such a run means to read everything again.
    """
    while run.parent_run_id and (parent := instance.get_run_by_id(run.parent_run_id)):
        if parent.status == dg.DagsterRunStatus.SUCCESS:
            return
        yield parent.run_id
        run = parent


def land(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    days: Sequence[Day],
    topo: Topo,
    warehouse: Warehouse,
    clock: Clock,
    *,
    may_shrink: Container[date] = (),
    accept_unreadable: Container[date] = (),
) -> None:
    """Read and land `days`. Log each day's materialization as soon as it lands.

    Raises:
        ExplainedFailure: at the end, if days did not land. It names them.
    """
    from topo_pipeline.ingest.loading import Refusal, load_days

    sync_records(context, topo.settings, warehouse, {day.day for day in days})
    refusals: list[Refusal] = []
    landed = activities = 0
    if len(days) > 1:
        context.log.info(f"Reading {len(days)} days, {days[0].day} to {days[-1].day}")
    began = clock()
    outcomes = load_days(
        topo.client,
        warehouse,
        days,
        run_id=context.run.run_id,
        clock=clock,
        timezone=topo.settings.timezone,
        completeness=topo.settings.completeness,
        label_channels=topo.settings.label_channels == "on",
        may_shrink=may_shrink,
        accept_unreadable=accept_unreadable,
    )
    with closing(outcomes):  # so that an interruption also ends the requests
        for done, outcome in enumerate(outcomes, start=1):
            sentence = day_line(outcome, done, len(days), clock() - began)
            if isinstance(outcome, Refusal):
                context.log.error(sentence)
                refusals.append(outcome)
            else:
                schema = {"dagster/column_schema": _columns(warehouse, "activities")} if done == len(days) else {}
                _log_materialization(context, topo.settings, outcome, sentence, **schema)
                landed, activities = landed + 1, activities + outcome.rows
    # The UI shows tags in its list of runs.
    total = f"{landed} of {counted(len(days), 'day')}, {counted(activities, 'activity', 'activities')}"
    context.instance.add_run_tags(context.run.run_id, {"landed": total})
    if (retained := topo.settings.payload_days) is not None:
        _empty_payloads(context, warehouse, date_at(clock(), topo.settings) - timedelta(days=retained))
    if refusals:
        # The step fails here, so the run skips the checks that follow it.
        report_activity_checks(context, warehouse, clock, topo.settings, {refusal.day for refusal in refusals})
        raise _failure(refusals, len(days))


def _empty_payloads(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: Warehouse, before: date
) -> None:
    """Empty payloads beyond the retention period. A failure is only logged; the next run tries again."""
    from topo_pipeline.maintenance.retention import empty_payloads
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        if emptied := empty_payloads(warehouse, before):
            context.log.info(f"Retention: emptied the text of {emptied:,} payloads from before {before}.")
    except WarehouseError as error:
        context.log.error(f"Retention (TOPO_PAYLOAD_DAYS): {error}")


def _log_materialization(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    settings: Settings,
    load: "Load",
    sentence: str | None = None,
    **more: Any,
) -> None:
    """Log a day's materialization. The sentence is its line in the run's log, the load its data version."""
    context.log_event(
        dg.AssetMaterialization(
            names.activities(settings),
            description=sentence,
            partition=str(load.day),
            metadata=load_metadata(load) | more,
            tags={DATA_VERSION_TAG: str(load.load_id)},
        )
    )


def _list_asset(key: dg.AssetKey, model: str, description: str, terms: Mapping[str, Any]) -> dg.AssetsDefinition:
    _, table = names.table_of(key)

    def list_asset(
        context: dg.AssetExecutionContext,
        topo: dg.ResourceParam[Topo],
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.ingest.lists import load_list
        from topo_pipeline.topo_api import wire

        item: type[wire.ListItem] = getattr(wire, model)
        with as_dagster_failure():
            known = load_list(topo.client, warehouse, item, table, clock=clock)
            schema = {"dagster/column_schema": _columns(warehouse, table)}
        if known is None:  # the client has logged the reason
            context.log.info(f"No {item.plural} were read. Known ones are kept, and others are shown by id.")
            return dg.MaterializeResult(metadata=schema)
        return dg.MaterializeResult(metadata=schema | {"dagster/row_count": known})

    make: Any = dg.asset(key=key, metadata=table_links(f"topo.{table}"), description=description, **terms)
    asset: dg.AssetsDefinition = make(list_asset)
    return asset


def _columns(warehouse: Warehouse, table: str) -> dg.TableSchema:
    with warehouse.reader() as connection:
        return table_schema(columns_of(connection, "topo", table))


def _failure(refusals: "list[Refusal]", asked: int) -> ExplainedFailure:
    """Return the failure that names every refused day."""
    reasons = {refusal.day: refusal.reason for refusal in refusals}
    return ExplainedFailure(
        refused_days(reasons, asked),
        {
            "refused_days": [str(day) for day in reasons],
            "reasons": {str(day): reason for day, reason in reasons.items()},
            OUTAGE: refusals[-1].is_outage,
        },
    )
