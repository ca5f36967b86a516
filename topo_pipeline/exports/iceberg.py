"""Publish an export to a namespace of an Iceberg catalog: one table per table, each replaced in one commit.

The files of the export are uploaded as they are and become the table's files. DuckDB's own extension would write one
delete file more with each export and never drop the old data files, so that reading took longer each time.
"""

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg import exceptions
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.table import Table

from topo_pipeline.common.text import first_line
from topo_pipeline.exports.parquet import Manifest
from topo_pipeline.warehouse.errors import WarehouseError

# PyIceberg's own errors have no common base.
_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    *(error for error in vars(exceptions).values() if isinstance(error, type)),
)


@dataclass(frozen=True)
class Iceberg:
    """A namespace of an Iceberg catalog."""

    catalog: str  # the catalog's name in PyIceberg's configuration
    namespace: str
    properties: Mapping[str, str] = field(repr=False)  # of the catalog, with secrets

    @property
    def place(self) -> str:
        """The target, as it is named in messages."""
        return f"the namespace {self.namespace} of the Iceberg catalog {self.catalog}"

    def check(self) -> None:
        """Ask the catalog for its namespaces.

        Raises:
            WarehouseError: the catalog can't be reached or refuses the request.
        """
        try:
            load_catalog(self.catalog, **self.properties).list_namespaces()
        except _ERRORS as error:
            raise WarehouseError(f"Nothing can be published to {self.place}: {first_line(error)}") from None

    def publish(self, folder: Path, manifest: Manifest, *, keep_last: bool) -> None:  # noqa: ARG002
        """Replace the rows of every table. A table's earlier snapshots stay until the catalog expires them.

        Raises:
            WarehouseError: the catalog or its storage can't be reached or refuses a request. The tables that were
                already published are new, the others unchanged.
        """
        try:
            catalog = load_catalog(self.catalog, **self.properties)
            catalog.create_namespace_if_not_exists(self.namespace)
        except _ERRORS as error:
            raise WarehouseError(f"The tables can't be published to {self.place}: {first_line(error)}") from None
        for full_name, table in manifest["tables"].items():
            name, files = full_name.partition(".")[2], [folder / file["path"] for file in table["files"]]
            try:
                self._replace(catalog, name, table, files, manifest)
            except _ERRORS as error:
                raise WarehouseError(
                    f"The table {name} can't be published to {self.place}: {first_line(error)}"
                ) from None

    def _replace(
        self, catalog: Catalog, name: str, described: dict[str, Any], files: list[Path], manifest: Manifest
    ) -> None:
        if files:
            schema = _schema(pq.read_schema(files[0]), described)
            table = catalog.create_table_if_not_exists((self.namespace, name), schema=schema)
        elif catalog.table_exists((self.namespace, name)):
            table = catalog.load_table((self.namespace, name))
        else:
            return
        written = {f"topo.{key}": manifest[key] for key in ("written_at", "as_of") if manifest[key]}
        with table.transaction() as transaction:
            if files:
                with transaction.update_schema() as update:
                    update.union_by_name(schema)
            uploaded = [_upload(table, file) for file in files]
            if next(iter(table.scan().plan_files()), None):
                transaction.delete(AlwaysTrue(), snapshot_properties=written)
            if uploaded:
                transaction.add_files(uploaded, snapshot_properties=written)


def _schema(schema: pa.Schema, described: dict[str, Any]) -> pa.Schema:
    """Return the schema with the columns' comments."""
    comments = {column["name"]: column["comment"] for column in described["columns"]}
    return pa.schema([column.with_metadata({"doc": comments[column.name] or ""}) for column in schema])


def _upload(table: Table, file: Path) -> str:
    location = f"{table.location()}/data/{uuid.uuid4()}.parquet"
    with file.open("rb") as source, table.io.new_output(location).create() as stream:
        shutil.copyfileobj(source, stream)
    return location
