"""The targets outside this machine to which the settings publish the tables."""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from topo_pipeline.exports.parquet import Manifest, size_of, write_files
from topo_pipeline.settings import Settings, variables
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import temporary, temporary_folder


class Target(Protocol):
    """A place to which an export can be published."""

    @property
    def place(self) -> str:
        """The target, as it is named in messages, without secrets."""

    def check(self) -> None:
        """Check that it can be published to. What that writes is removed again.

        Raises:
            WarehouseError: the target can't be reached or refuses a request.
        """

    def publish(self, folder: Path, manifest: Manifest, *, keep_last: bool) -> None:
        """Publish the export in `folder`."""


def target_of(name: str, settings: Settings) -> Target:
    """Return a target that the settings name.

    Raises:
        WarehouseError: its packages are not installed.
    """
    # Each needs packages of its own, which take up to three seconds to import.
    try:
        match name:
            case "s3":
                from topo_pipeline.exports.s3 import Bucket

                return Bucket(str(settings.publish_s3), settings.aws_variables)
            case "postgres" if settings.publish_postgres is not None:
                from topo_pipeline.exports.postgres import Postgres

                return Postgres(settings.publish_postgres.get_secret_value(), settings.publish_postgres_schema)
            case _:
                from topo_pipeline.exports.iceberg import Iceberg

                catalog, _, namespace = str(settings.publish_iceberg).partition(".")
                prefix = f"PYICEBERG_CATALOG__{catalog.upper()}__"
                found = {name.removeprefix(prefix): value for name, value in variables(prefix).items()}
                properties = {name.lower().replace("__", ".").replace("_", "-"): value for name, value in found.items()}
                return Iceberg(catalog, namespace, properties)
    except ModuleNotFoundError as error:
        raise WarehouseError(
            f"Publishing needs {error.name}, from the extra publish of this package (make install-dev)"
        ) from None


def publish(warehouse: Warehouse, target: Target, *, now: datetime, keep_last: bool = True) -> dict[str, int]:
    """Write an export to a temporary folder, publish it, and return its number of tables, files, rows and bytes.

    Args:
        warehouse: The warehouse to read. Writers wait until the export is written, not until it is published.
        target: The place to publish to.
        now: The time of the export.
        keep_last: Whether the target may keep the previous export for its readers. False after a person was erased.

    Raises:
        WarehouseError: there is no warehouse; the folder can't be written; or the target can't be.
    """
    try:
        with temporary_folder(temporary(), "publishing") as aside:
            manifest = write_files(warehouse, aside, now=now)
            target.publish(aside, manifest, keep_last=keep_last)
    except OSError as error:
        raise WarehouseError(f"The export to {target.place} can't be written: {error}") from error
    return size_of(manifest)
