"""What is true of a simulated workspace on a morning. Nothing here shares code with the tables or the page."""

from functools import cached_property

import numpy as np

from bench.calibration.pages import Simulated
from bench.calibration.worlds import Counts, Floats

WINDOW = 30  # days in which a reply counts


class Truth:
    """What is true of a workspace on a morning."""

    def __init__(self, simulated: Simulated, today: int) -> None:
        """Keep what had happened and was read by then. A reply on a day that was never read is not known."""
        self.simulated, self.today = simulated, today
        contacts = simulated.contacts
        self.sequence, self.day = contacts.sequence, np.floor(contacts.touched).astype(int)
        self.chance, self.lasting = simulated.chance, simulated.lasting
        self.comes = [self.read(at) for at in (contacts.replied, contacts.met)]
        self.replied, self.met = (at < today for at in self.comes)
        self.positive = self.replied & np.isin(simulated.categories(), (1, 2))
        missing = [day for day in simulated.missing if day < today]
        self.whole = np.full(len(self.day), True)
        for day in missing:
            self.whole &= (self.day > day) | (self.day < day - WINDOW)
        self.missing = sorted(missing)
        self.in_time = self.comes[0] - contacts.touched <= WINDOW
        self.over = self.whole & (self.day <= today - WINDOW - 1)  # whose 30 days have passed

    def read(self, at: Floats) -> Floats:
        """Return times without those on days that were never read."""
        return np.where(np.isin(np.floor(at), [*self.simulated.missing]), np.nan, at)

    def between(self, first: int, last: int) -> Counts:
        """Return which contacts were first messaged from the first to the last day."""
        return (self.day >= first) & (self.day <= last)

    def own(self, sequence: int | None) -> Counts:
        """Return which contacts are in a sequence, or in any."""
        return np.full(len(self.day), True) if sequence is None else self.sequence == sequence

    def rate(self, which: Counts) -> float:
        """Return the true reply rate of these contacts."""
        return float(self.chance[which].mean()) if which.any() else float("nan")

    def newest(self, sequence: int | None) -> Counts:
        """Return the contacts of an early read."""
        return self.own(sequence) & self.whole & self.between(self.today - 28, self.today - 1)

    @cached_property
    def sent(self) -> Floats:
        """When each message was sent that was read."""
        return self.read(self.simulated.sends)

    @cached_property
    def by_sequence(self) -> tuple[Counts, Counts]:
        """The contacts of each sequence whose 30 days have passed, and how many of them replied."""
        size = self.simulated.sequences
        return np.bincount(self.sequence[self.over], minlength=size), np.bincount(
            self.sequence[self.over & self.in_time], minlength=size
        )

    @cached_property
    def active(self) -> Counts:
        """Which sequences are active."""
        return np.array([number not in self.simulated.statuses for number in range(self.simulated.sequences)])

    def change(self, sequence: int | None, monday: int) -> float:
        """Return by what factor the lasting rate has changed, of a sequence against the others or of all together."""
        current, before = (
            np.array([self._lasting(number, *days) for number in range(self.simulated.sequences)])
            for days in ((monday - 28, monday - 1), (monday - 84, monday - 29))
        )
        is_there = (current[:, 1] > 0) & (before[:, 1] > 0)
        now, expected = (
            current[:, 0],
            np.divide(current[:, 1] * before[:, 0], before[:, 1], out=np.zeros(len(before)), where=is_there),
        )
        if sequence is None:
            return float(now[is_there].sum() / expected.sum())
        others = is_there & (np.arange(len(now)) != sequence)
        common = now[others].sum() / expected[others].sum() if others.any() else 1.0
        return float(now[sequence] / (expected[sequence] * common)) if is_there[sequence] else 1.0

    def _lasting(self, sequence: int, first: int, last: int) -> tuple[float, int]:
        which = self.own(sequence) & self.between(first, last)
        return float(self.lasting[which].sum()), int(which.sum())
