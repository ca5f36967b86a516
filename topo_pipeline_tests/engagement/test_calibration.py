"""Small simulated workspaces with a known truth: what the tables say of them is true, about as often as it should be.

`python -m bench calibration` measures the same with many more workspaces. Everything is seeded, so the result is always
the same, and the limits are as narrow as a broken formula needs.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.calibration import findings, forecast, ranking, signals
from bench.calibration.figures import Figure, share
from bench.calibration.judge import FACT, UNKNOWN, Cases
from bench.calibration.pages import Simulated, Written, written
from bench.calibration.sentences import Reader
from bench.calibration.worlds import Plan, Workspace, monday, plan, simulate
from topo_pipeline.report.findings import KINDS

WEEKS = 48
JUDGED = ("reply_timing", "sequence_signals")


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    there = Workspace()
    yield there
    there.connection.close()


def simulated(workspace: Workspace, seed: int, weeks: int = WEEKS, **changes: Any) -> np.ndarray[Any, Any]:
    """Make the workspace hold a simulated one, and return the rates of its sequences."""
    chance = np.random.default_rng(seed)
    how = replace(plan(chance, weeks), **changes)
    workspace.hold(simulate(chance, how))
    return np.array(how.rates)


def signals_on(workspace: Workspace, *weeks: int) -> pd.DataFrame:
    """Return the comparable sequences of some Mondays."""
    found = []
    for week in weeks:
        workspace.known_until(monday(week))
        workspace.build(*JUDGED)
        found.append(workspace.signals().assign(week=week).dropna(subset="change_z"))
    return pd.concat(found)


def test_the_early_read_is_the_rate_that_the_contacts_have_in_the_end(workspace: Workspace) -> None:
    """On any weekday. Volumes are large, so that the range is narrow."""
    rates = simulated(workspace, 1, rates=np.linspace(0.03, 0.1, 20).tolist(), volumes=[300.0] * 20)
    inside, came, expected = [], [], []
    for weekday in (0, 3, 6):
        workspace.known_until(monday(41 + weekday % 3) + timedelta(days=weekday))
        workspace.build(*JUDGED)
        found = workspace.signals().assign(truth=rates)
        inside += found["truth"].between(found["early_rate_low"], found["early_rate_high"]).tolist()
        came.append(found["early_rate_num"].sum())
        expected.append((found["early_rate_den"] * found["truth"]).sum())
        assert came[-1] == pytest.approx(expected[-1], rel=0.06), weekday
        assert 0.6 < found["early_rate_den"].sum() / found["early_contacts"].sum() < 0.9
    assert sum(came) == pytest.approx(sum(expected), rel=0.025)
    assert 0.9 <= np.mean(inside) <= 0.99


def test_without_a_change_z_is_a_standard_normal_variable_and_there_is_no_signal(workspace: Workspace) -> None:
    simulated(workspace, 2, volumes=[120.0] * 20)
    found = signals_on(workspace, 33, 37, 41, 45)
    assert len(found) > 60
    assert found["change_z"].mean() == pytest.approx(0, abs=0.2)
    assert found["change_z"].std() == pytest.approx(1, abs=0.12)
    assert found["common_change"].mean() == pytest.approx(1, abs=0.08)
    assert found["variation"].max() < 0.12
    assert not found["signal"].isin(["up", "down"]).any()


@pytest.mark.parametrize("kind", ["variation", pytest.param("common_variation", marks=pytest.mark.full)])
def test_rates_that_vary_from_week_to_week_have_not_changed(workspace: Workspace, kind: str) -> None:
    simulated(workspace, 3, volumes=[300.0] * 20, **{kind: 0.3})
    found = signals_on(workspace, 36, 44)
    assert found["variation"].mean() == pytest.approx(0.3, abs=0.1)
    assert found["change_z"].std() < 1.2
    assert not found["signal"].isin(["up", "down"]).any()


def test_a_common_fall_is_a_change_of_the_workspace_and_of_no_sequence(workspace: Workspace) -> None:
    simulated(workspace, 4, volumes=[200.0] * 20, factors=(0.6,) * 20, changes_in=40)
    found = signals_on(workspace, 44)
    assert found["common_change"].mean() == pytest.approx(0.6, abs=0.06)
    assert not found["signal"].isin(["up", "down"]).any()
    assert workspace.signals("workspace").loc[0, "signal"] == "down"


def test_a_sequence_that_halves_is_noticed_and_the_others_are_not(workspace: Workspace) -> None:
    simulated(workspace, 5, volumes=[400.0] * 20, rates=[0.08] * 20, factors=(0.5, *(1.0,) * 19), changes_in=40)
    found = signals_on(workspace, 44)
    assert found["signal"].to_dict() == {0: "down"} | dict.fromkeys(range(1, 20), "no_clear_change")
    assert found["halving_noticeable"].all()
    threshold = stats.norm.isf(0.025 / 20)
    assert found.loc[0, "change_z_needed"] == pytest.approx(threshold, abs=1e-12)


def test_forecasts_add_up_to_what_comes_and_their_ranges_contain_it(workspace: Workspace) -> None:
    """Rates are high, so that it matters who has replied already."""
    chance = np.random.default_rng(6)
    contacts = simulate(chance, replace(plan(chance, 60), volumes=[60.0] * 20, rates=[0.3] * 20))
    workspace.hold(contacts)
    inside: dict[str, list[bool]] = {
        f"{scope} {width}": [] for scope in ("sequence", "workspace") for width in (80, 95)
    }
    sums = np.zeros(2)
    for week in (46, 49, 52):
        workspace.known_until(monday(week))
        workspace.build("sequence_forecast")
        forecast.compare(workspace, contacts, monday(week), inside, sums)
    assert sums[1] == pytest.approx(sums[0], rel=0.05)
    assert 0.72 <= np.mean(inside["sequence 80"]) <= 0.92
    assert len(inside["sequence 80"]) > 50
    found = workspace.forecasts("workspace")
    assert found["past_actual"].sum() == pytest.approx(found["past_expected"].sum(), rel=0.05)
    assert found["spread"].max() < 0.15


def test_the_first_of_the_ranking_is_no_worse_than_by_the_lower_bound_and_likely_is_likely(
    workspace: Workspace,
) -> None:
    chance = np.random.default_rng(7)
    lost, claims = [], []
    for _ in range(12):
        rates, contacts = ranking.drawn(ranking.WORLDS["20 sequences"], chance)
        replies = chance.binomial(contacts, rates)
        found = ranking.ranked(workspace, replies, contacts, rates)
        assert found["reply_rate_den"].min() >= 30
        assert found["truth"].iloc[0] == rates[ranking.shrunken(replies, contacts).argmax()]
        best, by_bound = found["truth"].max(), rates[ranking.lower_bounds(replies, contacts).argmax()]
        lost.append((best - found["truth"].iloc[0], best - by_bound))
        claims += ranking.claims(found)
    ours, wilsons = np.mean(lost, axis=0)
    assert ours <= wilsons + 0.001
    truth = pd.DataFrame(claims, columns=["claim", "is_true"]).groupby("claim")["is_true"].agg(["mean", "size"])
    assert truth.loc["very_likely", "mean"] >= 0.94
    assert 0.72 <= truth.loc["likely", "mean"] <= 0.97
    assert 0.4 <= truth.loc["about_even", "mean"] <= 0.75
    assert truth["size"].min() >= 1


@pytest.mark.parametrize("size", [0.3, pytest.param(1, marks=pytest.mark.full)])
def test_what_the_report_says_is_true_and_holds_for_a_week(size: float) -> None:
    measured = [
        *findings.comparisons(0.3 * size),
        *findings.last_steps(0.1 * size),
        *findings.no_new_contacts(0.2 * size),
    ]
    assert all(figure.cases >= 5 * size for figure in measured)
    assert {figure.what: figure.value for figure in measured if figure.is_met is False} == {}


def test_a_missed_target_is_printed_with_its_reason() -> None:
    missed, met = (
        Figure("lost", np.float64(value), high=np.float64(0.5), cases=7, reason="of chance") for value in (0.6, 0.4)
    )
    assert (missed.is_met, missed.measured) == (False, "60.0% (7 cases), because of chance")
    assert (met.is_met, met.measured) == (True, "40.0% (7 cases)")


def test_a_missed_share_says_whether_it_is_within_two_standard_errors_of_its_target() -> None:
    few, many = (share("lost", [True, False, False] * times, high=0.2) for times in (1, 100))
    assert few.measured == "33.3% (3 cases), within two standard errors of the target (one is 27.2%)"
    assert many.measured == "33.3% (300 cases)"
    assert share("none may be lost", [True, False, False], high=0).measured == "33.3% (3 cases)"
    assert Figure("bias", 0.04, high=0.03, cases=60).measured == "4.0% (60 cases)"


def test_the_cases_of_one_workspace_count_as_one_for_the_standard_error() -> None:
    """Each case 100 times, in the same workspace, says no more than once."""
    once, often = (share("lost", [[is_lost] * times for is_lost in (True, False, False)]) for times in (1, 100))
    assert (often.value, often.cases) == (once.value, 300)
    assert often.error == pytest.approx(once.error) == pytest.approx(np.sqrt(2 / 27))


def test_the_worst_weekday_of_early_reads_has_the_target_of_all_of_them() -> None:
    """On weekday 3 half of the ranges miss the rate, and 6% too many replies come. All others are as expected."""
    reads = pd.DataFrame(
        [
            {"world": world, "weekday": weekday, "truth": 0.1, "early_rate_low": low, "early_rate_high": 0.2}
            | {"early_rate_den": 100.0, "early_rate_num": 10.6 if weekday == 3 else 10.0}
            for world in range(10)
            for weekday in range(7)
            for low in (0.05, 0.15 if weekday == 3 else 0.05)
        ]
    )
    found = {figure.what.removeprefix("early read: "): figure for figure in signals.of_reads(reads)}
    covered = "the 95% range contains the rate, 100 contacts or more"
    assert [found[covered].value, found[f"{covered}, worst weekday of as_of"].value] == pytest.approx([13 / 14, 0.5])
    assert {found[f"{covered}{of}"].target for of in ("", ", worst weekday of as_of")} == {"92.0% to 97.0%"}
    biases = [found[f"bias{of}"] for of in (" over all weekdays", ", worst weekday of as_of")]
    assert [figure.value for figure in biases] == pytest.approx([0.06 / 7, 0.06])
    assert [(figure.target, figure.is_met) for figure in biases] == [("≤ 2.0%", True), ("≤ 2.0%", False)]


def test_every_kind_of_finding_is_simulated_or_counts_what_happened() -> None:
    assert {*findings.SIMULATED, *findings.COUNTED} == {*KINDS}
    assert not {*findings.SIMULATED} & {*findings.COUNTED}


def test_the_added_contacts_follow_from_how_much_the_rates_differ(workspace: Workspace) -> None:
    """Rates of Beta(3, 47) differ as if each had 50 contacts before, those of Beta(60, 940) as if it had 1,000."""
    chance = np.random.default_rng(8)
    added = {}
    for alpha, beta in ((3, 47), (60, 940)):
        contacts, rates = np.full(200, 2000), chance.beta(alpha, beta, 200)
        found = ranking.ranked(workspace, chance.binomial(contacts, rates), contacts, rates)
        added[alpha + beta] = found["reply_rate_contacts_added"].iloc[0]
    assert added[50] == pytest.approx(50, rel=0.3)
    assert added[1000] == pytest.approx(1000, rel=0.3)


def test_a_contact_that_has_not_replied_did_not_reply_on_the_last_day_of_its_window(workspace: Workspace) -> None:
    """In DuckDB, least(NULL, 30) is 30."""
    [(trap,)] = duckdb.sql("SELECT least(NULL, 30)").fetchall()
    assert trap == 30
    simulated(workspace, 9, volumes=[50.0] * 20, rates=[0.1] * 20)
    workspace.known_until(monday(40))
    workspace.build(*JUDGED, "sequence_forecast")
    learned = workspace.connection.execute(
        "SELECT max(runs_of_all), max(share) FILTER (age_days = 28) FROM engagement.reply_timing"
        " WHERE outcome = 'valid_reply'"
    ).fetchall()
    [(replies, before_the_end)] = learned
    assert replies == pytest.approx(26 * 20 * 50 * 0.1, rel=0.1)
    assert before_the_end > 0.97
    assert workspace.signals("workspace").loc[0, "early_rate"] == pytest.approx(0.1, rel=0.2)
    assert (workspace.forecasts()["in_flight"] > 100).all()


@pytest.fixture(scope="module")
def report() -> tuple[Simulated, Written]:
    """A small simulated workspace, and the report of its seventh Monday."""
    chance = np.random.default_rng(11)
    how = Plan(6, volumes=[60.0, 40.0, 30.0, 2.0], rates=[0.3, 0.08, 0.1, 0.1])
    contacts = simulate(chance, how)
    rates = np.array(how.rates)[contacts.sequence]
    simulated = Simulated(contacts, rates, rates, untracked=frozenset({2}))
    [written_report] = written(simulated, [42])
    return simulated, written_report


def judged(simulated: Simulated, report: Written) -> dict[str, list[str]]:
    """Return the untrue sentences of a report by their kind."""
    cases = Cases()
    Reader(simulated, cases, "a world", is_quiet=True).read(report)
    assert sum(map(len, cases.untrue[FACT].values())) > 50
    return {kind: said for kind, said in cases.examples.items() if said}


def test_every_sentence_of_a_report_has_a_known_form_and_no_fact_is_untrue(report: tuple[Simulated, Written]) -> None:
    assert not {FACT, UNKNOWN} & judged(*report).keys()


@pytest.mark.parametrize(
    ("written_as", "changed_to", "kind"),
    [
        (r"(As of the end of) 11 February", r"\1 10 February", FACT),
        (r"(\d+) (of [\d,]+ contacts first messaged)", r"9\1 \2", FACT),
        (
            r"likely range [\d.]+–[\d.]+%\. This counts",
            "likely range 98.0–99.0%. This counts",
            "final rate, likely range",
        ),
        (r"very likely does better", "very likely does worse", "very likely does better or worse than the others"),
        (r"Nothing until more|By (\d+ \w+ \d+, \d+ more)", r"On \1", UNKNOWN),
        (r"Every day proved complete", "Every day may be complete", UNKNOWN),
    ],
)
def test_an_untrue_or_unknown_sentence_is_found(
    report: tuple[Simulated, Written], written_as: str, changed_to: str, kind: str
) -> None:
    simulated, true = report
    assert re.search(written_as, true.html)
    assert kind in judged(simulated, replace(true, html=re.sub(written_as, changed_to, true.html)))


def test_a_sentence_that_says_how_sure_it_is_may_be_untrue_that_often_and_a_fact_never() -> None:
    cases = Cases()
    for kind in ("still to come, 80% range", FACT):
        for number in range(100):
            cases.add(kind, number < (1 if kind == FACT else 20), number)
    found = {figure.what.split(": ")[1].split(",")[0]: figure.is_met for figure in cases.figures("a world")}
    assert found == {"still to come": True, "counts": False}
    for number in range(100, 140):
        cases.add("still to come, 80% range", True, number)
    assert not any(figure.is_met for figure in cases.figures("a world"))
