"""A simulated workspace. Its activities are generated on demand from a seed and not stored."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from topo_pipeline.days import days_between
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.dice import SATURDAY, Dice
from topo_pipeline.sandbox.sequences import SEQUENCES, Sequence
from topo_pipeline.sandbox.timeline import HORIZON, timeline
from topo_pipeline.sandbox.wire import SequenceTemplate, TemplateStatus

PEOPLE = 40_000
"""Small enough that some people are in two sequences."""

IMPORT_HOURS = (6.0, 7.5)
IMPORTED_TOGETHER = 0.3
WEEKEND_ENROLMENTS = 0.02
DAYS_KEPT = 400
ARCHIVED_AFTER = timedelta(weeks=9)
"""Time from the end of a sequence's season until it is archived."""

_ONE_DAY = timedelta(days=1)


class World:
    """The activities of a workspace from the day it `starts`, without an end.

    `scale` multiplies the number of contacts. A run depends only on (seed, sequence, day of enrolment, number), so a
    day is generated from the runs enrolled within the horizon before it.
    """

    def __init__(self, seed: int = 7, *, scale: float = 1.0, starts: date = date(2025, 12, 1)) -> None:
        self.seed = seed
        self.scale = scale
        self.starts = starts
        self.organization_id = self.make_id("organization")
        self._template_ids = {sequence.name: self.make_id("template", sequence.name) for sequence in SEQUENCES}
        self._day = lru_cache(DAYS_KEPT)(self._activities_on)
        self._cohort = lru_cache(DAYS_KEPT)(self._enrolled_on)

    def make_id(self, *subject: object) -> str:
        """Return the id of an object in this world."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, (self.seed, *subject)))))

    def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
        """Return the activities strictly between two instants, sorted by `created_at`, then id."""
        found: list[Activity] = []
        eve = _midnight(self.starts - _ONE_DAY)
        after = max(after or eve, eve)
        days = days_between(after.astimezone(UTC).date(), before.astimezone(UTC).date()) if after < before else []
        for day in days:
            activities = self._day(day)
            if after < _midnight(day) and _midnight(day + _ONE_DAY) <= before:
                found.extend(activities)
            else:
                found.extend(a for a in activities if after < a.created_at < before)
        return found

    def templates(self, now: datetime) -> list[SequenceTemplate]:
        """Return the sequence templates at `now`, in order of creation."""
        running = [self._template(number, sequence, now) for number, sequence in enumerate(SEQUENCES)]
        return [*running, self._draft(len(running))]

    def _activities_on(self, day: date) -> tuple[Activity, ...]:
        """Return the activities of one day (UTC), sorted by `created_at`, then id."""
        enrolled = days_between(max(self.starts, day - HORIZON), day)
        activities = (activity for cohort in map(self._cohort, enrolled) for activity in cohort.get(day, ()))
        return tuple(sorted(activities, key=lambda activity: (activity.created_at, activity.id)))

    def _enrolled_on(self, day: date) -> Mapping[date, list[Activity]]:
        """Return all activities of the runs enrolled on `day`, by the day of the activity."""
        by_day: dict[date, list[Activity]] = defaultdict(list)
        for sequence in SEQUENCES:
            if sequence.season.is_on(day):
                for activity in self._runs(sequence, day):
                    by_day[activity.created_at.date()].append(activity)
        return dict(by_day)

    def _runs(self, sequence: Sequence, day: date) -> Iterator[Activity]:
        dice = Dice(self.seed, sequence.name, day)
        mean = self.scale * sequence.enrolled_per_weekday
        if day.weekday() >= SATURDAY:
            mean *= WEEKEND_ENROLMENTS
        number_of_runs = int(mean * dice.between(0.6, 1.4) + dice.between(0, 1))
        imported_at = dice.at(day, IMPORT_HOURS)
        for index in range(number_of_runs):
            of_run = Dice(self.seed, sequence.name, day, index)
            # Contacts imported together have the same enrolment time.
            yield from timeline(
                sequence,
                of_run,
                imported_at if of_run.chance(IMPORTED_TOGETHER) else of_run.at(day, IMPORT_HOURS),
                template_id=self._template_id,
                person_id=self.make_id("person", of_run.below(PEOPLE)),
            )

    def _template_id(self, sequence: Sequence) -> str:
        return self._template_ids[sequence.name]

    def _template(self, number: int, sequence: Sequence, now: datetime) -> SequenceTemplate:
        created_at = self._template_created_at(number)
        began = self._began(sequence)
        changed = max(began, sequence.season.changed(now.date())) if began <= now.date() else None
        return SequenceTemplate(
            id=self._template_id(sequence),
            name=sequence.name,
            summary=sequence.summary,
            status=_status(sequence, now.date(), changed),
            step_count=len(sequence.steps),
            language=sequence.language,
            timezone=sequence.timezone,
            activated_at=_midnight(began) if changed else None,
            created_at=created_at,
            updated_at=_midnight(changed) if changed else created_at,
        )

    def _draft(self, number: int) -> SequenceTemplate:
        """Return a template without a name and steps."""
        made_at = self._template_created_at(number)
        return SequenceTemplate(
            id=self.make_id("template", "draft"),
            name=None,
            summary=None,
            status="PENDING_SETUP",
            step_count=0,
            language="en",
            timezone="Europe/London",
            activated_at=None,
            created_at=made_at,
            updated_at=made_at,
        )

    def _template_created_at(self, number: int) -> datetime:
        return _midnight(self.starts) - timedelta(days=30 - number, hours=-9, minutes=-7 * number)

    def _began(self, sequence: Sequence) -> date:
        day = self.starts
        while not sequence.season.is_on(day):
            day += _ONE_DAY
        return day


def _status(sequence: Sequence, today: date, changed: date | None) -> TemplateStatus:
    if changed is None:
        return "PENDING_SETUP"
    if sequence.season.is_on(today):
        return "ACTIVE"
    rested = today - changed
    if rested < HORIZON:
        return "FINISHING"
    return "INACTIVE" if rested < ARCHIVED_AFTER else "ARCHIVED"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
