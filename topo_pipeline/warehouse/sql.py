"""Parts of SQL, and of DuckDB's messages, that several modules need."""

from topo_pipeline.common.text import first_line

# Instants are shown and cast in UTC, names in SQL never refer to Python variables, and nothing is downloaded.
SESSION = "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET autoinstall_known_extensions = false"
_REASONS = {
    "not a valid DuckDB database file": "it is not a DuckDB file",
    "Could not read enough bytes": "the file is truncated",
    "does not match stored checksum": "the file is damaged, a checksum does not match",
}


def literal(text: str) -> str:
    """Quote a text for a statement that does not accept it as a parameter."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for a statement."""
    return '"' + name.replace('"', '""') + '"'


def reason_of(error: Exception) -> str:
    """Return why a file can't be used, in plain words if the error is a known one of DuckDB, else its first line."""
    return next((reason for words, reason in _REASONS.items() if words in str(error)), first_line(error))
