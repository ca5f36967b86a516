"""The warehouse's columns as Dagster shows them: the comments are the same text."""

from collections.abc import Iterable

import dagster as dg

from topo_pipeline.warehouse.catalogue import Column


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    """The value of `dagster/column_schema` for a table."""
    return dg.TableSchema([dg.TableColumn(column.name, column.type, column.comment) for column in columns])
