"""Parts of SQL, and of DuckDB's messages, that several modules need."""

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = dict[str, Any]

# Instants are shown and cast in UTC, names in SQL never refer to Python variables, nothing is downloaded, and DuckDB
# draws no progress bar into the command line's output.
SESSION = (
    "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET autoinstall_known_extensions = false;"
    " SET enable_progress_bar = false"
)
_REASONS = {
    "not a valid DuckDB database file": "it is not a DuckDB file",
    "Could not read enough bytes": "the file is truncated",
    "does not match stored checksum": "the file is damaged, a checksum does not match",
}


def rows(connection: "DuckDBPyConnection", sql: str, **values: object) -> list[Row]:
    """Return the rows of a query with these parameters (`$name`). Unknown values are None.

    The values are written into the query: for the first bound one, DuckDB imports pandas, which takes longer than all
    queries of a command that only reads.
    """
    result = connection.execute(re.sub(r"\$(\w+)", lambda found: _written(values[found[1]]), sql))
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _written(value: object) -> str:
    """Write a value as SQL, of the type that it has as a bound parameter."""
    match value:
        case None | bool() | int():
            return "NULL" if value is None else f"({value})"
        case float():
            return f"'{value!r}'::DOUBLE"
        case str():
            return literal(value)
        case date() if not isinstance(value, datetime):
            return f"DATE '{value}'"
        case list():
            return f"[{', '.join(map(_written, value))}]"
    raise TypeError(f"a parameter can't be of the type {type(value).__name__}")


def literal(text: str) -> str:
    """Quote a text for a statement that does not accept it as a parameter."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for a statement."""
    return '"' + name.replace('"', '""') + '"'


def reason_of(error: Exception) -> str:
    """Return why a warehouse can't be used, in plain words if the error is a known one of DuckDB."""
    return next((reason for words, reason in _REASONS.items() if words in str(error)), one_sentence(error))


def one_sentence(error: Exception) -> str:
    """Return the message of DuckDB or Postgres on one line. DuckLake's reason is on its second line.

    The statement and the links that follow a blank line are left out.
    """
    return one_line(str(error).strip().partition("\n\n")[0])


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(line.strip() for line in text.strip().splitlines())
