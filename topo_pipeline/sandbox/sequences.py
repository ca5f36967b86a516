"""The sequences of the simulated workspace: their steps, volumes and reply behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, cast

StepKind = Literal["email", "linkedin", "invitation", "task"]

# The weights of the reply categories in a warm, a mixed and a cold sequence.
_WEIGHTS = {
    "MEETING": (26, 13, 5),
    "INTERESTED": (28, 18, 8),
    "BAD_TIMING": (14, 20, 16),
    "REFERRAL": (10, 10, 6),
    "WRONG_PERSON": (4, 8, 14),
    "LEFT_COMPANY": (2, 4, 6),
    "NOT_INTERESTED": (14, 22, 32),
    "UNSUBSCRIBED": (2, 4, 11),
    "UNKNOWN": (2, 3, 3),
}
WARM, MIXED, COLD = ({category: weights[mood] for category, weights in _WEIGHTS.items()} for mood in range(3))
_FIRST_MONDAY = date(2025, 12, 1)


@dataclass(frozen=True)
class Step:
    """One step of a sequence, `after_days` working days after the step before."""

    kind: StepKind
    after_days: int


@dataclass(frozen=True)
class Season:
    """Alternating weeks in which a sequence does and does not enrol contacts, repeated for ever.

    The world has no fixed "today", so a sequence that "started recently" or "just ended" must do so repeatedly.
    """

    weeks_on: int
    weeks_off: int
    first_week: int = 0

    def is_on(self, day: date) -> bool:
        """Return whether contacts are enrolled on this day."""
        return self._day_of_cycle(day) < self.weeks_on * 7

    def changed(self, day: date) -> date:
        """Return the latest day up to `day` on which a season started or ended. `date.min` if it never changes."""
        if not self.weeks_off:
            return date.min
        passed = self._day_of_cycle(day)
        return day - timedelta(days=passed if self.is_on(day) else passed - self.weeks_on * 7)

    def _day_of_cycle(self, day: date) -> int:
        days = (day - _FIRST_MONDAY).days - self.first_week * 7
        return days % ((self.weeks_on + self.weeks_off) * 7)


ALL_YEAR = Season(weeks_on=1, weeks_off=0)
TURNS = tuple(Season(weeks_on=9, weeks_off=27, first_week=first) for first in (0, 9, 18, 27))
"""Four sequences with these seasons take turns. At any time one is new, one has ended and two are archived.

Each rests for more than half a year, so in 26 weeks of data the new one has no earlier season.
"""


@dataclass(frozen=True)
class Sequence:
    """One sequence template and the behaviour of its contacts.

    `reply_rate` is the probability that a contact who gets every message replies to one. `mood` has the weights of the
    reply categories. `open_rate` is per message, `click_rate` per opening.
    """

    name: str
    summary: str
    steps: tuple[Step, ...]
    enrolled_per_weekday: float
    reply_rate: float
    mood: Mapping[str, float]
    open_rate: float = 0.45
    click_rate: float = 0.05
    acceptance_rate: float = 0.35
    is_tracked: bool = True
    season: Season = ALL_YEAR
    language: str = "en"
    timezone: str = "Europe/London"


def _steps(plan: str) -> tuple[Step, ...]:
    """Parse steps such as `email+0 task+2 email+3`."""
    pairs = (word.split("+") for word in plan.split())
    return tuple(Step(cast("StepKind", kind), int(days)) for kind, days in pairs)


FORMER_CUSTOMERS = Sequence(
    name="Former customers - win back",
    summary="Two e-mails to those who left a year ago, and a call",
    steps=_steps("email+0 email+4 task+2"),
    enrolled_per_weekday=5,
    reply_rate=0.09,
    mood=MIXED,
    open_rate=0.57,
    click_rate=0.07,
)
"""Some contacts of other sequences turn out to be former customers. Their runs are moved here."""

SEQUENCES = (
    Sequence(
        name="CFOs Benelux - audit season",
        summary="Finance chiefs of mid-sized firms before the year-end audit",
        steps=_steps("email+0 email+3 email+4 email+5"),
        enrolled_per_weekday=8,
        reply_rate=0.065,
        mood=MIXED,
        open_rate=0.5,
        language="nl",
        timezone="Europe/Amsterdam",
    ),
    Sequence(
        name="Heads of Sales DACH - hiring signal",
        summary="Sales leaders with three or more open positions; an invitation first",
        steps=_steps("invitation+0 email+2 linkedin+3 email+5"),
        enrolled_per_weekday=7,
        reply_rate=0.09,
        mood=WARM,
        language="de",
        timezone="Europe/Berlin",
    ),
    Sequence(
        name="Ops leads France - warehouse automation",
        summary="Logistics managers with more than one warehouse",
        steps=_steps("email+0 email+3 email+5"),
        enrolled_per_weekday=7,
        reply_rate=0.036,
        mood=COLD,
        open_rate=0.36,
        language="fr",
        timezone="Europe/Paris",
    ),
    Sequence(
        name="Founders UK - seed round closed",
        summary="Founders in the weeks after a seed round, short and personal",
        steps=_steps("email+0 email+3 email+4"),
        enrolled_per_weekday=7,
        reply_rate=0.155,
        mood=WARM,
        open_rate=0.62,
        click_rate=0.09,
    ),
    Sequence(
        name="HR directors Nordics - payroll switch",
        summary="A long e-mail sequence on payroll, bought list",
        steps=_steps("email+0 email+3 email+3 email+4 email+5"),
        enrolled_per_weekday=19,
        reply_rate=0.021,
        mood=COLD,
        open_rate=0.28,
        click_rate=0.02,
        timezone="Europe/Stockholm",
    ),
    Sequence(
        name="RevOps US East - CRM clean-up",
        summary="E-mail with a call in between, then LinkedIn",
        steps=_steps("email+0 task+2 email+3 linkedin+4 task+3"),
        enrolled_per_weekday=5,
        reply_rate=0.08,
        mood=MIXED,
        timezone="America/New_York",
    ),
    Sequence(
        name="Design leaders Europe - LinkedIn only",
        summary="An invitation, then two messages to those who accept",
        steps=_steps("invitation+0 linkedin+3 linkedin+5"),
        enrolled_per_weekday=22,
        reply_rate=0.13,
        mood=WARM,
        acceptance_rate=0.42,
        timezone="Europe/Copenhagen",
    ),
    Sequence(
        name="Plant managers Iberia - energy costs",
        summary="Tracking is off: no opens and no clicks are recorded",
        steps=_steps("email+0 email+3 email+4 email+4"),
        enrolled_per_weekday=8,
        reply_rate=0.054,
        mood=MIXED,
        is_tracked=False,
        language="es",
        timezone="Europe/Madrid",
    ),
    Sequence(
        name="General counsel - contract backlog pilot",
        summary="A handful of hand-picked contacts",
        steps=_steps("email+0 email+4 linkedin+5"),
        enrolled_per_weekday=0.4,
        reply_rate=0.12,
        mood=WARM,
        open_rate=0.6,
    ),
    Sequence(
        name="Trade fair visitors - follow-up",
        summary="Contacts scanned at a fair; runs for nine weeks after it",
        steps=_steps("email+0 email+2 linkedin+3 email+5"),
        enrolled_per_weekday=10,
        reply_rate=0.095,
        mood=WARM,
        open_rate=0.55,
        click_rate=0.08,
        season=TURNS[0],
    ),
    Sequence(
        name="IT managers Poland - next wave",
        summary="Nine weeks of new contacts, then a rest",
        steps=_steps("email+0 email+3 email+5"),
        enrolled_per_weekday=10,
        reply_rate=0.045,
        mood=COLD,
        open_rate=0.4,
        season=TURNS[1],
        timezone="Europe/Warsaw",
    ),
    Sequence(
        name="Webinar attendees - replay and questions",
        summary="The recording, then an offer to answer questions",
        steps=_steps("email+0 email+3 email+4"),
        enrolled_per_weekday=10,
        reply_rate=0.07,
        mood=MIXED,
        open_rate=0.5,
        click_rate=0.12,
        season=TURNS[2],
    ),
    Sequence(
        name="Price list downloads - call back",
        summary="An e-mail and a call to those who downloaded the price list",
        steps=_steps("email+0 task+2 email+3"),
        enrolled_per_weekday=10,
        reply_rate=0.06,
        mood=MIXED,
        season=TURNS[3],
    ),
    FORMER_CUSTOMERS,
)
