"""The report as a file: complete, small, self-contained, and safe with any sequence name."""

import base64
import gzip
import hashlib
import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.page import publish
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, replied, sent, uid
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported, report
from topo_pipeline_tests.report.reading import Seen

LOADING = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "xlink:href", "style"}


def test_the_page_is_one_small_file_that_loads_nothing(many: Reported) -> None:
    page = many.page
    assert many.published.size == len(page.encode()) < 900_000
    seen = Seen(page)
    assert {tag for tag, _ in seen.tags} & {"iframe", "object", "embed", "img", "audio", "video", "form-data"} == set()
    loads = {(tag, value) for tag, attributes in seen.tags for name, value in attributes.items() if name in LOADING}
    assert ("link", "data:,") in loads
    targets = {value for tag, value in loads if tag == "a"}
    ids = {f"#{attributes['id']}" for _, attributes in seen.tags if "id" in attributes}
    assert targets <= ids  # every link leads to a place on the page
    assert "#main" in targets
    assert {tag for tag, _ in loads} == {"link", "a"}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    style = "".join(seen.within("style"))
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.full
def test_the_page_of_300_busy_sequences_is_small(tmp_path: Path) -> None:
    with worlds.busy(tmp_path / "topo.duckdb", 300).reader() as connection:
        published = publish(connection, tmp_path, timezone="UTC", rules=DEFAULT_RULES, now=worlds.NOW)
    assert published.sequences >= 300
    assert published.size < 3_000_000


def test_the_content_security_policy_allows_only_the_pages_own_scripts(many: Reported) -> None:
    seen = Seen(many.page)
    [policy] = [meta["content"] for meta in seen.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == "'none'"

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    data, packed, script = seen.within("script")
    vega = gzip.decompress(base64.b64decode(packed)).decode()
    assert set(directives["script-src"].split()) == {hashed(vega), hashed(script)}
    assert directives["style-src"] == hashed("".join(seen.within("style")))
    assert "unsafe" not in policy
    json.loads(data)


def test_hostile_names_are_text_in_the_page(many: Reported) -> None:
    seen = Seen(many.page)
    # The parser found our own scripts, and none from a name.
    assert len(list(seen.of("script"))) == 3
    assert "onerror" not in {name for _, attributes in seen.tags for name in attributes}
    shown, options = set(seen.within("bdi")), set(seen.within("option"))
    for name in worlds.HOSTILE:
        label = " ".join(re.sub("[\x07\N{LINE SEPARATOR}\N{RIGHT-TO-LEFT OVERRIDE}]", " ", name).split())
        label = label if len(label) <= 120 else f"{label[:119]}…"
        assert label in shown
        assert f"\u2068{label}\u2069" in options


@dataclass(frozen=True)
class Shown:
    """A page as an HTML parser reads it, and the number of sequences on it."""

    seen: Seen
    sequences: int


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The page of sequences with and without names, one without a message, and activities without a sequence."""
    folder = tmp_path_factory.mktemp("odd")
    workspace = Workspace(str(folder / "topo.duckdb"))
    happened = [
        a
        for name, runs in {"a": 1, "b": 1, "c": 1, "unnamed": 60, None: 60}.items()
        for n in range(runs)
        for a in (enrolled(march(2, 8), f"{name} {n}", sequence=name), sent(march(2), f"{name} {n}", sequence=name))
    ]
    happened.append(enrolled(march(3, 8), "1", sequence="only begun"))
    workspace.land_all(happened, *(march(day).date() for day in range(2, 10)))
    workspace.name(**{"a": "Twin", "b": "Twin", "c": "Other", "only begun": "Only begun"})
    workspace.build()
    built = workspace.warehouse  # makes the tables
    workspace.land(march(10).date(), [sent(march(10), "a 0", sequence="a")])  # as by a run that ends before its tables
    with built.reader() as connection:
        published = publish(connection, folder / "report", timezone="UTC", rules=DEFAULT_RULES, now=worlds.NOW)
    return Shown(Seen(published.path.read_text(encoding="utf-8")), published.sequences)


def test_a_landed_day_that_no_table_has_is_shown_without_numbers(odd: Shown) -> None:
    assert "not in the tables yet" in odd.seen.within("td")


def test_sequences_with_the_same_name_are_shown_with_their_ids(odd: Shown) -> None:
    assert set(odd.seen.within("bdi")) >= {f"Twin ({uid('a')[:8]})", f"Twin ({uid('b')[:8]})", "Other"}


def test_sequences_without_a_name_are_shown_and_activities_without_a_sequence_are_not(odd: Shown) -> None:
    twins = {f"Twin ({uid(name)[:8]})" for name in "ab"}
    assert set(odd.seen.within("bdi")) == {*twins, "Other", "Only begun", uid("unnamed")}
    assert odd.sequences == len(odd.seen.rows("board")) - 1 == 5
    left_out = "60 messages and invitations without a sequence: in totals, not in the list of sequences"
    assert left_out in odd.seen.within("li")


def test_before_the_first_send_there_is_no_chart_of_sends(odd: Shown) -> None:
    assert odd.seen.within("p").count("Nothing was sent in this sequence yet.") == 1
    assert [len(cells) for cells in odd.seen.data["timing"]] == [1, 1, 1, 1, 0]  # the list is by size


def test_a_warehouse_without_tables_says_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    Warehouse(workspace.target).prepare()
    published = report(workspace, tmp_path / "report")
    page = published.path.read_text(encoding="utf-8")
    assert (published.as_of, published.sequences) == (None, 0)
    assert "Nothing to show yet" in page
    assert "engagement.sequence_summary" in page
    assert "topo-pipeline backfill" in page
    assert published.size < 100_000  # without Vega: there is nothing to draw


def test_empty_tables_say_that_no_day_was_read(empty: Workspace, tmp_path: Path) -> None:
    page = report(empty, tmp_path / "report").path.read_text(encoding="utf-8")
    assert "No day has been read yet" in page


def test_days_without_activities_say_so(quiet: Workspace, tmp_path: Path) -> None:
    published = report(quiet, tmp_path / "report")
    assert "no activities of any sequence" in published.path.read_text(encoding="utf-8")


def test_three_days_of_history_show_counts_and_when_more_is_known(three_days: Reported) -> None:
    assert (three_days.published.as_of, three_days.published.sequences) == (march(4).date(), 1)
    seen = Seen(three_days.page)
    [_, row] = seen.rows("board")
    assert row[1] == "2 of 40 so far · no rate yet" * 3  # of 28 days, 90 days and all
    assert row[3:8] == ["404040", "404040", "222", "222", "000"]
    assert "None: needs 60 replies to know how fast they come; 0 so far." in seen.all_text
    assert "The first week, 2–8 March 2026, is final on 8 April 2026 at the earliest." in seen.all_text
    [_, recent] = [cells for cells in seen.rows("main") if cells[0] in {"Days", "2–4 March 2026"}]
    assert recent == ["2–4 March 2026", "40", "40", "2", "2", "0"]
    assert said_instead_of_findings(seen) == ["Nothing to do: it is too early to compare the sequences."]


def test_without_a_finding_the_page_says_why(workspace: Workspace, tmp_path: Path) -> None:
    happened = [
        did
        for name in ("one", "other")
        for day in range(2, 40)
        for run in (f"{name} {day} {n}" for n in range(5))
        for did in (
            enrolled(march(day, 8), run, sequence=name),
            sent(march(day), run, sequence=name, channel="LINKEDIN"),
            *([replied(march(day, 15), run, sequence=name)] if run.endswith("0") else []),
        )
    ]
    workspace.land_all(happened)
    workspace.build()
    seen = Seen(report(workspace, tmp_path / "report").path.read_text(encoding="utf-8"))
    assert said_instead_of_findings(seen) == ["Nothing to do: no difference is large enough to act on."]


def said_instead_of_findings(seen: Seen) -> list[str]:
    return [text for text in seen.within("p") if text.startswith("Nothing to do")]


def test_a_single_open_day_is_shown_without_rates(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land(march(3).date(), [sent(march(3), "1")], is_open=True)
    workspace.build()
    published = report(workspace, tmp_path / "report")
    assert (published.as_of, published.sequences) == (None, 1)
    assert "No day is both over and proved complete yet" in published.path.read_text(encoding="utf-8")


def test_a_link_in_place_of_the_report_is_not_followed(many: Reported, tmp_path: Path) -> None:
    (tmp_path / "engagement_report.html").symlink_to(tmp_path / "elsewhere.html")
    with pytest.raises(WarehouseError, match="can't be written: it is a symbolic link"):
        report(many.workspace, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["engagement_report.html"]


def test_the_mode_of_the_report_follows_the_umask(many: Reported, tmp_path: Path) -> None:
    with umask(0o027):
        report(many.workspace, tmp_path)
    assert stat.S_IMODE((tmp_path / "engagement_report.html").stat().st_mode) == 0o640


def test_the_old_report_stays_until_the_new_one_is_complete(many: Reported, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    old = folder / "engagement_report.html"
    old.write_text("old")
    with files_no_larger_than(1_000), pytest.raises(OSError, match="too large"):
        report(many.workspace, folder)
    assert old.read_text() == "old"
    assert [file.name for file in folder.iterdir()] == [old.name]
    report(many.workspace, folder)
    assert {file.name for file in folder.iterdir()} == {old.name, "reports"}
    assert "Engagement report" in old.read_text(encoding="utf-8")
    assert stat.S_IMODE(old.stat().st_mode) & stat.S_IRUSR
