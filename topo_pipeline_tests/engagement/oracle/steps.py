"""`sequence_steps`: sequences by step and channel."""

from dataclasses import dataclass, field
from datetime import datetime

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle.actions import STEP_ENDS, Done, done_in
from topo_pipeline_tests.engagement.oracle.answers import Touch
from topo_pipeline_tests.engagement.oracle.channels import is_tracking_off
from topo_pipeline_tests.engagement.oracle.rates import no_rate, rate, ratio
from topo_pipeline_tests.engagement.oracle.world import ENDS, Row, World, group_of, id_of

# The step, the position where the step is unknown, and the channel.
Place = tuple[int | None, int | None, str]


@dataclass(frozen=True, eq=False)
class Visit:
    """What one run sent in one place."""

    world: World
    done: Done
    there: list[Touch] = field(default_factory=list)

    def is_there(self, activity: Activity | None) -> bool:
        return any(touch.sent is activity for touch in self.there)

    @property
    def reached_at(self) -> datetime:
        return self.there[0].sent.created_at

    @property
    def is_replied_before(self) -> bool:
        replies = self.done.run.valid_replies
        return bool(replies) and replies[0].created_at < self.reached_at

    @property
    def is_eligible(self) -> bool:
        """Whether the outcome of the first send here is known and no valid reply came before it."""
        return _is_closed(self.world, self.reached_at) and not self.is_replied_before

    @property
    def is_left_out(self) -> bool:
        """Whether it would be eligible if every day were known."""
        length = self.world.rules.message_reply_window_days
        is_over = self.world.has_closed(self.reached_at, length)
        return is_over and not _is_closed(self.world, self.reached_at) and not self.is_replied_before

    @property
    def is_answered(self) -> bool:
        return self.done.answered is not None and self.is_there(self.done.answered)

    @property
    def is_replied_in_time(self) -> bool:
        """Whether the first valid reply answers a send here, in the window of the first send here."""
        replies = [reply.created_at for reply in self.done.run.valid_replies[:1]]
        return self.is_answered and self.there[0].has(replies, self.world.rules.message_reply_window_days)

    @property
    def is_exit(self) -> bool:
        return self.is_there(self.done.touches[-1].sent)

    @property
    def is_over(self) -> bool:
        """Whether the run had ended by as_of, or nothing had happened for a whole outcome window."""
        world, history = self.world, self.done.run.history
        if any(activity.type in ENDS and world.has_closed(activity.created_at, 0) for activity in history):
            return True
        return world.has_closed(history[-1].created_at, world.rules.reply_window_days)

    @property
    def came_to(self) -> str:
        reason = str(self.done.run.row["exit_reason"])
        return "replied" if reason in ("meeting", "positive", "replied") else reason


def _is_closed(world: World, at: datetime) -> bool:
    """Whether the window for replies to something sent has closed, without an unknown day."""
    length = world.rules.message_reply_window_days
    return world.has_closed(at, length) and world.unknown_in_windows(world.day_of(at), length) == 0


def sequence_steps(world: World) -> list[Row]:
    sequences: dict[str | None, list[Done]] = {}
    for done in done_in(world):
        if not done.run.is_left_censored:
            sequences.setdefault(done.run.sequence, []).append(done)
    return [row for sequence, runs in sequences.items() for row in _of_sequence(world, sequence, runs)]


def _of_sequence(world: World, sequence: str | None, runs: list[Done]) -> list[Row]:
    visits: dict[Place, list[Visit]] = {}
    ended: dict[Place, list[Activity]] = {}
    active: dict[Place, int] = {}
    for done in runs:
        for place, visit in _visits(world, done).items():
            visits.setdefault(place, []).append(visit)
        for activity in done.run.history:
            if activity.type in STEP_ENDS and activity.step is not None:
                ended.setdefault((activity.step, None, group_of(activity)), []).append(activity)
        row = done.run.row
        if row["last_completed_step"] is not None and not done.run.has_ended:
            place = (row["last_completed_step"], None, row["last_completed_channel"])
            active[place] = active.get(place, 0) + 1
    sends = [touch.sent for done in runs for touch in done.touches]
    answered = sum(done.answered is not None for done in runs)
    return [
        {
            "sequence_template_id": id_of(sequence),
            "step": place[0],
            "inferred_position": place[1],
            "channel": place[2],
            "as_of": world.as_of,
            "active_runs": None if place[0] is None else active.get(place, 0),
            "step_coverage": ratio(sum(sent.step is not None for sent in sends), len(sends)),
        }
        | _of_place(world, visits.get(place, []), answered)
        | _looks(world, sequence, place[2], visits.get(place, []))
        | _skips(world, place, ended.get(place, []))
        for place in {*visits, *ended, *active}
    ]


def _visits(world: World, done: Done) -> dict[Place, Visit]:
    visits: dict[Place, Visit] = {}
    for position, touch in enumerate(done.touches, start=1):
        step = touch.sent.step
        place = (step, position if step is None else None, group_of(touch.sent))
        visits.setdefault(place, Visit(world, done)).there.append(touch)
    return visits


def _looks(world: World, sequence: str | None, channel: str, visits: list[Visit]) -> Row:
    if channel != "EMAIL" or is_tracking_off(world, sequence):
        return {"opens": None, "clicks": None}
    sent = [touch for visit in visits for touch in visit.there]
    return {"opens": sum(bool(touch.opens) for touch in sent), "clicks": sum(bool(touch.clicks) for touch in sent)}


def _of_place(world: World, visits: list[Visit], answered: int) -> Row:
    eligible = [visit for visit in visits if visit.is_eligible]
    over = [visit for visit in visits if visit.is_over]
    exits = [visit.came_to for visit in visits if visit.is_exit]
    return {
        "runs_reached": len(visits),
        "sends": sum(len(visit.there) for visit in visits),
        "left_out_for_reply": sum(visit.is_left_out for visit in visits),
        "positive_replies": sum(visit.is_there(visit.done.answered_by_first("positive")) for visit in visits),
        "opt_outs": sum(visit.is_there(visit.done.answered_by_first("opt_out")) for visit in visits),
        **rate("step_reply_rate", sum(visit.is_replied_in_time for visit in eligible), len(eligible), world.rules),
        **rate("share_of_replies", sum(visit.is_answered for visit in visits), answered, world.rules),
        **rate("advance_rate", sum(not visit.is_exit for visit in over), len(over), world.rules),
        **{f"exits_{reason}": exits.count(reason) for reason in ("replied", "stopped", "completed", "active")},
    }


def _skips(world: World, place: Place, ended: list[Activity]) -> Row:
    if place[0] is None:
        return no_rate("step_skip_rate")
    skipped = sum(activity.type == "sequence_step.skipped" for activity in ended)
    return rate("step_skip_rate", skipped, len(ended), world.rules)
