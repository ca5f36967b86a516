"""The command line: `topo-pipeline COMMAND`. Parses, shows, and exits with a code that tells; the work is elsewhere.

A module a concern, each a few commands; what they share is in `console` and `arguments`. A command imports what it
needs when it runs: `--help` must not wait for Dagster.
"""

import typer

from topo_pipeline.cli.copies import backup, export, restore
from topo_pipeline.cli.forgetting import forget
from topo_pipeline.cli.looking import doctor, report, status
from topo_pipeline.cli.reading import backfill, demo
from topo_pipeline.cli.serving import dev, sandbox

# Locals of a frame may hold the key: no traceback shows them.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode=None
)


@app.callback()
def main() -> None:
    """Topo's engagement events, proved complete day by day, in DuckDB.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline backfill 2026-03-01 2026-03-31
      topo-pipeline report --open
    """


# In the order in which --help lists them.
for command in (demo, doctor, status, backfill, report, export, backup, restore, forget, sandbox, dev):
    app.command()(command)
