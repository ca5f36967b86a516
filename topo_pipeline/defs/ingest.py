"""What is read from Topo: every activity, day by day, and the names of the sequences."""

from collections.abc import Container, Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from topo_pipeline.defs.agreement import agree, load_metadata
from topo_pipeline.defs.checks import tell_of_activities
from topo_pipeline.defs.columns import table_schema
from topo_pipeline.defs.due import EVERY_MORNING
from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import ACTIVITIES, OWNERS, SEQUENCE_TEMPLATES
from topo_pipeline.defs.partitions import daily, date_at, day_of, key_of
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.warehouse.catalogue import columns_of

if TYPE_CHECKING:
    from topo_pipeline.ingest import Day, Refusal
    from topo_pipeline.warehouse.landing import Load


class Reload(dg.Config):
    """What a person has to say of a day that is read again."""

    allow_shrink: list[str] = Field(
        default=[], description="Days, such as 2026-03-14, of which a reload may remove any number of rows."
    )
    accept_unreadable: list[str] = Field(
        default=[], description="Days, such as 2026-03-14, that land however many of their rows can't be read."
    )

    def allows(self, days: "Sequence[Day]") -> dict[str, set[date]]:
        """The days that it names, as `land` takes them."""
        return {
            "may_shrink": {day.day for day in days if key_of(day.day) in self.allow_shrink},
            "accept_unreadable": {day.day for day in days if key_of(day.day) in self.accept_unreadable},
        }


@dg.asset(
    key=ACTIVITIES,
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="topo",
    kinds={"python", "duckdb"},
    owners=OWNERS,
    pool="topo_api",
    freshness_policy=EVERY_MORNING,
    metadata={"dagster/table_name": "topo.activities"},
)
def activities(
    context: dg.AssetExecutionContext,
    config: Reload,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> None:
    """Every engagement event of the workspace, a day a partition, each day proved complete or refused."""
    days = [day_of(key) for key in context.partition_keys]
    with one_sentence():
        kept = _keep(context, days, warehouse)
        to_read = [day for day in days if day.day not in {load.day for load in kept}]
        for load in chain(kept, land(context, to_read, topo, warehouse, clock, **config.allows(days))):
            # Once more at the run's end, when Dagster writes a second event for the day.
            context.add_asset_metadata(load_metadata(load), partition_key=key_of(load.day))
        context.add_asset_metadata({"dagster/column_schema": _columns(warehouse, "activities")})


def _keep(context: dg.AssetExecutionContext, days: "Sequence[Day]", warehouse: Warehouse) -> "list[Load]":
    """The loads of the days that the failed run which this one begins again has landed, told to Dagster once more.

    Without an event in this run, they would show as failed if it fails too.
    """
    from topo_pipeline.defs.reexecution import landed_before

    kept = landed_before(context.instance, context.run, warehouse, days)
    if kept:
        context.log.info(f"{len(kept)} of {len(days)} days were landed by what this run begins again: not read again.")
    for load in kept:
        _tell(context, load)
    return kept


def land(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    days: "Sequence[Day]",
    topo: Topo,
    warehouse: Warehouse,
    clock: Clock,
    *,
    may_shrink: Container[date] = (),
    accept_unreadable: Container[date] = (),
) -> "Iterator[Load]":
    """Read and land `days`, telling Dagster of each at once; yield each that landed.

    Raises:
        dg.Failure: at the end, naming the days that did not land.
    """
    from topo_pipeline.defs import sentences
    from topo_pipeline.ingest import Refusal, load_days

    agree(context, warehouse, {day.day for day in days})
    refusals: list[Refusal] = []
    if len(days) > 1:
        context.log.info(sentences.of_range(days))
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
    with closing(outcomes):  # an interruption ends the reading too
        for done, outcome in enumerate(outcomes, start=1):
            sentence = sentences.of_day(outcome, done, len(days), clock() - began)
            if isinstance(outcome, Refusal):
                context.log.error(sentence)
                refusals.append(outcome)
            else:
                context.log.info(sentence)
                _tell(context, outcome)
                yield outcome
    if topo.settings.payload_days is not None:
        _empty_payloads(context, warehouse, date_at(clock()) - timedelta(days=topo.settings.payload_days))
    if refusals:
        # The run ends here, and its checks are skipped.
        tell_of_activities(context, warehouse, clock, {refusal.day for refusal in refusals})
        raise _failure(refusals, len(days))


def _empty_payloads(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: Warehouse, before: date
) -> None:
    """Keep to the retention period. Where that fails, days that landed stay green, and the next run tries again."""
    from topo_pipeline.warehouse.errors import WarehouseError
    from topo_pipeline.warehouse.retention import empty_payloads

    try:
        if emptied := empty_payloads(warehouse, before):
            context.log.info(f"Retention: the text of {emptied:,} payloads before {before} was emptied.")
    except WarehouseError as error:
        context.log.error(f"Retention (TOPO_PAYLOAD_DAYS): {error}")


def _tell(context: dg.AssetExecutionContext | dg.OpExecutionContext, load: "Load") -> None:
    context.log_event(dg.AssetMaterialization(ACTIVITIES, partition=key_of(load.day), metadata=load_metadata(load)))


@dg.asset(
    key=SEQUENCE_TEMPLATES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="topo",
    kinds={"python", "duckdb"},
    owners=OWNERS,
    pool="topo_api",
    freshness_policy=EVERY_MORNING,
    metadata={"dagster/table_name": "topo.sequence_templates"},
)
def sequence_templates(
    context: dg.AssetExecutionContext,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[None]:
    """The sequences by name and status, as last known; the tables show ids where Topo gives no names."""
    from topo_pipeline.ingest import load_templates

    with one_sentence():
        known = load_templates(topo.client, warehouse, clock=clock)
        schema = {"dagster/column_schema": _columns(warehouse, "sequence_templates")}
    if known is None:  # the client has logged why
        context.log.info("No sequence names were read: names known before stay, other sequences show as ids.")
        return dg.MaterializeResult(metadata=schema)
    return dg.MaterializeResult(metadata=schema | {"dagster/row_count": known})


def _columns(warehouse: Warehouse, table: str) -> dg.TableSchema:
    with warehouse.reader() as connection:
        return table_schema(columns_of(connection, "topo", table))


def _failure(refusals: "list[Refusal]", asked: int) -> dg.Failure:
    """Name every refused day, days with one reason together; to try again would meet the same."""
    reasons = [
        f"{', '.join(str(refusal.day) for refusal in alike)}: {reason}"
        for reason, alike in groupby(refusals, key=attrgetter("reason"))
    ]
    return dg.Failure(
        description=f"{len(refusals)} of {asked} days did not land. " + "; ".join(reasons),
        metadata={
            "refused_days": [str(refusal.day) for refusal in refusals],
            "reasons": {str(refusal.day): refusal.reason for refusal in refusals},
        },
        allow_retries=False,
    )
