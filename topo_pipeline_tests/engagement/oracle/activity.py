"""`sequence_activity`: the activities of each day, counted."""

from datetime import date

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle.world import CLASSES, DAY_ONLY, KINDS, KNOWN, Row, World, group_of, id_of


def sequence_activity(world: World) -> list[Row]:
    cells: dict[tuple[str | None, str | None, str, date], list[Activity]] = {}
    for day, activities in world.landed.items():
        for activity in activities:
            run = activity.run if activity.sequence is None else None
            cells.setdefault((activity.sequence, run, group_of(activity), day), []).append(activity)
    return [
        {"sequence_template_id": id_of(sequence), "sequence_id": id_of(run), "channel": channel, "day": day}
        | _counts(world, cell)
        for (sequence, run, channel, day), cell in cells.items()
    ]


def _counts(world: World, cell: list[Activity]) -> Row:
    of_runs = [activity for activity in cell if activity.run is not None]
    row = totals(world, of_runs) | replies_by_class(world, of_runs)
    row["replies_not_human"] = row["replies_out_of_office"] + row["replies_bounced"]
    for name, type_ in DAY_ONLY.items():
        row[name] = sum(activity.type == type_ for activity in of_runs)
    persons = {a.person for a in of_runs if a.type == "message.sent" and a.person is not None}
    row["persons_messaged"] = len(persons)
    row["orphans"] = len(cell) - len(of_runs)
    row["other"] = sum(activity.type not in KNOWN for activity in of_runs)
    return row


def totals(world: World, activities: list[Activity]) -> Row:
    return {f"total_{kind}": sum(world.is_kind(activity, kind) for activity in activities) for kind in KINDS}


def replies_by_class(world: World, activities: list[Activity]) -> Row:
    return {f"replies_{name}": sum(world.is_reply(activity, name) for activity in activities) for name in CLASSES}
