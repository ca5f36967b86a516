"""The command `init`: the files of a new workspace."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from dotenv import set_key

from topo_pipeline.cli.console import err, fail, out, program, report_errors

_DG = "dg.toml"


def init(
    folder: Annotated[Path, typer.Argument(help="The folder. It is created if it is missing.")] = Path(),
) -> None:
    """Write the files that a new workspace needs: settings and Dagster's configuration.

    Existing files are kept. In a checkout of the project only .env and .dagster are missing.

    \b
    Examples:
      topo-pipeline init
      topo-pipeline init /srv/topo
    """
    with report_errors():
        home = folder.absolute() / ".dagster"
        found = _write(folder, home)
        written = [name for name, is_new in found.items() if is_new]
        with err.status("Preparing Dagster's home"):
            from topo_pipeline.orchestration.instance import prepare

            prepare(home)
    if not written:
        fail(f"{folder.absolute()} has {', '.join(found)} already. Nothing was changed.")
    out.say(f"Written in {folder.absolute()}: {', '.join(written)}.")
    go = f"cd {shlex.quote(str(folder))}, " if folder.absolute() != Path.cwd() else ""
    out.say(f"Next: {go}set TOPO_API_KEY in .env, and run: {program()} doctor")


def _write(folder: Path, home: Path) -> dict[str, bool]:
    """Write the files that don't exist. Return whether each was written."""
    from topo_pipeline.templates import copy

    folder.mkdir(parents=True, exist_ok=True)
    # Dagster's own commands read .env too, and need an absolute path.
    is_new = {".env": copy("env.example", folder / ".env")}
    if is_new[".env"]:
        (folder / ".env").write_text((folder / ".env").read_text().removesuffix("# DAGSTER_HOME=.dagster\n"))
        set_key(folder / ".env", "DAGSTER_HOME", str(home), quote_mode="auto")
        (folder / ".env").chmod(0o600)
    names = ["workspace.yaml"] if (folder / "pyproject.toml").exists() else ["workspace.yaml", _DG]
    is_new |= {name: copy(name, folder / name) for name in names}
    is_new[".dagster"] = not (home / "dagster.yaml").exists()
    return is_new
