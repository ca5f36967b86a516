"""The command line: `topo-pipeline COMMAND`.

Each command has a module of its name (`restore` is in `backup`, `explain` and `compare` are in `sequences`). It parses
arguments, prints results and sets the exit code. The work is done in other packages. The other modules are helpers that
several commands share. A command imports what it needs when it runs, so that `--help` doesn't wait for Dagster.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from topo_pipeline.cli import (
    arguments,
    backfill,
    backup,
    demo,
    dev,
    doctor,
    export,
    forget,
    init,
    organizations,
    report,
    sandbox,
    sequences,
    status,
)


class _Commands(TyperGroup):
    """The commands. `--organization` may come before or after each, and `--demo` directly before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options that come before the command."""
        if not ctx.resilient_parsing:  # the shell asks for completions of incomplete words
            arguments.require_organization_name(args)
        return super().parse_args(ctx, arguments.with_options_moved(args))


# Local variables may hold the API key, so tracebacks don't show them.
app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_show_locals=False, rich_markup_mode=None)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata

        typer.echo(f"topo-pipeline {metadata.version('topo-pipeline')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - the callback prints it
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    organization: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The organization, if organizations.toml has several.")
    ] = None,
) -> None:
    """Load Topo's engagement events into DuckDB day by day and prove each day complete.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline backfill 2026-03-01 2026-03-31
      topo-pipeline report --open
      topo-pipeline --organization acme status
    """
    if organization:
        from topo_pipeline.settings import choose

        choose(arguments.one_organization(organization))


# --help lists the commands in this order.
for command in (
    demo.demo,
    init.init,
    organizations.organizations,
    doctor.doctor,
    status.status,
    sequences.sequences,
    sequences.explain,
    sequences.compare,
    backfill.backfill,
    report.report,
    export.export,
    backup.backup,
    backup.restore,
    forget.forget,
    sandbox.sandbox,
    dev.dev,
):
    app.command()(command)
