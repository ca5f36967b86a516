"""The warehouse's columns and their comments as Dagster metadata."""

from collections.abc import Iterable, Mapping

import dagster as dg

from topo_pipeline.warehouse.catalogue import Column


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    """Return the value of `dagster/column_schema` for a table."""
    return dg.TableSchema([dg.TableColumn(column.name, column.type, column.comment) for column in columns])


def column_lineage(origins: Mapping[str, Iterable[tuple[str, str, str]]]) -> dg.TableColumnLineage:
    """Return the value of `dagster/column_lineage`: for each column, its origins as (schema, table, column)."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey([schema, table]), name) for schema, table, name in sorted(sources)]
            for column, sources in origins.items()
        }
    )
