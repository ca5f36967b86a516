"""The report in a real browser, opened from disk, at three widths, in light and dark mode.

Chromium comes from the distribution's package (`apt-get install chromium`); without it these tests are skipped.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.comparison import compare
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.palette import COLOURS
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.engagement.helpers import uid
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

# A slow machine must not fail a test.
MILLISECONDS = 1000 * PATIENCE
expect.set_options(timeout=MILLISECONDS)

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}: apt-get install chromium")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=MILLISECONDS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open a report; afterwards, check that there were no console messages, errors, requests or dialogs.

    Each test has its own storage, so a theme chosen in one is not remembered in the next. Motion is reduced, so that
    scrolling is immediate.
    """
    context, said = browser.new_context(reduced_motion="reduce"), []
    context.set_default_timeout(MILLISECONDS)

    def open_(reported: Reported, width: int = 1600) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="light")
        file = reported.published.path.as_uri()
        page.on("console", lambda message: said.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"thrown: {error}"))
        page.on("request", lambda asked: asked.url in {file, "data:,"} or said.append(f"asked: {asked.url}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.goto(file)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_
    assert all(page.evaluate("window.hacked") is None for page in context.pages)
    context.close()
    assert said == []


def cells(page: Page, key: str) -> list[str]:
    """Return what the visible rows of the list show in a column."""
    rows = page.locator("#board tbody tr:visible")
    at = page.locator("#board thead th").evaluate_all(
        "(heads, key) => heads.findIndex(h => h.dataset.key === key)", key
    )
    shown: list[str] = rows.evaluate_all("(rows, at) => rows.map(row => row.cells[at].innerText.trim())", at)
    return shown


@pytest.mark.parametrize("width", [390, pytest.param(900, marks=pytest.mark.full), 1920])
def test_the_page_fits_every_width_in_light_and_dark(many: Reported, opened: Open, tmp_path: Path, width: int) -> None:
    page = opened(many, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folded = page.locator("details")
    assert folded.evaluate_all("all => all.map(one => one.open = true).length") >= 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folded.evaluate_all("all => all.forEach(one => one.open = false)")
    boxes = page.locator(".chart svg").evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
    assert len(boxes) == 3
    assert all(box["left"] >= 0 and box["right"] <= width and box["height"] > 40 for box in boxes)
    # What is wider than the page can be scrolled within it.
    wide = page.locator("table").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll')).length"
    )
    assert wide == 0
    for scheme, brightness in {"light": range(230, 256), "dark": range(40)}.items():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as image:
            assert image.width == width
            assert image.convert("L").getpixel((3, 3)) in brightness


def test_the_list_sorts_by_a_column_and_marks_it_and_solid_evidence_comes_before_thin(
    many: Reported, opened: Open
) -> None:
    page = opened(many)
    heads = page.locator("#board thead th[data-key]")
    for nth, key in enumerate(heads.evaluate_all("heads => heads.map(head => head.dataset.key)")):
        for _ in range(2):
            heads.nth(nth).get_by_role("button").press("Enter")
            order = heads.nth(nth).get_attribute("aria-sort")
            if key in {"sent", "touched", "replies", "positive", "meetings"}:
                values = [int(text) for text in cells(page, key)]
                assert values == sorted(values, reverse=order == "descending")
            if key == "label":  # the order of hostile names depends on the locale
                names = [name for name in cells(page, key) if name.startswith("Outreach")]
                assert names == sorted(names, reverse=order == "descending")
            if key == "rate":  # two sequences have enough contacts
                assert {name.removesuffix(" Finishing") for name in cells(page, "label")[:2]} == set(worlds.HOSTILE[:2])
        assert page.locator("#board th[aria-sort]").count() == 1
    # Many of the others have 1 reply from 1 contact.
    assert any(rate.startswith("100.0%") for rate in cells(page, "rate"))


def test_the_period_changes_the_counts_and_the_kind_of_rate(many: Reported, opened: Open) -> None:
    page = opened(many)
    summary = many.workspace.summary("sequence 0")
    month = many.workspace.summary("sequence 0", "28d")["unique_touched"]
    [signals] = many.workspace.rows_of("sequence_signals", "sequence 0")
    row = cells(page, "label").index(worlds.HOSTILE[0])
    assert cells(page, "touched")[row] == str(summary["unique_touched"])
    assert "final" in cells(page, "rate")[row]
    page.get_by_label("28 days").check()
    assert cells(page, "touched")[row] == str(month)
    assert f"{signals['early_rate_num']} of {signals['early_contacts']} so far · early read" in cells(page, "rate")[row]


def test_the_list_is_filtered_by_name_status_and_evidence(many: Reported, opened: Open) -> None:
    page = opened(many)
    shown = page.locator("#shown")
    expect(shown).to_have_text(f"{worlds.SEQUENCES} sequences")
    region = page.get_by_role("region", name="List of sequences").bounding_box()
    assert region is not None
    assert region["height"] < 900  # it scrolls within the page
    page.get_by_label("Name").fill("outreach 01")
    expect(shown).to_have_text(f"10 of {worlds.SEQUENCES} sequences")
    page.get_by_label("Status").select_option("ARCHIVED")
    assert all("01" in name and name.endswith("Archived") for name in cells(page, "label"))
    page.get_by_label("Name").fill("nowhere")
    expect(page.locator("#none-shown")).to_be_visible()
    page.get_by_label("Name").fill("")
    page.get_by_label("Status").select_option("")
    page.get_by_label("Only sequences with enough data").check()
    assert [name.removesuffix(" Finishing") for name in cells(page, "label")] == list(worlds.HOSTILE[:2])


def test_a_sequence_is_selected_in_the_list_by_a_finding_or_by_its_name(many: Reported, opened: Open) -> None:
    page = opened(many)
    pick = page.get_by_label("Sequence", exact=True)
    visible = page.locator(".sequence:visible h3")
    expect(visible).to_have_text(worlds.HOSTILE[0])
    page.locator("#board").get_by_role("link", name=worlds.HOSTILE[1], exact=True).click()
    expect(visible).to_have_text(worlds.HOSTILE[1])
    expect(visible).to_be_focused()
    assert pick.evaluate("pick => pick.selectedIndex") == 1
    pick.select_option("\u2068Outreach 053 to buyers\u2069")
    expect(visible).to_have_text("Outreach 053 to buyers")
    page.locator(".do a").first.click()
    expect(visible).to_have_text(page.locator(".do .claim").first.inner_text().split("\u2068")[1].split("\u2069")[0])
    label = page.locator("#chart-timing").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Most messages were sent on")
    address = page.url
    page.goto("about:blank")
    page.goto(address)  # the address leads to the same sequence
    expect(visible).to_have_count(1)


def test_a_word_is_explained_where_it_is_used(many: Reported, opened: Open) -> None:
    page = opened(many)
    page.locator(".plifetime a.term", has_text="final").press("Enter")
    word = page.get_by_role("status").filter(has_text="It changes only if a reply is classified or read later.")
    expect(word).to_be_visible()
    page.keyboard.press("Escape")
    expect(word).to_be_hidden()


def test_the_theme_can_be_switched_and_is_remembered_and_print_is_always_light(many: Reported, opened: Open) -> None:
    page = opened(many)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    bar = page.locator("#chart-daily svg .mark-rect path").first
    page.get_by_role("button", name="Switch to dark colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate(paper) == dark
    colour = bar.evaluate("bar => getComputedStyle(bar).fill")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    light_ink, dark_ink = COLOURS["ink"]
    assert page.evaluate(ink) == dark_ink
    page.emulate_media(media="print")
    assert bar.evaluate("bar => getComputedStyle(bar).fill") != colour
    expect(page.locator("#filters")).to_be_hidden()
    # On paper, nothing can be scrolled into view.
    assert page.locator("#board").evaluate("board => board.parentElement.clientHeight >= board.clientHeight")
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(paper) == light
    page.evaluate("delete document.documentElement.dataset.theme")  # as if no theme had been chosen
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ink) == dark_ink
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(ink) == light_ink


def test_every_control_can_be_reached_by_keyboard_and_shows_its_focus(many: Reported, opened: Open) -> None:
    page = opened(many)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the report")
    expect(skip).to_be_focused()
    assert (skip.bounding_box() or {"width": 0})["width"] > 100
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    focused = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", focused[-1]
    assert {"by-name", "by-status", "by-evidence", "sort", "term"} <= set(focused)
    unnamed = page.locator("button, select, input").evaluate_all(
        "all => all.filter(one => !one.textContent.trim() && !one.labels?.length && !one.ariaLabel).map(one => one.id)"
    )
    assert unnamed == []
    assert page.locator(".chart").evaluate_all(
        "all => all.every(one => one.role === 'img' && one.ariaLabel.length > 20)"
    )


def test_a_phone_shows_every_rate_without_scrolling_sideways(many: Reported, opened: Open) -> None:
    page = opened(many, 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".chart ~ details, #compare details").evaluate_all("all => all.forEach(one => one.open = true)")
    ends = page.locator("#board td.rate span:visible, #board td:visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert len(ends) >= worlds.SEQUENCES
    assert max(ends) <= 390
    scrolled = page.locator(".scroll:visible").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.ariaLabel)"
    )
    assert scrolled == []
    first = page.locator("#board tbody tr").first
    assert "Contacts" in first.locator("td").nth(3).evaluate("cell => getComputedStyle(cell, '::before').content")
    page.locator("#board thead th[data-key=sent]").get_by_role("button").click()
    counts = [int(text) for text in cells(page, "sent")]
    assert counts == sorted(counts, reverse=True)


def test_any_two_sequences_are_compared_in_the_words_of_the_command(rated: Reported, opened: Open) -> None:
    page = opened(rated)
    first, second = (page.get_by_label(label, exact=True) for label in ("First", "Second"))
    said = page.locator("#difference p")
    for one, other in combinations(["strong", "middle", "weak", "silent"], 2):  # in the order of the list
        with rated.workspace.warehouse.reader() as connection:
            expected = sentences.comparison(compare(connection, uid(one), uid(other), DEFAULT_RULES), 30)
        for pair in ((one, other), (other, one)):
            for select, name in zip((first, second), pair, strict=True):
                select.select_option(f"\u2068Sequence {name} 2026\u2069")
            assert [text.translate({0x2068: "", 0x2069: ""}) for text in said.all_text_contents()] == expected
    first.select_option(index=2)
    second.select_option(index=2)  # nothing is compared with itself
    assert first.evaluate("select => select.selectedIndex") != 2


def test_paper_has_three_pages_with_every_column_and_sequence(many: Reported, opened: Open, tmp_path: Path) -> None:
    page = opened(many)
    rows = page.locator("#board tbody tr")
    rows.evaluate_all("rows => rows.slice(20).forEach(row => row.remove())")  # as many as a usual workspace has
    file = tmp_path / "report.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    assert file.read_bytes().count(b"/Type /Page\n") == 3
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 710, "height": 1000})  # A4 without its margins
    overflowing = page.locator("table").evaluate_all(
        "all => all.filter(one => one.offsetParent && one.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert overflowing == 0
    heads = page.locator("#board thead th[data-key]").evaluate_all(
        "all => all.map(one => JSON.parse(getComputedStyle(one, '::before').content))"
    )
    assert heads == ["Sequence", "Reply rate", "Sent", "Contacts", "Replies", "Positive", "Meetings", "Change"]
    assert page.locator("#board thead button:visible").count() == 0  # browsers don't repeat buttons
    assert page.locator(".sequence h3:visible").count() == 20
    assert page.locator("#compare table tr:visible").count() == 2
    assert page.locator(".sequence figure:visible").count() == 0
    page.emulate_media(media="screen")
    page.get_by_label("Sequence", exact=True).select_option(index=2)
    page.emulate_media(media="print")
    assert page.locator(".sequence figure:visible").count() == 3  # the one that the reader has opened
    assert page.locator(".sequence h3:visible").count() == 20
