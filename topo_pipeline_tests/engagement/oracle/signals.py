"""`sequence_signals`: early reads, changes, ranks and the contacts that a comparison needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from math import ceil, floor, sqrt
from statistics import NormalDist

from topo_pipeline_tests.engagement.oracle.rates import evidence, no_rate, rate, ratio, wilson
from topo_pipeline_tests.engagement.oracle.reply_timing import NEEDED, Curve, Touch, curve, touches_of
from topo_pipeline_tests.engagement.oracle.shrinkage import chance_of_highest, step
from topo_pipeline_tests.engagement.oracle.summary import sequence_summary
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, days, id_of, monday_of

EARLY_DAYS = 28
CURRENT, BASELINE = 4, 8
MIN_CURRENT, MIN_BASELINE, MIN_REPLIES = 30, 60, 5
POWER, LIKELY = 0.84, 0.8
CHANGE = ("common_change", "variation", "change_z", "change_z_needed", "signal", "halving_noticeable")
RANKS = ("reply_rate_shrunken", "reply_rate_contacts_added", "reply_rank", "standing", "rank_reason")
CHANCES = ("chance_above_next", "chance_below_first")


def quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


@dataclass(frozen=True)
class Counted:
    """Contacts, those with a valid reply, and what they are worth as finished ones (None if that is unknown)."""

    contacts: int
    replies: int
    worth: float | None

    @property
    def rate(self) -> float | None:
        return self.replies / self.worth if self.worth else None


def counted(world: World, touches: Iterable[Touch], known_day: date) -> Counted:
    """Count contacts by what had come at the end of a day."""
    there = [touch for touch in touches if touch.is_whole and touch.day <= known_day]
    of_today = learned(world)
    shares = [of_today.share(touch.day.isoweekday(), (known_day - touch.day).days) for touch in there]
    is_known = bool(shares) and of_today.is_learned
    worth = float(sum((share for share in shares if share is not None), Decimal(0))) if is_known else None
    return Counted(len(there), sum(touch.has("valid_reply", known_day) for touch in there), worth)


def learned(world: World) -> Curve:
    assert world.last_known is not None
    return curve(world, "valid_reply", world.last_known)


@dataclass(frozen=True, eq=False)
class Series:
    """The twelve weeks of a sequence before a Monday."""

    sequence: str | None
    current: Counted
    baseline: Counted
    weeks: list[Counted]

    @property
    def rate_before(self) -> float:
        return self.baseline.replies / (self.baseline.worth or 0)

    @property
    def expected(self) -> float:
        return (self.current.worth or 0) * self.rate_before

    @property
    def is_large_enough(self) -> bool:
        current, baseline = self.current, self.baseline
        return (
            (current.worth or 0) >= MIN_CURRENT
            and (baseline.worth or 0) >= MIN_BASELINE
            and baseline.replies >= MIN_REPLIES
        )


def judged_on(world: World) -> date:
    """Return the last Monday at or before as_of."""
    assert world.last_known is not None
    return monday_of(world.last_known + ONE_DAY)


@lru_cache(maxsize=4)
def series_of(world: World) -> dict[str | None, Series]:
    """Return the weeks of each sequence."""
    monday, touches = judged_on(world), touches_of(world)
    found = {}
    for sequence in {touch.sequence for touch in touches}:
        own = [touch for touch in touches if touch.sequence == sequence]

        def between(first: int, last: int, own: list[Touch] = own) -> Counted:
            """Count the contacts of the weeks from `first` to `last` weeks before the Monday."""
            inside = [t for t in own if monday - 7 * first * ONE_DAY <= t.day < monday - 7 * last * ONE_DAY]
            return counted(world, inside, monday - ONE_DAY)

        weeks = [between(ago, ago - 1) for ago in range(CURRENT + 1, CURRENT + BASELINE + 1)]
        found[sequence] = Series(
            sequence,
            between(CURRENT, 0),
            between(CURRENT + BASELINE, CURRENT),
            [week for week in weeks if week.contacts],
        )
    return found


def comparable(world: World) -> list[Series]:
    return [s for s in series_of(world).values() if world.is_judged(s.sequence) and s.is_large_enough]


def variation(weeks: list[tuple[int, float]]) -> float:
    """Return how much rates vary from week to week beyond chance; each week is its replies and the expected ones."""
    above = sum((replies - expected) ** 2 - 7 / 8 * expected for replies, expected in weeks)
    below = sum(7 / 8 * expected**2 for _, expected in weeks)
    return sqrt(max(0.0, above / below)) if below else 0.0


def z(replies: float, baseline: int, exposure: float, varies: float) -> float:
    mean = exposure * (baseline + 0.375)
    return 2 * (sqrt(replies + 0.375) - sqrt(mean)) / sqrt(1 + exposure + mean * varies**2 * (1 / 4 + 1 / 8))


def sequence_changes(world: World) -> dict[str | None, Row]:
    """Return the columns of the change, of each sequence that can be compared."""
    there = comparable(world)
    varies = variation([(w.replies, (w.worth or 0) * s.rate_before) for s in there for w in s.weeks])
    rows: dict[str | None, Row] = {}
    for one in there:
        others = [other for other in there if other is not one]
        common = (sum(s.current.replies for s in others) + 20) / (sum(s.expected for s in others) + 20)
        exposure = (one.current.worth or 0) / (one.baseline.worth or 0)
        halved = z(one.expected / 2, one.baseline.replies, exposure, varies)
        rows[one.sequence] = {
            "common_change": common,
            "variation": varies,
            "change_z": z(one.current.replies, one.baseline.replies, exposure * common, varies),
            "halving_noticeable": abs(halved) >= quantile(1 - 0.025 / len(there)) + POWER,
        }
    is_clear = True
    ordered = sorted(rows.values(), key=lambda row: -abs(row["change_z"]))
    for place, row in enumerate(ordered):
        row["change_z_needed"] = quantile(1 - 0.025 / (len(ordered) - place))
        is_clear = is_clear and abs(row["change_z"]) >= row["change_z_needed"]
        row["signal"] = ("up" if row["change_z"] > 0 else "down") if is_clear else "no_clear_change"
    return rows


def workspace_change(world: World) -> Row:
    there = comparable(world)
    if not there:
        return dict.fromkeys(CHANGE)
    weeks: dict[date, tuple[int, float]] = {}
    monday = judged_on(world)
    for one in there:
        own = [t for t in touches_of(world) if t.sequence == one.sequence]
        for ago in range(CURRENT + 1, CURRENT + BASELINE + 1):
            start = monday - 7 * ago * ONE_DAY
            week = counted(world, [t for t in own if start <= t.day < start + 7 * ONE_DAY], monday - ONE_DAY)
            replies, expected = weeks.get(start, (0, 0.0))
            weeks[start] = (replies + week.replies, expected + (week.worth or 0) * one.rate_before)
    varies = variation(list(weeks.values()))
    current, before = sum(s.current.replies for s in there), sum(s.baseline.replies for s in there)
    expected = sum(s.expected for s in there)
    change = z(current, before, expected / before, varies)
    halved = z(expected / 2, before, expected / before, varies)
    needed = quantile(0.975)
    return {
        "common_change": (current + 20) / (expected + 20),
        "variation": varies,
        "change_z": change,
        "change_z_needed": needed,
        "signal": "no_clear_change" if abs(change) < needed else "up" if change > 0 else "down",
        "halving_noticeable": abs(halved) >= needed + POWER,
    }


def sequence_signals(world: World) -> list[Row]:
    rated = [row for row in sequence_summary(world) if row["period"] == "lifetime"]
    names = {row["sequence_template_id"]: row for row in rated}
    if world.last_known is None:
        return [_unknown(world, row) for row in rated]
    by_id = {id_of(sequence): sequence for sequence in _sequences(world)}
    changes = sequence_changes(world)
    chances = _chances(rated)
    rows = []
    for id_, summary in names.items():
        sequence = by_id[id_]
        own = [touch for touch in touches_of(world) if touch.sequence == sequence]
        series = series_of(world).get(sequence)
        row: Row = {"scope": "sequence", "sequence_template_id": id_}
        row |= {"sequence_name": summary["sequence_name"], "status": summary["status"]}
        row |= _early(world, own)
        row |= _periods(series)
        row |= changes.get(sequence, dict.fromkeys(CHANGE))
        row["signal_reason"] = _signal_reason(world, sequence, series, row)
        row |= _ranks(world, sequence, summary, chances.get(id_, {}))
        row |= _needed(world, own, summary, rated)
        rows.append(_complete(world, row))
    return [*rows, _workspace(world, rated)]


def _workspace(world: World, rated: list[Row]) -> Row:
    there = comparable(world)
    row: Row = {"scope": "workspace", **dict.fromkeys(("sequence_template_id", "sequence_name", "status"))}
    row |= _early(world, touches_of(world))
    together = [
        Counted(
            sum(counts.contacts for counts in each),
            sum(counts.replies for counts in each),
            sum(counts.worth or 0 for counts in each) if each else None,
        )
        for each in ([s.current for s in there], [s.baseline for s in there])
    ]
    row |= _periods(Series(None, *together, [])) | workspace_change(world)
    if not learned(world).is_learned:
        row["signal_reason"] = _lacks(NEEDED, "replies to know how fast they come", learned(world).of_all)
    elif not there:
        row["signal_reason"] = "no sequence can be compared"
    else:
        row["signal_reason"] = _too_few(row)
    num, den = (sum(each[f"reply_rate_{part}"] for each in rated) for part in ("num", "den"))
    row |= rate("reply_rate", num, den, world.rules) | dict.fromkeys((*RANKS, *CHANCES))
    young = counted(world, _young(world, touches_of(world)), world.last_known or date.min)
    row |= {"contacts_counted": float(den + (young.worth or 0))}
    row |= dict.fromkeys(("contacts_needed_higher", "contacts_needed_lower"))
    return _complete(world, row)


def _complete(world: World, row: Row) -> Row:
    last, monday = world.last_known, judged_on(world)
    assert last is not None
    window = world.rules.reply_window_days

    def left_out(first: date, final: date) -> int:
        first = max(first, world.first_landed)
        return sum(world.unknown_in_windows(day, window) > 0 for day in days(first, final))

    return row | {
        "early_first_day": last - (EARLY_DAYS - 1) * ONE_DAY,
        "early_last_day": last,
        "early_days_left_out": left_out(last - (EARLY_DAYS - 1) * ONE_DAY, last),
        "monday": monday,
        "change_days_left_out": left_out(monday - 7 * (CURRENT + BASELINE) * ONE_DAY, monday - ONE_DAY),
        "comparable_sequences": len(comparable(world)),
        "as_of": world.as_of,
    }


def _unknown(world: World, summary: Row) -> Row:
    """Return the row of a sequence while no day is known."""
    sequence = {id_of(s): s for s in _sequences(world)}[summary["sequence_template_id"]]
    row: Row = {"scope": "sequence", "sequence_template_id": summary["sequence_template_id"]}
    row |= {"sequence_name": summary["sequence_name"], "status": summary["status"]}
    row |= _early_columns(Counted(0, 0, None), 0, world)
    row |= {"early_reason": _lacks(NEEDED, "replies to know how fast they come", 0)}
    row |= _periods(None) | dict.fromkeys(CHANGE)
    silent = _unjudged(world, sequence)
    row["signal_reason"] = silent or row["early_reason"]
    row |= _ranks(world, sequence, summary, {})
    row |= {
        "contacts_counted": float(summary["reply_rate_den"]),
        "contacts_needed_higher": None,
        "contacts_needed_lower": None,
    }
    dates = ("early_first_day", "early_last_day", "monday", "as_of")
    return row | dict.fromkeys(dates) | {"early_days_left_out": 0, "change_days_left_out": 0, "comparable_sequences": 0}


def _sequences(world: World) -> set[str | None]:
    return {world.sequence_of(activity) for activity in world.activities}


def _lacks(needed: int, of: str, there: float) -> str:
    return f"needs {needed} {of}; {floor(there)} so far"


def _unjudged(world: World, sequence: str | None) -> str | None:
    if sequence is None:
        return "activities that name no sequence"
    return None if world.is_judged(sequence) else f"the status is {world.status(sequence)}"


def _early(world: World, touches: list[Touch]) -> Row:
    """Return the columns of the early read."""
    last = world.last_known
    assert last is not None
    recent = [t for t in touches if t.day > last - EARLY_DAYS * ONE_DAY and t.is_whole]
    pending = sum(t.has("valid_reply", last) and not t.has("settled_reply", last) for t in recent)
    read = counted(world, recent, last)
    row = _early_columns(read, pending, world)
    if not learned(world).is_learned:
        reason = _lacks(NEEDED, "replies to know how fast they come", learned(world).of_all)
    else:
        reason = None if read.contacts else f"no contact in the last {EARLY_DAYS} days"
        if read.contacts and not read.worth and not read.replies:
            reason = "its contacts are too new"
    return row | {"early_reason": reason}


def _early_columns(read: Counted, pending: int, world: World) -> Row:
    row: Row = {"early_contacts": read.contacts, "early_pending": pending}
    if read.worth is None:
        return row | no_rate("early_rate") | {"early_rate_num": read.replies}
    den = max(read.worth, read.replies)
    low, high = wilson(read.replies, den) if den else (None, None)
    values = (read.replies, float(den), ratio(read.replies, den), low, high, evidence(read.replies, den, world.rules))
    columns = ("_num", "_den", "", "_low", "_high", "_evidence")
    return row | {f"early_rate{column}": value for column, value in zip(columns, values, strict=True)}


def _periods(series: Series | None) -> Row:
    row: Row = {}
    for period in ("current", "baseline"):
        there = Counted(0, 0, None) if series is None else getattr(series, period)
        row |= {f"{period}_contacts": there.contacts, f"{period}_replies": there.replies}
        row |= {f"{period}_worth": there.worth, f"{period}_rate": there.rate}
    return row


def _signal_reason(world: World, sequence: str | None, series: Series | None, row: Row) -> str | None:
    if reason := _unjudged(world, sequence):
        return reason
    if not learned(world).is_learned:
        return _lacks(NEEDED, "replies to know how fast they come", learned(world).of_all)
    current, baseline = (row[f"{period}_worth"] or 0 for period in ("current", "baseline"))
    if current < MIN_CURRENT:
        return _lacks(MIN_CURRENT, "contacts in the last 4 weeks, where new ones count in part", current)
    if baseline < MIN_BASELINE:
        return _lacks(MIN_BASELINE, "contacts in the 8 weeks before", baseline)
    if row["baseline_replies"] < MIN_REPLIES:
        return _lacks(MIN_REPLIES, "replies in the 8 weeks before", row["baseline_replies"])
    return _too_few(row)


def _too_few(row: Row) -> str | None:
    is_blind = row["signal"] == "no_clear_change" and not row["halving_noticeable"]
    return "too few contacts to notice even a halving" if is_blind else None


def _ranks(world: World, sequence: str | None, summary: Row, chances: Row) -> Row:
    columns = ("_num", "_den", "", "_low", "_high", "_evidence", "_shrunken", "_contacts_added")
    row = {f"reply_rate{column}": summary[f"reply_rate{column}"] for column in columns}
    row |= {"reply_rank": summary["reply_rank"], "standing": None} | dict.fromkeys(CHANCES) | chances
    reason = _unjudged(world, sequence)
    if reason is None and row["reply_rank"] is None:
        needed, window = max(world.rules.evidence_small, 1), world.rules.reply_window_days
        reason = f"needs {needed} contacts whose {window} days are over; {summary['reply_rate_den']} so far"
    return row | {"rank_reason": reason}


def _chances(rated: list[Row]) -> dict[str, Row]:
    """Return the standing and the steps of chance of each ranked sequence, by its id."""
    ranked = [row for row in rated if row["reply_rank"] is not None and 0 < row["reply_rate_shrunken"] < 1]
    ranked.sort(key=lambda row: (row["reply_rank"], row["sequence_template_id"]))
    beta = []
    for row in ranked:
        size = row["reply_rate_den"] + row["reply_rate_contacts_added"]
        beta.append((row["reply_rate_shrunken"] * size, (1 - row["reply_rate_shrunken"]) * size))
    found: dict[str, Row] = {}
    for place, row in enumerate(ranked):
        is_last, is_first = place == len(ranked) - 1, place == 0
        found[row["sequence_template_id"]] = {
            "chance_above_next": None if is_last else step(chance_of_highest(beta[place], [beta[place + 1]])),
            "chance_below_first": None if is_first else step(chance_of_highest(beta[0], [beta[place]])),
        }
        if is_first and not is_last:
            is_best = chance_of_highest(beta[0], beta[1:]) >= LIKELY
            found[row["sequence_template_id"]]["standing"] = "best" if is_best else "leads"
    return found


def _young(world: World, touches: Iterable[Touch]) -> list[Touch]:
    closed = world.closed_day(world.rules.reply_window_days)
    return [touch for touch in touches if closed is not None and touch.day > closed]


def _needed(world: World, own: list[Touch], summary: Row, rated: list[Row]) -> Row:
    assert world.last_known is not None
    young = counted(world, _young(world, own), world.last_known).worth or 0
    others = [row for row in rated if row["sequence_template_id"] not in (None, summary["sequence_template_id"])]
    num, den = (sum(row[f"reply_rate_{part}"] for row in others) for part in ("num", "den"))
    is_named = summary["sequence_template_id"] is not None
    return {
        "contacts_counted": float(summary["reply_rate_den"] + young),
        "contacts_needed_higher": contacts_needed(num, den, world.rules.detectable_ratio) if is_named else None,
        "contacts_needed_lower": contacts_needed(num, den, 1 / world.rules.detectable_ratio) if is_named else None,
    }


def contacts_needed(num: int, den: int, factor: float) -> int | None:
    """Return the contacts needed to detect that a rate is `factor` times that of the others."""
    if not num or num / den * factor >= 1:
        return None
    before = num / den
    after = before * factor
    sides = 1.96 * sqrt(before * (1 - before)) + POWER * sqrt(after * (1 - after))
    alone = (sides / (after - before)) ** 2
    return ceil(alone / (1 - alone / den)) if alone < den else None
