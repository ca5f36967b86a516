"""`sequence_timing`: messages by local weekday and hour of the send, and the replies to them."""

from zoneinfo import ZoneInfo

from topo_pipeline_tests.engagement.oracle.actions import done_in
from topo_pipeline_tests.engagement.oracle.answers import Touch
from topo_pipeline_tests.engagement.oracle.rates import rate
from topo_pipeline_tests.engagement.oracle.world import Row, World, group_of, id_of

Cell = tuple[str | None, str, int, int]


def sequence_timing(world: World) -> list[Row]:
    length = world.rules.message_reply_window_days
    sends: dict[Cell, int] = {}
    rated: dict[Cell, list[Touch]] = {}
    left_out: dict[Cell, int] = {}
    for done in done_in(world):
        for message in done.messages:
            at = message.sent.created_at.astimezone(ZoneInfo(world.zone))
            cell = (done.run.sequence, group_of(message.sent), at.isoweekday(), at.hour)
            sends[cell] = sends.get(cell, 0) + 1
            is_closed = world.has_closed(message.sent.created_at, length)
            is_unknown = world.unknown_in_windows(at.date(), length) > 0
            if not is_closed or done.run.is_left_censored:
                continue
            if is_unknown:
                left_out[cell] = left_out.get(cell, 0) + 1
            else:
                rated.setdefault(cell, []).append(message)
    return [
        {
            "sequence_template_id": id_of(cell[0]),
            "channel": cell[1],
            "weekday": cell[2],
            "hour": cell[3],
            "sends": sends[cell],
            "left_out_for_reply": left_out.get(cell, 0),
        }
        | _rate(world, rated.get(cell, []))
        for cell in sends
    ]


def _rate(world: World, messages: list[Touch]) -> Row:
    replied = sum(m.has(m.replies, world.rules.message_reply_window_days) for m in messages)
    row = rate("reply_rate", replied, len(messages), world.rules)
    if len(messages) < world.rules.evidence_small:
        row |= dict.fromkeys(("reply_rate", "reply_rate_low", "reply_rate_high"))
    return row
