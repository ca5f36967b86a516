"""The report's colours. Colour-blind readers can distinguish them, and no information is shown by colour alone."""

# Fonts that browsers have, so that the page loads none. The charts use them too.
FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# The light and the dark colour of each role.
COLOURS = {
    "paper": ("#fbfaf7", "#12161b"),  # the background of the page
    "card": ("#ffffff", "#1a2027"),  # the background of cards
    "ink": ("#1b2430", "#e9ecef"),  # text
    "muted": ("#586472", "#a2adb9"),  # secondary text
    "line": ("#e4e2dc", "#2e3741"),  # rules and grids
    "accent": ("#1c7293", "#5db7d3"),  # measured values
    "strong": ("#155a75", "#86cfe5"),  # the accent in text and for the focus
    "soft": ("#a9cbd8", "#315d6d"),  # a light accent, for bands
    "warm": ("#c2570c", "#f2a15f"),  # warnings
    "missing": ("#efe3d0", "#3a3226"),  # days that have not landed
}
# The colours as CSS variables.
LIGHT = " ".join(f"--{role}: {light};" for role, (light, _) in COLOURS.items())
DARK = " ".join(f"--{role}: {dark};" for role, (_, dark) in COLOURS.items())
