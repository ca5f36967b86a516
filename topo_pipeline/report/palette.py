"""The report's colours. Colour-blind readers can distinguish them, and no information is shown by colour alone."""

from dataclasses import asdict, dataclass, fields

# Fonts that browsers have, so that the page loads none. The charts use them too.
FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Palette:
    """One colour for each role.

    Attributes:
        paper: The background of the page.
        card: The background of cards.
        ink: Text.
        muted: Secondary text.
        line: Rules and grids.
        accent: Measured values.
        strong: The accent in text and for the focus.
        soft: A light accent, for bands and for runs that continued.
        warm: Warnings.
        pale: Values that are unknown or have too little evidence.
        missing: Days that have not landed.
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
        """Return the colours as CSS variables: `--paper: …; …`."""
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
# For charts that are drawn in the page as SVG: their colours follow its theme, also in print.
IN_THE_PAGE = Palette(**{field.name: f"var(--{field.name})" for field in fields(Palette)})
