"""What a process on this machine runs, for messages that name it."""

from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_CODE_SERVER, _RUN = "Dagster's code server", "a Dagster run"


def program_of(process: int) -> str | None:
    """Return what a process runs, such as `topo-pipeline backfill` or `a Dagster run`. None if it can't be inspected.

    Other arguments are left out, because they may contain secrets.
    """
    import psutil  # noqa: PLC0415 - only needed where something is in the way

    try:
        return _program(psutil.Process(process))
    except psutil.Error:
        return None


def _program(process: "psutil.Process") -> str | None:
    words = _without_interpreter(process.cmdline())
    match words:
        case ["topo-pipeline" as name, command, *_] if command.isalpha():  # not an option
            return f"{name} {command}"
        case ["dagster", "api", "grpc", *_]:
            return _CODE_SERVER
        case ["dagster", "api", *_]:
            return _RUN
        case ["-c", code, *_] if "multiprocessing.spawn" in code and _is_child_of_code_server(process):
            return _RUN
        case ["-c", *_]:
            return "python"
    return words[0] if words else None


def _is_child_of_code_server(process: "psutil.Process") -> bool:
    parent = process.parent()
    return parent is not None and _program(parent) == _CODE_SERVER


def _without_interpreter(words: list[str]) -> list[str]:
    """Return a command line that begins with the name of its program, script or module, or with -c."""
    name, rest = Path(words[0] if words else "").name, words[1:]
    if name.startswith("python"):
        rest = list(dropwhile(lambda word: word.startswith("-") and word not in {"-c", "-m"}, rest))
        if rest[:1] == ["-m"]:
            return rest[1:]
        if rest:
            return [Path(rest[0]).name, *rest[1:]]
    return [name, *rest] if name else []
