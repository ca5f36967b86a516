"""Publishing to an Iceberg catalog: each table is replaced in one commit."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.exports import readers
from topo_pipeline_tests.exports.conftest import Written

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from topo_pipeline.exports.iceberg import Iceberg
    from topo_pipeline_tests.services.s3 import S3

NAMESPACE = "published"
ACTIVITIES = (NAMESPACE, "activities")
READERS = (readers.by_pyiceberg, readers.by_polars_from_iceberg, readers.by_duckdb_from_iceberg)


@pytest.fixture
def catalog(s3: "S3") -> "Catalog":
    from pyiceberg.catalog import load_catalog

    return load_catalog("test", **s3.catalog())


@pytest.fixture
def target(catalog: "Catalog") -> "Iceberg":
    from topo_pipeline.exports.iceberg import Iceberg

    return Iceberg("test", NAMESPACE, catalog.properties)


@pytest.fixture
def before(few_exports: tuple[Written, Written]) -> Written:
    """The activities alone, which are quicker to publish."""
    return few_exports[0].only("topo.activities")


@pytest.fixture
def after(few_exports: tuple[Written, Written]) -> Written:
    return few_exports[1].only("topo.activities")


def test_every_reader_reads_the_tables_of_the_last_publication(
    few_exports: tuple[Written, Written], target: "Iceberg", catalog: "Catalog"
) -> None:
    for export in few_exports:
        export.publish(target)
        for read in READERS:
            assert read(catalog, NAMESPACE) == export.tables


@pytest.mark.full  # smaller: the test above
def test_every_table_of_the_warehouse_is_published(
    two_exports: tuple[Written, Written], target: "Iceberg", catalog: "Catalog"
) -> None:
    export = two_exports[0]
    export.publish(target)
    for read in READERS:
        assert read(catalog, NAMESPACE) == export.tables


def test_only_the_files_of_the_newest_export_are_read(
    before: Written, after: Written, target: "Iceberg", catalog: "Catalog"
) -> None:
    for export in (before, after):
        export.publish(target)
    tasks = list(catalog.load_table(ACTIVITIES).scan().plan_files())
    assert len(tasks) == 1  # April has no activity left
    assert [task.delete_files for task in tasks] == [set()]


def test_columns_have_their_types_and_comments_and_snapshots_say_when_they_were_written(
    before: Written, target: "Iceberg", catalog: "Catalog"
) -> None:
    before.publish(target)
    table = catalog.load_table(ACTIVITIES)
    columns = before.manifest["tables"]["topo.activities"]["columns"]
    assert [(c.name, c.doc) for c in table.schema().fields] == [(c["name"], c["comment"]) for c in columns]
    types = {field.name: str(field.field_type) for field in table.schema().fields}
    assert (types["id"], types["created_at"], types["day"]) == ("string", "timestamptz", "date")
    snapshot = table.current_snapshot()
    assert snapshot is not None and snapshot.summary is not None
    assert snapshot.summary["topo.as_of"] == before.manifest["as_of"]
    assert snapshot.summary["topo.written_at"] == before.manifest["written_at"]


def test_a_reader_of_a_snapshot_is_not_disturbed_by_the_next_export(
    before: Written, after: Written, target: "Iceberg", catalog: "Catalog"
) -> None:
    before.publish(target)
    reading = catalog.load_table(ACTIVITIES)
    after.publish(target)
    assert readers.rows(readers.tuples(reading.scan().to_arrow())) == before.tables["activities"]


def test_a_new_column_is_added_to_the_table(before: Written, target: "Iceberg", catalog: "Catalog") -> None:
    before.publish(target)
    with catalog.load_table(ACTIVITIES).update_schema() as update:
        update.delete_column("channel")
    before.publish(target)
    table = catalog.load_table(ACTIVITIES)
    assert {field.name for field in table.schema().fields} == {
        column["name"] for column in before.manifest["tables"]["topo.activities"]["columns"]
    }


def test_a_column_of_another_type_is_an_error_and_the_rows_remain(
    before: Written, after: Written, target: "Iceberg", catalog: "Catalog"
) -> None:
    from pyiceberg.types import LongType

    before.publish(target)
    with catalog.load_table(ACTIVITIES).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("channel")
    with catalog.load_table(ACTIVITIES).update_schema() as update:
        update.add_column("channel", LongType())
    rows = catalog.load_table(ACTIVITIES).scan().count()
    with pytest.raises(
        WarehouseError, match="The table activities can't be published .*Cannot change column type: channel"
    ) as error:
        after.publish(target)
    assert "\n" not in str(error.value)
    assert catalog.load_table(ACTIVITIES).scan().count() == rows


def test_a_table_without_files_is_emptied(before: Written, target: "Iceberg", catalog: "Catalog") -> None:
    def publish_without_activities() -> None:
        table = {**before.manifest["tables"]["topo.activities"], "files": []}
        replace(before, manifest={**before.manifest, "tables": {"topo.activities": table}}).publish(target)

    publish_without_activities()
    assert catalog.list_tables(NAMESPACE) == []
    before.publish(target)
    publish_without_activities()
    assert readers.by_pyiceberg(catalog, NAMESPACE) == {**before.tables, "activities": []}


def test_a_refused_upload_leaves_the_former_rows(
    before: Written, after: Written, target: "Iceberg", catalog: "Catalog", s3: "S3"
) -> None:
    from topo_pipeline_tests.services.s3 import Bucket, proxied

    before.publish(target)
    with proxied(Bucket("any", s3.endpoint)) as (seen, proxy):
        proxy.status, proxy.refuses = 403, lambda method, path: method in {"PUT", "POST"} and "/activities/" in path
        through = replace(target, properties={**target.properties, "s3.endpoint": seen.endpoint})
        with pytest.raises(WarehouseError, match="namespace published of the Iceberg catalog test") as error:
            after.publish(through)
    assert "\n" not in str(error.value)
    assert readers.by_pyiceberg(catalog, NAMESPACE)["activities"] == before.tables["activities"]
    after.publish(target)
    assert readers.by_pyiceberg(catalog, NAMESPACE) == after.tables


@pytest.mark.parametrize(
    "changed",
    [{"credential": "topo_tests_key:hunter2"}, {"uri": "http://127.0.0.1:9"}, {"s3.secret-access-key": "hunter2"}],
)
def test_a_catalog_that_cannot_be_used_is_an_error_that_shows_no_secret(
    before: Written, target: "Iceberg", changed: dict[str, str]
) -> None:
    wrong = replace(target, properties={**target.properties, **changed})
    with pytest.raises(WarehouseError, match="can't be published to the namespace published") as error:
        before.publish(wrong)
    assert "hunter2" not in repr((error.value, wrong))
    assert "\n" not in str(error.value)
    assert error.value.__suppress_context__


def test_a_file_that_is_missing_is_an_error(before: Written, target: "Iceberg", tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="can't be published"):
        replace(before, folder=tmp_path).publish(target)
