"""The SQL macros of rates: Wilson and Newcombe intervals to nine digits, NULL without data, and evidence."""

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline_tests.engagement.oracle import change


@pytest.fixture(scope="module")
def sql() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        macros.define(connection)
        yield connection


def bounds(sql: duckdb.DuckDBPyConnection, num: int, den: int, integer: str) -> tuple[float, float]:
    counts = f"SELECT $num::{integer} AS num, $den::{integer} AS den"
    query = f"SELECT wilson_low(num, den), wilson_high(num, den) FROM ({counts})"  # noqa: S608
    (found,) = sql.execute(query, {"num": num, "den": den}).fetchall()
    return found


@st.composite
def shares(draw: st.DrawFn) -> tuple[int, int]:
    den = draw(st.one_of(st.integers(1, 200), st.integers(46_000, 47_000), st.integers(1, 10_000_000)))
    return draw(st.one_of(st.just(0), st.just(den), st.integers(0, den))), den


@pytest.mark.parametrize("integer", ["INTEGER", "BIGINT"])
@settings(max_examples=15)
@given(share=shares())
@example(share=(0, 1))
@example(share=(1, 1))
@example(share=(46_341, 46_341))
@example(share=(23_170, 46_341))
@example(share=(0, 10_000_000))
@example(share=(4_999_999, 10_000_000))
@example(share=(10_000_000, 10_000_000))
def test_wilson_agrees_with_statsmodels(sql: duckdb.DuckDBPyConnection, integer: str, share: tuple[int, int]) -> None:
    low, high = bounds(sql, *share, integer)
    expected = proportion_confint(*share, alpha=0.05, method="wilson")
    assert (low, high) == pytest.approx(expected, rel=0, abs=1e-9)
    assert 0 <= low <= share[0] / share[1] + 1e-12
    assert share[0] / share[1] - 1e-12 <= high <= 1


@pytest.mark.parametrize("integer", ["INTEGER", "BIGINT"])
@settings(max_examples=15)
@given(now=shares(), before=shares())
@example(now=(0, 1), before=(1, 1))
@example(now=(46_341, 46_341), before=(23_170, 46_341))
@example(now=(56, 70), before=(48, 80))
def test_newcombe_agrees_with_statsmodels(
    sql: duckdb.DuckDBPyConnection, integer: str, now: tuple[int, int], before: tuple[int, int]
) -> None:
    counts = ", ".join(f"?::{integer}" for _ in range(4))
    found = sql.execute(f"SELECT newcombe_low({counts}), newcombe_high({counts})", [*now, *before] * 2).fetchall()
    assert found[0] == pytest.approx(change(now, before), rel=0, abs=1e-9)


def test_newcombe_agrees_with_the_published_example(sql: duckdb.DuckDBPyConnection) -> None:
    """Newcombe 1998, table II, method 10, contrast (a): 56 of 70 against 48 of 80."""
    found = sql.execute("SELECT newcombe_low(56, 70, 48, 80), newcombe_high(56, 70, 48, 80)").fetchall()
    assert found[0] == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_change_from_or_to_an_empty_rate_is_null(sql: duckdb.DuckDBPyConnection) -> None:
    found = sql.execute("SELECT newcombe_low(0, 0, 1, 2), newcombe_high(1, 2, 0, 0)").fetchall()
    assert found == [(None, None)]


def test_evidence_and_rate_are_null_without_a_denominator(sql: duckdb.DuckDBPyConnection) -> None:
    assert sql.execute("SELECT evidence(NULL, NULL, 30, 100, 5), rate(NULL, NULL)").fetchall() == [(None, None)]


def test_the_lower_bound_of_no_success_is_exactly_zero_so_that_such_rates_tie(sql: duckdb.DuckDBPyConnection) -> None:
    assert sql.execute("SELECT DISTINCT wilson_low(0, den) FROM range(1, 400) AS _(den)").fetchall() == [(0.0,)]


def test_a_rate_over_zero_is_null(sql: duckdb.DuckDBPyConnection) -> None:
    found = sql.execute("SELECT rate(0, 0), wilson_low(0, 0), wilson_high(0, 0), rate(0, 5)").fetchall()
    assert found == [(None, None, None, 0.0)]


def test_a_rate_of_integers_is_a_fraction(sql: duckdb.DuckDBPyConnection) -> None:
    assert sql.execute("SELECT rate(1::BIGINT, 8::BIGINT)").fetchall() == [(0.125,)]


@pytest.mark.parametrize(
    ("num", "den", "expected"),
    [
        (0, 0, "none"),
        (1, 1, "too_small"),
        (29, 29, "too_small"),
        (0, 30, "directional"),
        (30, 30, "directional"),
        (99, 99, "directional"),
        (4, 100, "directional"),
        (5, 100, "usable"),
        (4, 10_000, "directional"),
        (5, 10_000, "usable"),
    ],
)
def test_evidence_by_numerator_and_denominator(
    sql: duckdb.DuckDBPyConnection, num: int, den: int, expected: str
) -> None:
    rules = DEFAULT_RULES
    thresholds = [rules.evidence_small, rules.evidence_usable, rules.evidence_events]
    assert sql.execute("SELECT evidence(?, ?, ?, ?, ?)", [num, den, *thresholds]).fetchall() == [(expected,)]
