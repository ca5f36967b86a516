"""The warehouse's columns as Dagster shows them: the comments are the same text."""

from collections.abc import Iterable, Mapping

import dagster as dg

from topo_pipeline.warehouse.catalogue import Column


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    """The value of `dagster/column_schema` for a table."""
    return dg.TableSchema([dg.TableColumn(column.name, column.type, column.comment) for column in columns])


def column_lineage(origins: Mapping[str, Iterable[tuple[str, str, str]]]) -> dg.TableColumnLineage:
    """The value of `dagster/column_lineage`: for each column the columns (schema, table, column) that it comes from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey([schema, table]), name) for schema, table, name in sorted(sources)]
            for column, sources in origins.items()
        }
    )
