"""The report as a file: complete, small, self-contained, and safe with any sequence name."""

import base64
import hashlib
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, sent, uid
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported, report

LOADING = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "xlink:href", "style"}


class Seen(HTMLParser):
    """The page as an HTML parser reads it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.inside = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "circle", "line", "img", "br"}:
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.inside[-1], data))

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)

    def within(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]


def test_the_page_is_one_small_file_that_loads_nothing(many: Reported) -> None:
    page = many.page
    assert many.published.size == len(page.encode()) < 3_000_000
    seen = Seen(page)
    assert {tag for tag, _ in seen.tags} & {"iframe", "object", "embed", "img", "audio", "video", "form-data"} == set()
    loads = {(tag, value) for tag, attributes in seen.tags for name, value in attributes.items() if name in LOADING}
    assert loads == {("link", "data:,"), ("a", "#main")}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    style = "".join(seen.within("style"))
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.full
def test_the_page_of_300_sequences_is_small(workspace: Workspace, tmp_path: Path) -> None:
    worlds.land(workspace, 300, worlds.HOSTILE)
    assert report(workspace, tmp_path / "report").size < 3_000_000


def test_the_content_security_policy_allows_only_the_pages_own_scripts(many: Reported) -> None:
    seen = Seen(many.page)
    [policy] = [meta["content"] for meta in seen.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == "'none'"

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    data, *scripts = seen.within("script")
    assert set(directives["script-src"].split()) == {hashed(script) for script in scripts}
    assert directives["style-src"] == hashed("".join(seen.within("style")))
    assert "unsafe" not in policy
    json.loads(data)


def test_hostile_names_are_text_in_the_page_and_in_its_data(many: Reported) -> None:
    seen = Seen(many.page)
    # The parser found our own scripts, and none from a name.
    assert len(list(seen.of("script"))) == 3
    assert "onerror" not in {name for _, attributes in seen.tags for name in attributes}
    [data] = [t for t in re.findall(r'<script type="application/json" id="data">(.*?)</script>', many.page, re.S)]
    assert not set("<>&'") & set(data)
    labels = {sequence["label"] for sequence in json.loads(data)["sequences"]}
    shown = set(seen.within("bdi"))
    for name in worlds.HOSTILE:
        label = " ".join(re.sub("[\x07\N{LINE SEPARATOR}\N{RIGHT-TO-LEFT OVERRIDE}]", " ", name).split())
        label = label if len(label) <= 120 else f"{label[:119]}…"
        assert label in labels
        assert label in shown
    isolated = seen.within("option")
    assert all(
        text[0] == "\u2066"[0] or text == "All" or text in worlds.STATUSES or text.startswith("\u2068")
        for text in isolated
    )


def test_sequences_with_the_same_name_are_shown_with_their_ids(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land_all([sent(march(2), f"{name} 1", sequence=name) for name in ("a", "b", "c")])
    workspace.name(a="Twin", b="Twin", c="Other")
    workspace.build()
    page = report(workspace, tmp_path / "report").path.read_text(encoding="utf-8")
    assert set(Seen(page).within("bdi")) >= {f"Twin ({uid('a')[:8]})", f"Twin ({uid('b')[:8]})", "Other"}


def test_sequences_without_a_name_are_shown_and_activities_without_a_sequence_are_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    quiet = [march(day).date() for day in range(2, 10)]
    happened = [
        a
        for name in ("named", "unnamed", None)
        for n in range(60)
        for a in (enrolled(march(2, 8), f"{name} {n}", sequence=name), sent(march(2), f"{name} {n}", sequence=name))
    ]
    workspace.land_all(happened, *quiet)
    workspace.name(named="Outbound")
    workspace.build()
    published = report(workspace, tmp_path / "report")
    seen = Seen(published.path.read_text(encoding="utf-8"))
    # Both are silent and none of their emails was opened, so each is named in two findings and on the leaderboard.
    assert Counter(seen.within("bdi")) == {"Outbound": 3, uid("unnamed"): 3}
    assert published.sequences == 2
    assert "60 messages and invitations without a sequence: in totals, not in the list of sequences" in seen.within(
        "li"
    )
    [data] = re.findall(r'id="data">(.*?)</script>', published.path.read_text(encoding="utf-8"), re.S)
    assert [len(sequence["steps"]) for sequence in json.loads(data)["sequences"]] == [1, 1]


def test_a_warehouse_without_tables_says_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    Warehouse(workspace.target).prepare()
    published = report(workspace, tmp_path / "report")
    page = published.path.read_text(encoding="utf-8")
    assert (published.as_of, published.sequences) == (None, 0)
    assert "Nothing to show yet" in page
    assert "engagement.sequence_summary" in page
    assert "topo-pipeline backfill" in page
    assert published.size < 100_000  # without Vega: there is nothing to draw


def test_empty_tables_say_that_no_day_was_read(workspace: Workspace, tmp_path: Path) -> None:
    workspace.build()
    page = report(workspace, tmp_path / "report").path.read_text(encoding="utf-8")
    assert "No day was read yet." in page


def test_days_without_activities_say_so(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land(march(2).date())
    workspace.build()
    published = report(workspace, tmp_path / "report")
    assert "no activities of any sequence" in published.path.read_text(encoding="utf-8")


def test_a_new_workspace_says_when_its_first_week_will_be_complete(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land_all([a for n in range(3) for a in (enrolled(march(3, 8), f"{n}"), sent(march(3), f"{n}"))])
    workspace.build()
    published = report(workspace, tmp_path / "report")
    assert (published.as_of, published.sequences) == (march(3).date(), 1)
    text = " ".join(" ".join(text for _, text in Seen(published.path.read_text(encoding="utf-8")).texts).split())
    assert "No week is complete yet" in text
    assert "2–8 March 2026" in text
    assert "No contact’s 30 days are over yet." in text


def test_charts_of_sends_are_left_out_before_the_first_send(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land_all([enrolled(march(3, 8), "1")])
    workspace.build()
    page = report(workspace, tmp_path / "report").path.read_text(encoding="utf-8")
    assert "Nothing was sent yet." in page
    assert re.findall(r'id="chart-(\w+)"', page) == ["funnel", "steps", "daily"]


def test_a_single_open_day_is_shown_without_rates(workspace: Workspace, tmp_path: Path) -> None:
    workspace.land(march(3).date(), [sent(march(3), "1")], is_open=True)
    workspace.build()
    published = report(workspace, tmp_path / "report")
    assert (published.as_of, published.sequences) == (None, 1)
    assert "No day is both over and proved complete yet" in published.path.read_text(encoding="utf-8")


def test_the_page_has_the_numbers_of_the_tables(many: Reported) -> None:
    seen = Seen(many.page)
    [(sequences, touched)] = many.workspace.select(
        "SELECT count(*), sum(unique_touched) FROM engagement.sequence_summary WHERE period = 'lifetime'"
    )
    [data] = re.findall(r'id="data">(.*?)</script>', many.page, re.S)
    picked = json.loads(data)["sequences"]
    assert len(picked) == many.published.sequences == sequences
    assert (
        sum(stage["runs"] for each in picked for stage in each["funnel"] if stage["stage"] == "Messaged or invited")
        == touched
    )
    numbers = json.loads(data)["charts"]["daily"]["datasets"]
    [days] = numbers.values()
    [(messages,)] = many.workspace.select("SELECT count(*) FROM topo.activities WHERE type = 'message.sent'")
    assert sum(day["sent"] for day in days) == messages
    assert len(list(seen.of("tr"))) > sequences


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
    assert [file.name for file in folder.iterdir()] == [old.name]
    assert "Engagement report" in old.read_text(encoding="utf-8")
    assert stat.S_IMODE(old.stat().st_mode) & stat.S_IRUSR
