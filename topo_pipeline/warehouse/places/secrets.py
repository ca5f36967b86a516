"""DuckDB's secrets, with which it opens Postgres and S3. They end with the instance."""

from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.places.place import LakeStorage
from topo_pipeline.warehouse.sql import literal


def create_secret(connection: DuckDBPyConnection, name: str, options: Mapping[str, str]) -> None:
    """Create a temporary secret from its options, such as `TYPE`, or replace it."""
    given = ", ".join(f"{option} {literal(value)}" for option, value in options.items())
    connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET {name} ({given})")


def s3_options(storage: LakeStorage) -> dict[str, str]:
    """Return the secret for S3 from the variables that AWS's own programs read."""
    known = storage.variables
    endpoint = known.get("AWS_ENDPOINT_URL_S3", known.get("AWS_ENDPOINT_URL", ""))
    scheme, _, host = endpoint.rpartition("://")
    options = {
        "KEY_ID": known.get("AWS_ACCESS_KEY_ID"),
        "SECRET": known.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": known.get("AWS_SESSION_TOKEN"),
        "REGION": known.get("AWS_REGION", known.get("AWS_DEFAULT_REGION")),
        "ENDPOINT": host.rstrip("/") or None,
        "URL_STYLE": "path" if host else None,  # servers other than AWS's often have no name for each bucket
        "USE_SSL": "false" if scheme == "http" else None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return {"TYPE": "s3", "SCOPE": storage.data_path, **given}
