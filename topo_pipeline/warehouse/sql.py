"""Parts of SQL, and of DuckDB's messages, that several modules need."""

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
