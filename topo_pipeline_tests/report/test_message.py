"""The Monday message: short, in the words of the page, and safe with any sequence name."""

import html
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from topo_pipeline.alerts.delivery import Webhook
from topo_pipeline.alerts.mail import Mail
from topo_pipeline_tests.alerts.mail_server import mail_server
from topo_pipeline_tests.alerts.receiver import receiving
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported, report
from topo_pipeline_tests.report.reading import Seen


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Sequences that have findings, with names that chats and mails could misread."""
    folder = tmp_path_factory.mktemp("hostile")
    workspace = Workspace(str(folder / "topo.duckdb"))
    hostile = "<!channel> @everyone\n\nBcc: eve@example.com\r\n.\r\n```{}``` [pay](https://evil.example)"
    names = tuple(hostile.format(n) for n in range(12))
    happened = worlds.land(workspace, 12, names)
    return Reported(workspace, happened, report(workspace, folder / "report"))


def shown(page: str, pattern: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(pattern, page)]


def test_the_message_is_in_the_words_of_the_page(many: Reported) -> None:
    title, data, to_do, replies, where = many.published.text.rstrip("\n").split("\n\n")
    assert title == "Engagement report, 4 May 2026"
    assert data == "As of the end of 3 May 2026."
    assert where == f"Report: {many.published.path}"
    claims = shown(many.page, '<p class="claim">(.*?)</p>')
    actions = shown(many.page, '<p class="action"><b>(.*?)</b>')
    assert len(claims) > 4
    assert to_do.splitlines() == [
        "Do this week",
        *(f"{n}. {claim} {action}" for n, claim, action in zip((1, 2, 3), claims, actions, strict=False)),
        f"The report has {len(claims) - 3} more things to look at.",
    ]
    head, final, early, *still_to_come = replies.splitlines()
    assert head == "How many reply"
    text = re.sub(r" ([.,])", r"\1", Seen(many.page).all_text)  # a term is a link, so its text ends before the point
    headlines = {"Latest final rate: ": final, "Early read of the newest contacts: ": early}
    for begins, line in headlines.items():
        assert line.startswith(begins)
        rate, rest = line.removeprefix(begins).split(", likely range ")
        assert rate in text
        assert f"Likely range {rest}" in text
    assert len(still_to_come) == 2
    assert all(line in text for line in still_to_come)


def test_a_name_reaches_chats_and_mails_as_text(hostile: Reported) -> None:
    text = hostile.published.text
    assert "eve@example.com" in text
    assert not [line for line in text.splitlines() if line.startswith(("Bcc", ".", "```"))]
    with receiving() as chat:
        Webhook(f"{chat.address}/hook").send(text)
        [shown] = chat.texts
    assert not [special for special in ("<", ">", "@everyone", "](", "```") if special in shown]
    with mail_server() as server:
        to = ("ada@example.com",)
        Mail(f"smtp://{server.at}", "topo@example.com", to, lambda: worlds.NOW).send(text, hostile.published.kept)
        [mail] = server.mails
    assert (mail["Subject"], mail["To"], mail["Bcc"]) == ("Engagement report, 4 May 2026", "ada@example.com", None)
    body, attached = mail.iter_parts()
    assert body.get_content().replace("\r\n", "\n") == text
    assert attached.get_filename() == "engagement_report_2026-05-04.html"
    assert attached.get_payload(decode=True) == hostile.published.path.read_bytes()


def test_the_message_is_short_enough_for_a_chat(hostile: Reported) -> None:
    assert len(hostile.published.text) < 4_000
    assert len(hostile.published.text.splitlines()) < 25


def test_new_findings_are_marked_where_they_are_and_named_once(hostile: Reported, tmp_path: Path) -> None:
    kept = shutil.copytree(hostile.published.kept.parent, tmp_path / "reports")
    old = json.loads((kept / "engagement_report_2026-05-04.json").read_text())
    [first, second, third, fourth, *_] = old["findings"]
    old |= {"written": "2026-04-27", "findings": [second, {**fourth, "kind": "gone", "claim": "Something is gone."}]}
    (kept / "engagement_report_2026-04-27.json").write_text(json.dumps(old))
    text = report(hostile.workspace, tmp_path).text
    to_do, since = (part.splitlines() for part in text.split("\n\n") if part.startswith(("Do this", "Since the")))
    assert [line.startswith("New: ", 3) for line in to_do[1:4]] == [True, False, True]
    assert since[0] == "Since the report of 27 April 2026"
    assert f"New: {fourth['claim']}" in since
    assert "No longer found: Something is gone." in since
    assert not [line for line in since for each in (first, second, third) if each["claim"] in line]


def test_with_nothing_to_do_the_message_says_so(three_days: Reported) -> None:
    text = three_days.published.text
    [nothing] = [line for line in text.splitlines() if line.startswith("Nothing to ")]
    assert nothing in html.unescape(three_days.page)
    assert "A week is final once everyone first messaged" in text
    assert "Early read of the newest contacts: none, " in text


def test_data_that_ends_long_ago_is_said_in_the_message_and_on_the_page(many: Reported, tmp_path: Path) -> None:
    later = report(many.workspace, tmp_path, now=worlds.NOW + timedelta(days=57))
    said = "57 days up to 29 June 2026 were not read"
    assert f"As of the end of 3 May 2026.\n{said}.\n" in later.text
    seen = Seen(later.path.read_text(encoding="utf-8"))
    assert f"⚠ {said}" in seen.all_text


def test_without_tables_or_sequences_there_is_nothing_to_show_and_nothing_is_kept(
    workspace: Workspace, quiet: Workspace, tmp_path: Path
) -> None:
    workspace.warehouse.prepare()
    first = report(workspace, tmp_path / "report")
    assert first.text == (
        f"Engagement report, 4 May 2026\n\nNothing to show yet.\n\nReport: {tmp_path}/report/engagement_report.html\n"
    )
    second = report(quiet, tmp_path / "report")
    limits = "As of the end of 2 March 2026.\n62 days up to 3 May 2026 were not read.\n"
    assert f"Nothing to show yet.\n\n{limits}" in second.text
    assert second.kept == second.path
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["engagement_report.html"]
