"""`sequence_forecast`: what is still to come, and how past forecasts came out."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import sqrt

from topo_pipeline_tests.engagement.oracle.reply_timing import NEEDED, Curve, Touch, curve, nine_digits, touches_of
from topo_pipeline_tests.engagement.oracle.shrinkage import added_contacts, shrunken
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, id_of, monday_of

OUTCOMES = {"valid_reply": "replies", "meeting": "meetings"}
HORIZONS = (7, 30)
PAST, WEEKS_TRIED, GOOD = 12, 20, 8
RATE_DAYS = 84
Z = 1.28


@dataclass(frozen=True)
class Forecast:
    """What was expected of contacts at the end of a day, and what came."""

    in_flight: int
    expected: float | None
    actual: int


def origins(world: World, horizon: int) -> list[date]:
    """Return the last known day before each past forecast: of the last Mondays whose forecast days are known."""
    last = world.last_known
    assert last is not None
    monday = monday_of(last + ONE_DAY)
    tried = [monday - 7 * ago * ONE_DAY - ONE_DAY for ago in range(1, WEEKS_TRIED + 1)]
    usable = [
        day
        for day in tried
        if day >= world.first_landed
        and day + horizon * ONE_DAY <= last
        and not any(day < unknown <= day + horizon * ONE_DAY for unknown in world.unknown_days)
    ]
    return usable[:PAST]


class Then:
    """What was known of one outcome at the end of a day."""

    def __init__(self, world: World, outcome: str, known_day: date) -> None:
        self.window, self.outcome, self.day = world.rules.reply_window_days, outcome, known_day
        self.curve: Curve = curve(world, outcome, known_day)
        self.touches = [touch for touch in touches_of(world) if touch.day <= known_day]
        self.rates = self._rates() if self.curve.is_learned else {}

    def share(self, touch: Touch, later: int = 0) -> Decimal:
        age = min((self.day - touch.day).days + later, self.window)
        return self.curve.share(touch.day.isoweekday(), age) or Decimal(0)

    def _rates(self) -> dict[str | None, float]:
        counts: dict[str | None, tuple[int, Decimal]] = {}
        for touch in self.touches:
            if touch.is_whole and (self.day - touch.day).days < RATE_DAYS:
                num, worth = counts.get(touch.sequence, (0, Decimal(0)))
                counts[touch.sequence] = (num + touch.has(self.outcome, self.day), worth + self.share(touch))
        found = {s: (float(num), float(max(worth, num))) for s, (num, worth) in counts.items() if max(worth, num) > 0}
        if not found:
            return {}
        mean, added = added_contacts([*found.values()])
        sequences = {touch.sequence for touch in self.touches}
        return {s: shrunken(*found.get(s, (0.0, 0.0)), mean, added) for s in sequences}

    def forecast(self, touches: list[Touch], horizon: int) -> Forecast:
        """Return the forecast of these contacts."""
        there = [touch for touch in touches if 0 <= (self.day - touch.day).days < self.window]
        waiting = [touch for touch in there if not touch.has(self.outcome, self.day)]
        until = self.day + horizon * ONE_DAY
        came = sum(touch.has(self.outcome, until) for touch in waiting)
        if not self.curve.is_learned:
            return Forecast(len(waiting), None, came)
        return Forecast(len(waiting), float(sum(self._chance(touch, horizon) for touch in waiting)), came)

    def _chance(self, touch: Touch, horizon: int) -> Decimal:
        rate = self.rates.get(touch.sequence)
        before, later = float(self.share(touch)), float(self.share(touch, horizon))
        if rate is None or rate * before == 1:
            return Decimal(0)
        return nine_digits(Decimal(rate * (later - before) / (1 - rate * before)))


def forecast_range(expected: float, spread: float) -> tuple[float, float]:
    """Return the 80% range."""
    variance = expected + (spread * expected) ** 2
    half = Z * sqrt(variance / expected) / 2
    middle = sqrt(expected + 0.25)
    return max(0.0, max(0.0, middle - half) ** 2 - 0.5), (middle + half) ** 2 - 0.5


def sequence_forecast(world: World) -> list[Row]:
    if world.last_known is None:
        return []
    rows = []
    for outcome in OUTCOMES:
        now = Then(world, outcome, world.last_known)
        recent = [t for t in now.touches if (world.last_known - t.day).days < now.window]
        for horizon in HORIZONS:
            before = [Then(world, outcome, day) for day in origins(world, horizon)]
            rows.append(_row(now, before, horizon, touches_of(world), None))
            for sequence in {touch.sequence for touch in recent}:
                own = [touch for touch in touches_of(world) if touch.sequence == sequence]
                row = _row(now, before, horizon, own, now.rates.get(sequence))
                rows.append(row | {"scope": "sequence", "sequence_template_id": id_of(sequence)})
    return rows


def _row(now: Then, before: list[Then], horizon: int, touches: list[Touch], rate: float | None) -> Row:
    today = now.forecast(touches, horizon)
    past = [forecast for then in before if (forecast := then.forecast(touches, horizon)).expected]
    row: Row = {"scope": "workspace", "sequence_template_id": None, "outcome": now.outcome, "horizon_days": horizon}
    row |= {"first_day": now.day + ONE_DAY, "last_day": now.day + horizon * ONE_DAY, "rate": rate}
    row |= {"in_flight": today.in_flight, "expected": today.expected, "past_forecasts": len(past)}
    row |= dict.fromkeys(("past_within", "past_expected", "past_actual", "spread", "expected_low", "expected_high"))
    if past:
        row |= _checked(past)
    has_range = bool(today.expected) and len(past) == PAST and row["past_within"] >= GOOD
    if has_range and today.expected:
        row["expected_low"], row["expected_high"] = forecast_range(today.expected, row["spread"])
    return row | {"reason": None if has_range else _reason(now, row)}


def _checked(past: list[Forecast]) -> Row:
    pairs = [(forecast.expected or 0.0, forecast.actual) for forecast in past]
    total = sum(expected for expected, _ in pairs)
    squares = sum((actual - expected) ** 2 for expected, actual in pairs)
    spread = sqrt(max(0.0, (squares - total) / sum(expected**2 for expected, _ in pairs)))
    within = sum(
        low <= actual <= high for expected, actual in pairs for low, high in [forecast_range(expected, spread)]
    )
    actual = sum(actual for _, actual in pairs)
    return {"past_within": within, "past_expected": total, "past_actual": actual, "spread": spread}


def _reason(now: Then, row: Row) -> str:
    if not now.curve.is_learned:
        return f"needs {NEEDED} {OUTCOMES[now.outcome]} to know how fast they come; {now.curve.of_all} so far"
    if not row["in_flight"]:
        return "no contact in flight"
    if not row["expected"]:
        return "none has come from contacts like these"
    if row["past_forecasts"] < PAST:
        return f"no range yet: it needs {PAST} past forecasts and has {row['past_forecasts']}"
    return f"only {row['past_within']} of the last {PAST} ranges contained the result"
