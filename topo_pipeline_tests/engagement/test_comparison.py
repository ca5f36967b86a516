"""Comparing two sequences: the range of the difference, the chance, and the contacts that each needs."""

from dataclasses import replace
from datetime import date
from math import inf

import pytest
from scipy import integrate, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from topo_pipeline.engagement.comparison import WEEKLY_Z, Comparison, compare, contacts_needed
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.sentences import comparison as sentences
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, replied, sent, uid
from topo_pipeline_tests.engagement.oracle import days

DAYS = list(days(date(2026, 3, 1), date(2026, 4, 30)))
# Contacts and replies of each sequence.
SIZES = {"strong": (60, 30), "weak": (50, 5), "middle": (40, 6), "silent": (35, 0), "young": (10, 1), "tiny": (20, 10)}


def cohort(sequence: str, contacts: int, replies: int) -> list[Activity]:
    at = march(61) if sequence == "young" else march(1)
    runs = [f"{sequence} {n}" for n in range(contacts)]
    return [
        *(enrolled(at, run, sequence=sequence) for run in runs),
        *(sent(at.replace(minute=5), run, sequence=sequence) for run in runs),
        *(replied(at.replace(minute=30), run, sequence=sequence, category="INTERESTED") for run in runs[:replies]),
    ]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("compared") / "topo.duckdb"))
    workspace.land_all([each for name, size in SIZES.items() for each in cohort(name, *size)], *DAYS)
    workspace.name(**{name: name for name in SIZES})
    workspace.build()
    return workspace


def compared(workspace: Workspace, first: str, second: str, rules: Rules = DEFAULT_RULES) -> Comparison:
    with workspace.seeing("sequence_summary") as connection:
        return compare(connection, uid(first), uid(second), rules)


@pytest.mark.parametrize(("first", "second"), [("strong", "weak"), ("middle", "strong"), ("weak", "silent")])
def test_the_ranges_are_newcombes_and_the_weekly_one_is_of_2_8_standard_errors(
    workspace: Workspace, first: str, second: str
) -> None:
    found = compared(workspace, first, second)
    (contacts, replies), (other_contacts, other_replies) = SIZES[first], SIZES[second]
    assert (found.first["num"], found.first["den"], found.second["name"]) == (replies, contacts, second)
    assert found.difference == pytest.approx(replies / contacts - other_replies / other_contacts)
    weekly = 2 * stats.norm.sf(2.8)
    for alpha, low, high in ((0.05, found.low, found.high), (weekly, found.weekly_low, found.weekly_high)):
        expected = confint_proportions_2indep(
            replies, contacts, other_replies, other_contacts, method="newcomb", compare="diff", alpha=alpha
        )
        assert (low, high) == pytest.approx(expected, abs=1e-9)


def test_the_chance_is_that_of_the_adjusted_rates(workspace: Workspace) -> None:
    with workspace.seeing("sequence_summary") as connection:
        rows = connection.execute(
            "SELECT sequence_name, reply_rate_shrunken, reply_rate_den + reply_rate_contacts_added"
            " FROM engagement.sequence_summary WHERE period = 'lifetime'"
        ).fetchall()
    adjusted = {name: stats.beta(rate * size, (1 - rate) * size) for name, rate, size in rows if size is not None}
    steps = set()
    for first, second in (("strong", "weak"), ("middle", "weak"), ("weak", "strong"), ("middle", "silent")):
        one, other = adjusted[first], adjusted[second]
        chance, _ = integrate.quad(lambda x, one=one, other=other: one.pdf(x) * other.cdf(x), 0, 1, limit=500)
        found = compared(workspace, first, second)
        assert found.first_is_above == (chance > 0.5)
        larger = max(chance, 1 - chance)
        assert found.chance == ("very_likely" if larger >= 0.95 else "likely" if larger >= 0.8 else "about_even")
        steps.add(found.chance)
    assert len(steps) >= 2


def test_the_contacts_needed_are_those_of_lehrs_rule_and_never_of_the_observed_difference() -> None:
    # 8% against 4%: 16 * 0.06 * 0.94 / 0.04². 8% against 16%: 16 * 0.12 * 0.88 / 0.08².
    assert contacts_needed(0.08, 2) == {"higher": 264, "lower": 564}
    assert contacts_needed(0.6, 2).keys() == {"lower"}
    assert contacts_needed(0.0, 2) == contacts_needed(None, 2) == {}


def test_the_contacts_needed_follow_the_ratio_that_a_company_wants_to_detect(workspace: Workspace) -> None:
    assert contacts_needed(0.08, 1.5).keys() == {"higher", "lower"}
    rules = Rules(detectable_ratio=1.5)
    usual, closer = compared(workspace, "strong", "weak"), compared(workspace, "strong", "weak", rules)
    assert all(closer.needed[word] > usual.needed[word] for word in closer.needed)
    assert "if one has twice their common rate" in sentences(usual, 30)[4]
    said = sentences(closer, 30)[4]
    assert "if one has 1.5 times their common rate" in said
    assert "if one has 67% of their common rate" in said


def test_a_sequence_without_a_rate_cannot_be_compared(workspace: Workspace) -> None:
    found = compared(workspace, "young", "strong")
    assert (found.difference, found.low, found.chance, found.is_clear) == (None, None, None, False)
    first, second, verdict = sentences(found, 30)
    assert first == "young: no contact's 30 days are over yet."
    assert second.startswith("strong: 30 of 60 contacts replied within 30 days, 50.0%")
    assert "can't be compared" in verdict


def test_only_a_difference_beyond_the_weekly_range_holds(workspace: Workspace) -> None:
    clear, unclear = compared(workspace, "strong", "weak"), compared(workspace, "middle", "weak")
    assert (clear.is_clear, unclear.is_clear) == (True, False)
    holds = "strong has the higher reply rate: the range does not include 0."
    assert sentences(clear, 30)[3] == sentences(compared(workspace, "weak", "strong"), 30)[3] == holds
    assert sentences(replace(unclear, chance="likely"), 30)[3] == (
        "Not decided yet: middle is likely ahead, but the range includes 0. Wait for more contacts."
    )
    assert sentences(compared(workspace, "tiny", "weak"), 30)[3] == (
        "Not decided: tiny has 20 counted contacts, and 30 are needed."
    )
    assert sentences(replace(unclear, chance="about_even"), 30)[3].startswith("Not decided yet: either may be ahead.")
    assert not replace(clear, weekly_low=-0.01).is_clear
    assert not replace(clear, weekly_low=-inf, weekly_high=0.0).is_clear


def test_the_contacts_needed_detect_4_of_5_differences_in_one_look_and_70_percent_more_do_if_you_look_every_week(
    workspace: Workspace,
) -> None:
    """The verdict allows for weekly looks, so it takes more contacts than a single look."""
    found = replace(compared(workspace, "middle", "weak"), needed=contacts_needed(0.08, 2))
    said = sentences(found, 30)[4]
    assert "in 4 of 5 cases if you look once: 264 if one has twice" in said
    assert said.endswith("If you look every week, it takes about 70% more.")
    error = ((0.08 * 0.92 + 0.16 * 0.84) / 264) ** 0.5
    once, weekly, with_more = (
        stats.norm.sf(z - 0.08 / (error / more**0.5)) for z, more in ((1.96, 1), (WEEKLY_Z, 1), (WEEKLY_Z, 1.7))
    )
    assert (once, with_more) == pytest.approx((0.8, 0.8), abs=0.03)
    assert weekly < 0.6
