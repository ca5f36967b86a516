"""The report in a real browser, opened from disk, at three widths, in light and dark mode.

Chromium comes from the distribution's package (`apt-get install chromium`); without it these tests are skipped.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from topo_pipeline.report.palette import DARK, LIGHT
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.report import worlds
from topo_pipeline_tests.report.conftest import Reported

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS = (390, 900, 1600)

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


def column(page: Page, nth: int) -> list[str]:
    """Return the values of a column of the leaderboard in the visible rows."""
    rows = page.locator("#board tbody tr:visible")
    values: list[str] = rows.evaluate_all(f"rows => rows.map(row => row.cells[{nth}].dataset.value)")
    return values


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_every_width_in_light_and_dark(many: Reported, opened: Open, tmp_path: Path, width: int) -> None:
    page = opened(many, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folded = page.locator("details")
    assert folded.evaluate_all("all => all.map(one => one.open = true).length") >= 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folded.evaluate_all("all => all.forEach(one => one.open = false)")
    boxes = page.locator(".chart svg").evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
    assert len(boxes) == 6
    assert all(box["left"] >= 0 and box["right"] <= width and box["height"] > 40 for box in boxes)
    for scheme, brightness in {"light": range(230, 256), "dark": range(40)}.items():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as image:
            assert image.width == width
            assert image.convert("L").getpixel((3, 3)) in brightness


def test_the_leaderboard_sorts_by_any_column_and_marks_it(many: Reported, opened: Open) -> None:
    page = opened(many)
    heads = page.locator("#board thead th")
    for nth, name in enumerate(heads.evaluate_all("heads => heads.map(head => head.dataset.key)")):
        is_text = name in {"label", "status"}
        for _ in range(2):
            heads.nth(nth).get_by_role("button").press("Enter")
            order = heads.nth(nth).get_attribute("aria-sort")
            known = [value for value in column(page, nth) if value != ""]
            # The order of hostile names depends on the locale.
            values = [v for v in known if v.startswith("Outreach") or nth != 1] if is_text else list(map(float, known))
            assert values == sorted(values, reverse=order == "descending")
            assert column(page, nth)[len(known) :] == [""] * (worlds.SEQUENCES - len(known))  # unknown values come last
        assert page.locator("#board th[aria-sort]").count() == 1
    heads.nth(2).get_by_role("button").press("Enter")
    assert column(page, 2)[0] == "ACTIVE"
    ranked = page.locator("#board tbody tr[data-status=ACTIVE] [data-pick]")
    places = ranked.evaluate_all("names => names.map(name => Number(name.dataset.pick))")
    assert places == sorted(places)  # sequences of one status stay in the order of their ranks


def test_the_leaderboard_is_filtered_by_name_status_and_evidence(many: Reported, opened: Open) -> None:
    page = opened(many)
    shown = page.locator("#shown")
    expect(shown).to_have_text(f"{worlds.SEQUENCES} sequences")
    region = page.get_by_role("region", name="Leaderboard").bounding_box()
    assert region is not None
    assert region["height"] < 900  # it scrolls within the page
    page.get_by_label("Name").fill("outreach 01")
    expect(shown).to_have_text(f"10 of {worlds.SEQUENCES} sequences")
    page.get_by_label("Status").select_option("ARCHIVED")
    assert set(column(page, 2)) == {"ARCHIVED"}
    assert all("01" in name for name in column(page, 1))
    page.get_by_label("Name").fill("nowhere")
    expect(page.locator("#none-shown")).to_be_visible()
    page.get_by_label("Name").fill("")
    page.get_by_label("Status").select_option("")
    page.get_by_label("Only sequences with enough data").check()
    assert column(page, 1) == list(worlds.HOSTILE[:2])


# The chart has its bars, which are missing while it is being drawn, and is not the previous one.
ANOTHER_FUNNEL = """before => {
    const chart = document.querySelector("#chart-funnel svg");
    return chart?.querySelector(".mark-rect path") && chart.innerHTML !== before;
}"""


def test_a_sequence_is_selected_in_the_leaderboard_or_by_part_of_its_name(many: Reported, opened: Open) -> None:
    page = opened(many)
    pick = page.get_by_label("Sequence", exact=True)
    chart = page.locator("#chart-funnel svg")
    before = chart.inner_html()
    page.get_by_role("button", name=worlds.HOSTILE[1], exact=True).click()
    expect(pick).to_be_focused()
    expect(page.locator("#picked")).to_have_text(worlds.HOSTILE[1])
    expect(page.locator("#funnel-table tbody td").nth(2)).to_have_text("108")
    page.wait_for_function(ANOTHER_FUNNEL, arg=before)
    page.get_by_label("Find").fill("053")
    expect(pick.locator("option")).to_have_count(1)
    expect(page.locator("#picked")).to_have_text("Outreach 053 to buyers")
    page.get_by_label("Find").fill("nothing of that name")
    expect(pick.locator("option")).to_have_count(0)
    expect(page.locator("#picked")).to_have_text("Outreach 053 to buyers")


def test_the_theme_can_be_switched_and_is_remembered_and_print_is_always_light(many: Reported, opened: Open) -> None:
    page = opened(many)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    bar = page.locator("#chart-channels svg .mark-rect path").first
    page.get_by_role("button", name="Switch to dark colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate(paper) == dark
    colour = bar.evaluate("bar => getComputedStyle(bar).fill")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    assert page.evaluate(ink) == DARK.ink
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
    assert page.evaluate(ink) == DARK.ink
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(ink) == LIGHT.ink


def test_every_control_can_be_reached_by_keyboard_and_shows_its_focus(many: Reported, opened: Open) -> None:
    page = opened(many)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the report")
    expect(skip).to_be_focused()
    assert (skip.bounding_box() or {"width": 0})["width"] > 100
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    focused = []
    for _ in range(30):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", focused[-1]
    assert {"by-name", "by-status", "by-evidence", "sort", "name"} <= set(focused)
    unnamed = page.locator("button, select, input").evaluate_all(
        "all => all.filter(one => !one.textContent.trim() && !one.labels?.length && !one.ariaLabel).map(one => one.id)"
    )
    assert unnamed == []
    assert page.locator(".chart").evaluate_all(
        "all => all.every(one => one.role === 'img' && one.ariaLabel.length > 20)"
    )
