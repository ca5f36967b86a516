"""The report's colours: restrained, told apart by colour-blind eyes, never alone in telling something."""

from dataclasses import asdict, dataclass, fields

# What browsers have at hand, so that nothing is fetched; the charts use it too.
FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Palette:
    """One colour for each part that something plays.

    Attributes:
        paper: behind everything.
        card: behind what stands out.
        ink: text.
        muted: text of less weight.
        line: rules and grids.
        accent: what is measured.
        strong: the accent as text and in focus.
        soft: the accent's quiet side: bands, what went on.
        warm: what wants a look.
        pale: what is not known or too small to tell.
        missing: days that were never landed.
    """

    paper: str
    card: str
    ink: str
    muted: str
    line: str
    accent: str
    strong: str
    soft: str
    warm: str
    pale: str
    missing: str

    def as_css(self) -> str:
        """The colours as CSS variables: `--paper: …; …`."""
        return " ".join(f"--{name}: {colour};" for name, colour in asdict(self).items())


LIGHT = Palette(
    paper="#fbfaf7",
    card="#ffffff",
    ink="#1b2430",
    muted="#586472",
    line="#e4e2dc",
    accent="#1c7293",
    strong="#155a75",
    soft="#a9cbd8",
    warm="#c2570c",
    pale="#b9bec6",
    missing="#efe3d0",
)
DARK = Palette(
    paper="#12161b",
    card="#1a2027",
    ink="#e9ecef",
    muted="#a2adb9",
    line="#2e3741",
    accent="#5db7d3",
    strong="#86cfe5",
    soft="#315d6d",
    warm="#f2a15f",
    pale="#5c6772",
    missing="#3a3226",
)
# For charts drawn as SVG in the page: they change with its theme, and on paper.
IN_THE_PAGE = Palette(**{field.name: f"var(--{field.name})" for field in fields(Palette)})
