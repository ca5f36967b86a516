"""`sequence_firsts` and `sequence_cohorts_known`: what changed since a build is found with them."""

from collections import Counter
from datetime import date

from topo_pipeline_tests.engagement.oracle.daily import UNIQUES
from topo_pipeline_tests.engagement.oracle.runs import Run, runs_of
from topo_pipeline_tests.engagement.oracle.world import ENDS, Row, World, id_of

COUNTS = (*(f"unique_{kind}" for kind in UNIQUES), "runs_begun", "runs_ended")


def sequence_firsts(world: World) -> list[Row]:
    """Return the rows with a count, without their load ids: a day whose runs have moved to other days stays."""
    days: dict[tuple[str | None, date], Counter[str]] = {}
    for run in runs_of(world):
        for name, moment in _times(run).items():
            if moment is not None:
                days.setdefault((run.sequence, world.day_of(moment)), Counter())[name] += 1
    return [
        {"sequence_template_id": id_of(sequence), "day": day} | {name: counted[name] for name in COUNTS}
        for (sequence, day), counted in days.items()
    ]


def _times(run: Run) -> Row:
    uniques = {} if run.is_left_censored else {f"unique_{kind}": run.row[column] for kind, column in UNIQUES.items()}
    ended = min(run.times_of(*ENDS), default=None)
    return uniques | {"runs_begun": run.history[0].created_at, "runs_ended": ended}


def sequence_cohorts_known(world: World) -> list[Row]:
    return [{"as_of": world.as_of, "unknown_days": world.unknown_days}]
