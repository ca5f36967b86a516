"""Dump the catalog of a shared lake with Postgres' own programs, and load a dump into a schema with another name."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import temporary, temporary_folder
from topo_pipeline.warehouse.sql import identifier, literal, one_line

# Seconds that a program may take. Even a catalog of a gigabyte takes less.
_CEILING = 1800.0
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
# The dump can only be loaded under the name that its schema had. A schema of that name gets this one for the time.
_ASIDE = "topo-pipeline aside"
_MOVED = """
DO $$ BEGIN
    IF to_regnamespace({old_text}) IS NOT NULL THEN ALTER SCHEMA {old} RENAME TO {new}; END IF;
END $$
"""


def dump(file: Path, *, schema: str, options: Mapping[str, str], server: int, otherwise: str) -> None:
    """Write the schema to a new file, in the format of `pg_restore`.

    Args:
        file: The file to write.
        schema: The schema to dump.
        options: The options of libpq by name. They are passed as variables, since arguments are visible to others.
        server: The major version of the server.
        otherwise: The sentence after an error that says how to do it by hand.

    Raises:
        WarehouseError: pg_dump is missing, older than the server, fails, or takes too long.
    """
    _require("pg_dump", server, otherwise)
    given = ["--format=custom", "--no-owner", "--no-privileges", f"--schema={identifier(schema)}", f"--file={file}"]
    _run(["pg_dump", "--no-password", *given], options, otherwise)


def load(
    file: Path, *, dumped: str, schema: str, data_path: str, options: Mapping[str, str], server: int, otherwise: str
) -> None:
    """Load a dump into a new schema, in one transaction. The lake's files are then expected in `data_path`.

    Args:
        file: The dump.
        dumped: The name of the schema in the dump. A schema with this name stays as it is.
        schema: The name of the new schema.
        data_path: The folder or `s3://` address, with a slash at the end.
        options: As in `dump`.
        server: As in `dump`.
        otherwise: As in `dump`.

    Raises:
        WarehouseError: pg_restore or psql is missing, older than the server, fails, or takes too long. Nothing was
            loaded.
    """
    for program in ("pg_restore", "psql"):
        _require(program, server, otherwise)
    with temporary_folder(temporary(), "restoring") as aside:
        script = aside / "catalog.sql"
        _run(["pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(file)], options, otherwise)
        moved = f"UPDATE {identifier(dumped)}.ducklake_metadata SET value = {literal(data_path)}"  # noqa: S608
        steps = [
            "--command=SET client_min_messages = warning",
            f"--command={_renamed(dumped, _ASIDE)}",
            f"--file={script}",
            f"--command={moved} WHERE key = 'data_path' AND scope IS NULL",
            f"--command=ALTER SCHEMA {identifier(dumped)} RENAME TO {identifier(schema)}",
            f"--command={_renamed(_ASIDE, dumped)}",
        ]
        quietly = ["--no-psqlrc", "--no-password", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1"]
        _run(["psql", *quietly, "--single-transaction", *steps], options, otherwise)


def _renamed(old: str, new: str) -> str:
    """Return a statement that renames a schema if it exists."""
    return _MOVED.format(old_text=literal(identifier(old)), old=identifier(old), new=identifier(new))


def _require(program: str, server: int, otherwise: str) -> None:
    found = _VERSION.search(_finished([program, "--version"], otherwise).stdout) if shutil.which(program) else None
    if found and int(found[1]) >= server:
        return
    has = f"version {found[1]} of {program} is installed" if found else f"{program} is not installed"
    raise WarehouseError(
        f"The server is Postgres {server}, but {has}: install its programs (postgresql-client-{server}). {otherwise}"
    )


def _run(command: list[str], options: Mapping[str, str], otherwise: str) -> None:
    from psycopg.pq import Conninfo  # noqa: PLC0415 - an extra

    names = {option.keyword.decode(): option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    variables = {names[name]: value for name, value in options.items() if name in names}
    done = _finished(command, otherwise, variables)
    if done.returncode:
        raise WarehouseError(f"{one_line(done.stderr) or command[0]}. {otherwise}")


def _finished(
    command: list[str], otherwise: str, variables: Mapping[str, str] = {}
) -> "subprocess.CompletedProcess[str]":
    """Run a program until it has finished, or kill it: what comes from outside has a ceiling."""
    try:
        return subprocess.run(  # noqa: S603 - arguments of our own
            command,
            env=os.environ | variables | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_CEILING,
        )
    except subprocess.TimeoutExpired:
        raise WarehouseError(
            f"{command[0]} had not finished after {_CEILING / 60:g} minutes and was ended. {otherwise}"
        ) from None
