"""Each kind of finding is found where its rule holds, and nowhere else."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from statsmodels.stats.proportion import proportion_confint

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.findings import KINDS, Finding, find, of_kind
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Workspace,
    enrolled,
    march,
    named_in,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.report.conftest import report
from topo_pipeline_tests.report.reading import Seen

LAST = 92  # Sunday 31 May
DAYS = [march(day).date() for day in range(1, LAST + 1)]


def contacts(name: str, day: int, number: int, replies: int, *, steps: int = 1, late: int = 0) -> Iterator[Activity]:
    """Yield contacts with a message each, of whom some reply to the first, and some to the last of the steps."""
    for nth in range(number):
        run = f"{name} {day} {nth}"
        yield enrolled(march(day, 8), run, sequence=name)
        for step in range(1, (1 if nth < replies else steps) + 1):
            yield sent(
                march(day + 2 * step - 2), run, sequence=name, step=step, channel="EMAIL", message=f"{run} {step}"
            )
        if nth < replies + late:
            answered = 1 if nth < replies else steps
            at = march(day + 2 * answered - 2, 15)
            yield replied(at, run, sequence=name, channel="EMAIL", message=f"{run} {answered}", category="INTERESTED")


def found(workspace: Workspace, kind: str) -> list[Finding]:
    with workspace.seeing(*named_in(KINDS[kind][0])) as connection:
        return of_kind(connection, kind, DEFAULT_RULES)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One sequence far better than the others, one far worse, one slightly better, and an archived bad one."""
    workspace = Workspace(str(tmp_path_factory.mktemp("compared") / "topo.duckdb"))
    happened = [
        *contacts("star", 2, 250, 48),
        *contacts("weak", 2, 400, 6),
        *contacts("usual", 2, 400, 34),
        *contacts("slightly", 2, 400, 40),
        *contacts("thin", 2, 20, 6),
        *contacts("archived", 2, 400, 2),
    ]
    workspace.land_all(happened, *DAYS)
    workspace.name("ACTIVE", star="Star", weak="Weak", usual="Usual", slightly="Slightly", thin="Thin")
    with workspace.warehouse.transaction() as connection:
        connection.execute(
            "INSERT INTO topo.sequence_templates BY NAME"
            f" SELECT '{uid('archived')}' AS id, 'ARCHIVED' AS status, now() AS seen_at"
        )
    workspace.build()
    return workspace


def test_only_a_sequence_far_from_the_others_is_better_or_worse(compared: Workspace) -> None:
    [better] = found(compared, "better")
    [worse] = found(compared, "worse")
    assert (better.sequence_id, worse.sequence_id) == (uid("star"), uid("weak"))
    assert (better.facts["num"], better.facts["den"]) == (48, 250)
    assert (better.facts["others_num"], better.facts["others_den"]) == (6 + 34 + 40 + 6 + 2, 1620)


def test_every_number_of_a_finding_on_the_page_is_in_the_tables(compared: Workspace, tmp_path: Path) -> None:
    items = Seen(report(compared, tmp_path).path.read_text(encoding="utf-8"))
    said = [text for text in items.within("p") if " of " in text and "contacts replied" in text and "Of the" in text]
    rows = {name: compared.summary(name) for name in ("star", "weak", "usual", "slightly", "thin", "archived")}
    for name in ("star", "weak"):
        num, den = (rows[name][f"reply_rate_{end}"] for end in ("num", "den"))
        others = [
            sum(row[f"reply_rate_{end}"] for row in rows.values()) - of for end, of in (("num", num), ("den", den))
        ]
        low, high = proportion_confint(num, den, method="wilson")
        assert (
            f"{num} of {den} contacts replied within 30 days, likely range {100 * low:.1f}–{100 * high:.1f}%."
            f" Of the others, {others[0]} of {others[1]:,}."
        ) in said
        assert f"{100 * num / den:.1f}% against {100 * others[0] / others[1]:.1f}%." in items.all_text


def test_the_first_of_every_kind_comes_before_the_second_of_any(compared: Workspace) -> None:
    with compared.warehouse.reader() as connection:
        kinds = [finding.kind for finding in find(connection, DEFAULT_RULES)]
    once = list(dict.fromkeys(kinds))
    assert kinds[: len(once)] == once == sorted(once, key=list(KINDS).index)


def test_a_last_step_is_found_if_it_brings_clearly_less_than_the_earlier_ones(workspace: Workspace) -> None:
    happened = [
        *contacts("futile", 2, 300, 30, steps=3, late=1),
        *contacts("useful", 2, 300, 20, steps=3, late=18),
        *contacts("thin", 2, 60, 12, steps=2, late=0),
        *contacts("unclear", 2, 150, 6, steps=2, late=2),
    ]
    workspace.land_all(happened, *DAYS)
    workspace.build()
    [finding] = found(workspace, "last_step")
    assert finding.sequence_id == uid("futile")
    assert {name: finding.facts[name] for name in ("step", "num", "den", "earlier_num", "earlier_den")} == {
        "step": 3, "num": 1, "den": 270, "earlier_num": 30, "earlier_den": 570,
    }  # fmt: skip


def weekly(name: str, replies_before: int, replies_now: int, size: int = 30) -> Iterator[Activity]:
    """Yield twelve weeks of contacts, with replies that change in the last four."""
    for week in range(12):
        yield from contacts(name, 2 + 7 * week, size, replies_now if week >= 8 else replies_before)


def test_changes_are_found_for_a_sequence_and_for_all_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    of_one = Workspace(str(tmp_path_factory.mktemp("one") / "topo.duckdb"))
    of_one.land_all([*weekly("falls", 12, 2), *weekly("stays", 8, 8), *weekly("stays too", 7, 7)], *DAYS[:85])
    of_one.build()
    [down] = found(of_one, "down")
    assert down.sequence_id == uid("falls")
    assert (down.facts["current_replies"], down.facts["current_contacts"]) == (8, 120)
    with Workspace(
        of_one.target
    ).warehouse.transaction() as connection:  # a signal, but so close that it may be gone next Monday
        connection.execute("UPDATE engagement.sequence_signals SET change_z = -change_z_needed - 0.4")
    assert found(of_one, "down") == []
    of_all = Workspace(str(tmp_path_factory.mktemp("all") / "topo.duckdb"))
    of_all.land_all([did for name in ("a", "b", "c") for did in weekly(name, 8, 2)], *DAYS[:85])
    of_all.build()
    [all_down] = found(of_all, "all_down")
    assert all_down.sequence_id is None
    assert all_down.facts["current_replies"] == 24
    assert found(of_all, "down") == []


def test_a_silent_sequence_and_one_without_new_contacts_are_found(workspace: Workspace) -> None:
    happened = [
        *(did for n in range(40) for did in (enrolled(march(2, 8), f"q {n}", sequence="quiet"),
                                             sent(march(2), f"q {n}", sequence="quiet"))),
        *(did for day in range(2, 30) for did in contacts("busy", day, 3, 0)),
        *contacts("new", 29, 2, 0),
        *contacts("slow", 2, 40, 0),
        *contacts("slow", 29, 1, 0),
    ]  # fmt: skip
    workspace.land_all(happened)
    workspace.build()
    [silent] = found(workspace, "silent")
    assert (silent.sequence_id, silent.facts["waiting"], silent.facts["last_day"]) == (
        uid("quiet"),
        40,
        date(2026, 3, 2),
    )
    [finding] = found(workspace, "no_new_contacts")
    assert finding.sequence_id == uid("quiet")


def test_a_sequence_without_opens_and_clicks_has_tracking_off_unless_it_is_not_active(workspace: Workspace) -> None:
    happened = [*contacts("untracked", 20, 60, 0), *contacts("tracked", 20, 60, 0)]
    happened.append(opened(march(20, 10), "tracked 20 0", sequence="tracked"))
    workspace.land_all(happened)
    workspace.build()
    [off] = found(workspace, "tracking_off")
    assert (off.sequence_id, off.facts["sends"]) == (uid("untracked"), 60)
    # One that is not active has no findings.
    workspace.name("FINISHING", untracked="Untracked", tracked="Tracked")
    workspace.build()
    with workspace.warehouse.reader() as connection:
        assert find(connection, DEFAULT_RULES) == []


def test_a_missing_and_an_unproved_day_are_unknown(workspace: Workspace) -> None:
    workspace.land_all(
        [sent(march(2), "A"), sent(march(20), "B")], *DAYS[:8], *DAYS[9:25], unproved_days=[march(12).date()]
    )
    workspace.build()
    [unknown] = found(workspace, "unknown_days")
    assert {name: unknown.facts[name] for name in ("days", "first_day", "last_day")} == {
        "days": 2, "first_day": date(2026, 3, 9), "last_day": date(2026, 3, 12),
    }  # fmt: skip


def test_an_empty_workspace_has_no_findings(empty: Workspace) -> None:
    with empty.warehouse.reader() as connection:
        assert find(connection, DEFAULT_RULES) == []
