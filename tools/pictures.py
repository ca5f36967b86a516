"""Make the pictures of the documentation from the demo: `python -m tools.pictures`. Takes some minutes.

The demo runs as today's, in a temporary folder. Its output and its report are photographed.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.ansi import AnsiDecoder
from rich.console import Console

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
COMMAND = str(Path(sys.executable).parent / "topo-pipeline")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
COLUMNS = 128


def main() -> None:
    """Write `demo.png` and `report.png`."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, browser = Path(name), playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _photograph_terminal(browser, _demo(folder))
        report = folder / "data" / "demo" / "report" / "engagement_report.html"
        page = browser.new_page(viewport={"width": 1360, "height": 2600})
        page.goto(report.as_uri())
        page.wait_for_selector("canvas, svg.marks")
        page.screenshot(path=PICTURES / "report.png")


def _demo(folder: Path) -> str:
    """Run the demo in a terminal of a fixed width, and return what it prints to standard output."""
    ours, theirs = pty.openpty()
    environment = {**_environment(), "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(  # noqa: S603
        [COMMAND, "demo"], cwd=folder, env=environment, stdout=theirs, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        printed = b""
        try:
            while part := os.read(ours, 65_536):
                printed += part
        except OSError:  # Linux reports the closed terminal as an error
            pass
    os.close(ours)
    if process.returncode:
        raise SystemExit("The demo failed.")
    # As in a new checkout, wherever this one is.
    return printed.decode().replace("\r\n", "\n").replace(COMMAND, ".venv/bin/topo-pipeline")


def _photograph_terminal(browser: Browser, printed: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$ make demo[/]")
    for line in AnsiDecoder().decode(printed):
        console.print(line)
    # Without the address of a font that would be downloaded.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="topo_pipeline"), flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    page.set_content(f"<style>body{{margin:0;width:1287px}}svg{{display:block}}</style>{svg}")
    page.locator("svg").first.screenshot(path=PICTURES / "demo.png", omit_background=True)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("TOPO_", "DAGSTER_"))}


if __name__ == "__main__":
    main()
