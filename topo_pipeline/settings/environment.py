"""Variables of the environment and of `.env`, by name: which ones are set, and their values."""

import os

from dotenv import dotenv_values


def where_set() -> dict[str, str]:
    """Return each variable that is set and looks like ours, with its source: the environment wins over `.env`."""
    return {
        name: place
        for place, values in ((".env", _written()), ("the environment", os.environ))
        for name, value in values.items()
        if value and (name.upper().startswith("TOPO_") or name == "DAGSTER_HOME")
    }


def variables(prefix: str) -> dict[str, str]:
    """Return the variables of another program that are set, such as `AWS_`: the environment wins over `.env`.

    The values may be secrets.
    """
    both = {**_written(), **os.environ}
    return {name: value for name, value in both.items() if value and name.startswith(prefix)}


def _written() -> dict[str, str | None]:
    """Return the variables in `.env`, if it can be read."""
    try:
        return dotenv_values(".env")
    except (OSError, UnicodeDecodeError):
        return {}
