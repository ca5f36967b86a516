"""Two sequences compared: the difference of their reply rates, how sure it is, and how many contacts are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.leaderboard import SequenceUnclear
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.tables import scripts
from topo_pipeline.warehouse.sql import rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Standard errors that a comparison must exceed if somebody looks at it every week and stops at the first clear result.
WEEKLY_Z = 2.8


@dataclass(frozen=True)
class Comparison:
    """Two sequences compared. Rates and differences are shares.

    Attributes:
        first: name, num, den, rate, low, high, rate_period_start, rate_period_end of the first sequence.
        second: The same of the second.
        difference: Rate of the first minus rate of the second, with its 95% range from `low` to `high`. None if either
            has no rate.
        weekly_low: Lower bound for somebody who looks every week (2.8 standard errors).
        weekly_high: The upper one.
        first_is_above: Whether the first is more likely to be the better one.
        chance: How sure that is: very_likely (95%), likely (80%) or about_even.
        ratio: The ratio of two rates that a comparison should detect (rule detectable_ratio).
        needed: Contacts that each needs in total to detect a rate this many times as high as their common one
            (`higher`), or as low (`lower`).
    """

    first: dict[str, Any]
    second: dict[str, Any]
    difference: float | None
    low: float | None
    high: float | None
    weekly_low: float | None
    weekly_high: float | None
    first_is_above: bool | None
    chance: str | None
    ratio: float
    needed: dict[str, int]

    @property
    def is_clear(self) -> bool:
        """Whether the difference holds even if somebody looks at it every week."""
        return (
            self.weekly_low is not None
            and self.weekly_high is not None
            and not (self.weekly_low <= 0 <= self.weekly_high)
        )


def compare(
    connection: "DuckDBPyConnection", first: str, second: str, rules: Rules, period: str = "lifetime"
) -> Comparison:
    """Compare the reply rates of two sequences, given their ids, over a period of `sequence_summary`.

    Raises:
        SequenceUnclear: One of them is not in the table.
    """
    found = compare_all(connection, [first, second], rules, period)
    if not found:
        raise SequenceUnclear("They can't be compared yet: the tables are being rebuilt. Try again in a minute.")
    return found[first, second]


def compare_all(
    connection: "DuckDBPyConnection", sequences: Sequence[str], rules: Rules, period: str = "lifetime"
) -> dict[tuple[str, str], Comparison]:
    """Compare every pair of these sequences. Return each comparison by the two ids, in the given order."""
    macros.define(connection)
    sql = scripts().get_template("comparison.jinja").render()
    compared = {}
    for found in rows(connection, sql, sequences=list(sequences), period=period, weekly_z=WEEKLY_Z):
        pair = (sequences[found.pop("place") - 1], sequences[found.pop("other_place") - 1])
        needed = contacts_needed(found.pop("common_rate"), rules.detectable_ratio)
        compared[pair] = Comparison(ratio=rules.detectable_ratio, needed=needed, **found)
    return compared


def contacts_needed(rate: float | None, ratio: float) -> dict[str, int]:
    """Return the contacts that each of two sequences needs to detect that one has `ratio` times the other's rate.

    16 p (1 - p) / d² with p the mean of the two rates and d their difference: detected in 4 of 5 cases (R. Lehr,
    Statistics in Medicine 11, 1992). Never computed from an observed difference, which chance makes too large.
    """
    if not rate:
        return {}
    needed = {}
    for word, factor in (("higher", ratio), ("lower", 1 / ratio)):
        mean, difference = rate * (1 + factor) / 2, rate * (factor - 1)
        if rate * factor < 1:
            needed[word] = ceil(16 * mean * (1 - mean) / difference**2)
    return needed
