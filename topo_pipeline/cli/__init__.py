"""The command line: `topo-pipeline COMMAND`.

The command modules parse arguments, print results and set the exit code. The work is done in other packages. Shared
helpers are in `console` and `arguments`. A command imports what it needs when it runs, so that `--help` doesn't wait
for Dagster.
"""

import typer

from topo_pipeline.cli.copies import backup, export, restore
from topo_pipeline.cli.forgetting import forget
from topo_pipeline.cli.looking import doctor, report, status
from topo_pipeline.cli.reading import backfill, demo
from topo_pipeline.cli.serving import dev, sandbox

# Local variables may hold the API key, so tracebacks don't show them.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode=None
)


@app.callback()
def main() -> None:
    """Load Topo's engagement events into DuckDB day by day and prove each day complete.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline backfill 2026-03-01 2026-03-31
      topo-pipeline report --open
    """


# --help lists the commands in this order.
for command in (demo, doctor, status, backfill, report, export, backup, restore, forget, sandbox, dev):
    app.command()(command)
