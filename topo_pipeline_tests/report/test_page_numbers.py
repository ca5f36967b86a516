"""Every number on the page is found in the tables, by a computation that shares no code with the page."""

from datetime import date, timedelta
from math import ceil
from operator import itemgetter
from typing import Any

from scipy import integrate, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from topo_pipeline_tests.engagement.helpers import uid
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported
from topo_pipeline_tests.report.reading import Seen

COUNTS = ("unique_touched", "unique_valid_replies", "unique_positive_replies", "unique_meetings")


def as_percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def in_range(row: dict[str, Any], name: str) -> str:
    return f"{100 * row[f'{name}_low']:.1f}–{as_percent(row[f'{name}_high'])}"


def numbers_of(many: Reported, name: str, period: str) -> list[str]:
    """Return what the list must show of a sequence and period: its counts and its one rate."""
    row = many.workspace.summary(name, period)
    [signals] = many.workspace.rows_of("sequence_signals", name)
    counts = [row["total_sent"] + row["total_invitations"]]
    counts += [row[f"unique_{of}"] for of in ("touched", "valid_replies", "positive_replies", "meetings")]
    early = f"{signals['early_rate_num']:,} of {signals['early_contacts']:,} so far · early read"
    final = f"{row['reply_rate_num']:,} of {row['reply_rate_den']:,} · final"
    if signals["early_rate"] is not None and (period == "28d" or not row["reply_rate_den"]):
        rate = f"{as_percent(signals['early_rate'])} {in_range(signals, 'early_rate')} {early}"
    elif row["reply_rate_den"] and period != "28d":
        rate = f"{as_percent(row['reply_rate'])} {in_range(row, 'reply_rate')} {final}"
    else:
        rate = f"{counts[2]} of {counts[1]} so far · no rate yet" if counts[1] else "no contacts"
    return [rate, *(f"{count:,}" for count in counts)]


def trend_of(many: Reported, name: str) -> str:
    """Return the first and last rate of the trend line: those of four weeks with 30 contacts, if they are final."""
    weeks = {week: row for week, row in many.workspace.trend(name).items() if row["is_mature"]}
    newest = max(row["week_start"] for row in many.workspace.rows("sequence_trends") if row["is_mature"])
    rates = []
    for ago in range(12, -1, -1):
        week = newest - timedelta(weeks=ago)
        pooled = [weeks[each] for each in (week - timedelta(weeks=n) for n in range(4)) if each in weeks]
        if week in weeks and (contacts := sum(row["reply_rate_den"] for row in pooled)) >= 30:
            rates.append(sum(row["reply_rate_num"] for row in pooled) / contacts)
    return f"{as_percent(rates[0])} to {as_percent(rates[-1])}" if len(rates) > 1 else ""


def change_of(many: Reported, name: str) -> str:
    [signals] = many.workspace.rows_of("sequence_signals", name)
    judged = {"up": "▲ up", "down": "▼ down", "no_clear_change": "no clear change", None: "not judged"}
    is_thin = signals["signal"] == "no_clear_change" and not signals["halving_noticeable"]
    return "unclear, few contacts" if is_thin else judged[signals["signal"]]


def test_every_number_in_the_list_is_in_the_tables(many: Reported) -> None:
    shown = Seen(many.page).rows("board")[1:]
    names = {name: id_ for id_, name in many.workspace.select("SELECT id::VARCHAR, name FROM topo.sequence_templates")}
    assert len(shown) == worlds.SEQUENCES
    for number in range(len(worlds.HOSTILE), worlds.SEQUENCES):
        name = f"Outreach {number:03} to buyers"
        [row] = [cells for cells in shown if cells[0].startswith(name)]
        periods = [numbers_of(many, f"sequence {number}", period) for period in ("28d", "90d", "lifetime")]
        assert [row[1], *row[3:8]] == ["".join(each) for each in zip(*periods, strict=True)]
        assert row[8:] == [trend_of(many, f"sequence {number}"), change_of(many, f"sequence {number}")]
        assert names[name] == uid(f"sequence {number}")


def test_every_number_of_a_sequence_is_in_the_tables(many: Reported) -> None:
    seen = Seen(many.page)
    for number in (0, 1, 14, worlds.SEQUENCES - 1):
        name = f"sequence {number}"
        row = many.workspace.summary(name)
        shown = seen.rows(f"sequence-{uid(name)}")
        answers = {
            "Meeting booked": row["outcome_meeting"], "Positive, no meeting": row["outcome_positive"],
            "Neutral": row["outcome_neutral"], "Negative": row["outcome_negative"], "Opt-out": row["outcome_opt_out"],
            "Not classified": row["outcome_unknown"] + row["outcome_pending"],
            "Out of office": row["outcome_out_of_office"], "Bounced": row["outcome_bounced"],
            "No reply": row["outcome_none"],
        }  # fmt: skip
        expected = [
            ["Enrolled", f"{row['unique_found']:,}", ""], ["Messaged or invited", f"{row['unique_touched']:,}", ""],
            ["Replied", f"{row['unique_valid_replies']:,}", ""],
            ["Replied positively", f"{row['unique_positive_replies']:,}", ""],
            ["Booked a meeting", f"{row['unique_meetings']:,}", ""],
            *([answer, f"{count:,}", ""] for answer, count in answers.items() if count),
        ]  # fmt: skip
        assert shown[: len(expected)] == expected
        steps = many.workspace.steps(name)
        for (step, position, channel), cells in zip(sorted(steps, key=str), shown[len(expected) + 1 :], strict=True):
            of = steps[step, position, channel]
            label = f"Step {step}" if step else f"Send {position}"
            rate = "–"
            if of["step_reply_rate_den"]:
                counted = f"{of['step_reply_rate_num']:,} of {of['step_reply_rate_den']:,}"
                rate = f"{as_percent(of['step_reply_rate'])} {counted}"
            waiting = "–" if of["active_runs"] is None else str(of["active_runs"])
            assert cells == [
                f"{label} · {'Email' if channel == 'EMAIL' else 'LinkedIn'}", f"{of['runs_reached']:,}", rate, "",
                str(of["positive_replies"]), str(of["opt_outs"]), waiting,
            ]  # fmt: skip
        status = (row["status"] or "").capitalize()
        about = seen.text(f"sequence-{uid(name)}")
        assert f"{status} · {row['runs_active']} contact" in about
        days = many.workspace.rows_of("sequence_daily", name)
        new = sum(day["unique_touched"] for day in days if day["day"] > march_day(worlds.LAST - 14))
        assert f" · {new} new contact{'s' * (new != 1)} in the last two weeks" in about


def test_the_headline_has_the_early_read_and_the_final_rate_of_the_last_week(many: Reported) -> None:
    text = Seen(many.page).all_text
    [early] = [row for row in many.workspace.rows("sequence_signals") if row["scope"] == "workspace"]
    week = max(
        (row for row in many.workspace.rows("workspace_weekly") if row["is_mature"]), key=itemgetter("week_start")
    )
    assert f"Early read of the newest contacts {as_percent(early['early_rate'])} 0% " in text
    assert (
        f"Likely range {in_range(early, 'early_rate')} . {early['early_rate_num']} of {early['early_contacts']}"
        " contacts first messaged or invited 6 April – 3 May 2026 have replied so far"
    ).replace(" .", ".") in text.replace(" .", ".")
    assert (
        f"{in_range(week, 'reply_rate')}. {week['reply_rate_num']} of {week['reply_rate_den']} contacts first messaged"
        f" or invited 23–29 March 2026 replied within 30 days, {week['positive_reply_rate_num']} of them positively;"
        f" {week['meeting_rate_num']} booked a meeting."
    ) in text.replace(" .", ".")
    forecasts = [row for row in many.workspace.rows("sequence_forecast") if row["scope"] == "workspace"]
    for row in forecasts:
        if row["expected"]:
            number = "fewer than 1" if row["expected"] < 1 else f"about {row['expected']:.0f}"
            assert f"{number} in the next {row['horizon_days']} days" in text


def sent(row: dict[str, Any]) -> int:
    return row["total_sent"] + row["total_invitations"]  # type: ignore[no-any-return]


def test_every_number_of_the_last_days_is_in_the_tables(many: Reported) -> None:
    last = march_day(worlds.LAST)
    days = {row["day"]: row for row in many.workspace.rows("workspace_daily")}
    for ago, label in ((0, "27 April – 3 May 2026"), (7, "20–26 April 2026")):
        week = [days[last - timedelta(days=ago + n)] for n in range(7)]
        counts = [sum(map(sent, week)), *(sum(row[of] for row in week) for of in COUNTS)]
        [shown] = [cells for cells in Seen(many.page).rows("main") if cells[0] == label and len(cells) == 6]
        assert shown[1:] == [f"{count:,}" for count in counts]


def test_every_number_of_the_workspace_is_in_the_tables(many: Reported) -> None:
    shown = Seen(many.page).rows("workspace-section")
    summaries = [row for row in many.workspace.rows("sequence_summary") if row["period"] == "lifetime"]
    stages = [sum(row[of] for row in summaries) for of in ("unique_found", *COUNTS)]
    assert [int(cells[1].replace(",", "")) for cells in shown[:5]] == stages
    channels = [row for row in many.workspace.rows("sequence_channels") if row["period"] == "lifetime"]
    for label, channel in (("Email", "EMAIL"), ("LinkedIn", "LINKEDIN")):
        [cells] = [cells for cells in shown if cells[0] == label]
        of = {
            name: sum(row[name] or 0 for row in channels if row["channel"] == channel)
            for name in ("sends", "reply_rate_num", "reply_rate_den", "invitations", "open_tasks")
        }
        rate = f"{as_percent(of['reply_rate_num'] / of['reply_rate_den'])}"
        replied = f"{rate} {of['reply_rate_num']:,} of {of['reply_rate_den']:,}"
        assert cells[1:] == [f"{of['sends']:,}", replied, str(of["invitations"]), "–", str(of["open_tasks"])]
    weeks = [row for row in many.workspace.rows("workspace_weekly") if row["windows_closed"] and row["reply_rate_den"]]
    days = many.workspace.rows("workspace_daily")
    assert [cells[1:] for cells in shown if len(cells) == 4 and cells[0] not in {"Week", "Day"}] == [
        *(
            [f"{row['reply_rate_den']:,}", f"{row['reply_rate_num']:,}",
             f"{as_percent(row['reply_rate'])} {in_range(row, 'reply_rate')}"]
            for row in sorted(weeks, key=itemgetter("week_start"), reverse=True)
        ),
        *(
            [f"{sent(row):,}", f"{row['total_valid_replies']:,}", f"{row['total_meetings']:,}"]
            for row in sorted(days, key=itemgetter("day"), reverse=True)
        ),
    ]  # fmt: skip


def in_points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def test_every_number_of_the_comparison_is_in_the_tables(many: Reported) -> None:
    """Two sequences have enough contacts: the second is compared with the first."""
    first, second = (many.workspace.summary(f"sequence {n}") for n in (0, 1))
    counts = [second["reply_rate_num"], second["reply_rate_den"], first["reply_rate_num"], first["reply_rate_den"]]
    [cells] = Seen(many.page).rows("compare")[1:]
    weekly = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=2 * stats.norm.sf(2.8))
    difference = counts[0] / counts[1] - counts[2] / counts[3]
    assert cells[1] == f"{in_points(difference)} {in_points(weekly[0])} to {in_points(weekly[1])}"
    below, above = (
        stats.beta(row["reply_rate_shrunken"] * size, (1 - row["reply_rate_shrunken"]) * size)
        for row in (second, first)
        for size in [row["reply_rate_den"] + row["reply_rate_contacts_added"]]
    )
    chance, _ = integrate.quad(lambda x: below.pdf(x) * above.sf(x), 0, 1, limit=500)
    step = "very likely" if chance >= 0.95 else "likely" if chance >= 0.8 else "not clear"
    is_clear = not weekly[0] <= 0 <= weekly[1]
    assert cells[2] == (step if is_clear else f"{step}, not decided")
    common = (counts[0] + counts[2]) / (counts[1] + counts[3])
    means = [(factor, common * (1 + factor) / 2) for factor in (0.5, 2)]
    needed = [ceil(16 * mean * (1 - mean) / (common * (factor - 1)) ** 2) for factor, mean in means]  # R. Lehr's rule
    assert cells[3] == f"{needed[0]:,} / {needed[1]:,}"
    said = Seen(many.page).text("difference")
    low, high = (in_points(-end) for end in reversed(weekly))
    assert f"{in_points(-difference)} points, likely range {low} to {high}, which holds" in said
    for row in (first, second):
        assert f"{row['reply_rate_num']} of {row['reply_rate_den']} contacts replied within 30 days" in said


def march_day(day: int) -> date:
    return date(2026, 3, 1) + timedelta(days=day - 1)
