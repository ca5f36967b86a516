"""Publishing to S3: a folder per export, of which `latest.json` names the newest complete one."""

import json

import pytest

from topo_pipeline.exports.s3 import Bucket
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.exports import readers
from topo_pipeline_tests.exports.conftest import Written
from topo_pipeline_tests.services import s3 as services
from topo_pipeline_tests.services.s3 import Proxy


@pytest.fixture
def target(s3_bucket: services.Bucket) -> Bucket:
    return Bucket(f"{s3_bucket.url}/a folder", s3_bucket.environment)


def folders_in(bucket: services.Bucket) -> list[str]:
    """Return the folders below the target, and those next to it, whose names begin with the same text."""
    return sorted({parts[1] for key in bucket.keys() if len(parts := key.split("/")) > 2})  # noqa: SIM118


def test_every_reader_reads_every_table_of_the_warehouse(
    two_exports: tuple[Written, Written], target: Bucket, s3_bucket: services.Bucket
) -> None:
    export = two_exports[0]
    export.publish(target)
    for read in (readers.by_pyarrow, readers.by_polars, readers.by_duckdb):
        assert read(s3_bucket) == export.tables


def test_latest_json_is_the_manifest_and_names_the_folder(
    two_exports: tuple[Written, Written], target: Bucket, s3_bucket: services.Bucket
) -> None:
    before = two_exports[0]
    before.publish(target)
    latest = json.loads(s3_bucket.read("a folder/latest.json"))
    assert latest.pop("folder") == "20260402T063000Z"
    assert latest == before.manifest == json.loads(s3_bucket.read("a folder/20260402T063000Z/manifest.json"))
    types = {column["name"]: column["type"] for column in latest["tables"]["topo.activities"]["columns"]}
    assert (types["id"], types["created_at"]) == ("VARCHAR", "TIMESTAMP WITH TIME ZONE")


def test_only_exports_older_than_the_previous_one_are_deleted(
    before: Written, after: Written, target: Bucket, s3_bucket: services.Bucket
) -> None:
    for key in ("a folder/mine/file", "a folderful/20260101T000000Z/file", "latest.json"):
        with s3_bucket.files.open_output_stream(f"{s3_bucket.name}/{key}") as stream:
            stream.write(b"mine")
    before.publish(target)
    before.publish(target)
    after.publish(target)
    assert folders_in(s3_bucket) == ["20260101T000000Z", "20260402T063000Z-2", "20260402T073000Z", "mine"]
    after.publish(target, keep_last=False)
    assert folders_in(s3_bucket) == ["20260101T000000Z", "20260402T073000Z-2", "mine"]
    assert readers.by_pyarrow(s3_bucket) == after.tables
    assert s3_bucket.read("latest.json") == b"mine"


@pytest.mark.parametrize("at", ["sequence_steps.parquet", "manifest.json", "latest.json"])
def test_a_refused_upload_leaves_the_previous_export_and_the_next_one_cleans_up(
    before: Written, after: Written, s3_bucket: services.Bucket, s3_proxy: Proxy, at: str
) -> None:
    target = through(s3_proxy, s3_bucket)
    before.publish(target)
    s3_proxy.status, s3_proxy.refuses = 403, lambda method, path: method == "PUT" and path.endswith(at)
    with pytest.raises(WarehouseError, match=r"The export to s3://test-\d+/a folder can't be written") as error:
        after.publish(target)
    assert "\n" not in str(error.value)
    assert readers.by_pyarrow(s3_bucket) == before.tables
    s3_proxy.refuses = lambda method, path: False
    before.publish(target)
    assert folders_in(s3_bucket) == ["20260402T063000Z", "20260402T063000Z-2"]
    after.publish(target)
    assert readers.by_pyarrow(s3_bucket) == after.tables


def test_requests_that_s3_answers_with_503_are_repeated(
    before: Written, s3_bucket: services.Bucket, s3_proxy: Proxy
) -> None:
    refused = iter(range(3))
    s3_proxy.refuses = lambda method, path: method == "PUT" and next(refused, None) is not None
    before.publish(through(s3_proxy, s3_bucket))
    assert next(refused, None) is None
    assert readers.by_pyarrow(s3_bucket) == before.tables


def through(proxy: Proxy, bucket: services.Bucket) -> Bucket:
    return Bucket(f"{bucket.url}/a folder", {**bucket.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint})


def test_a_rejected_key_is_an_error_that_shows_no_secret(before: Written, s3_bucket: services.Bucket) -> None:
    target = Bucket(s3_bucket.url, {**s3_bucket.environment, "AWS_SECRET_ACCESS_KEY": "hunter2"})
    with pytest.raises(WarehouseError, match=r"403 Forbidden \(SignatureDoesNotMatch\)$") as error:
        before.publish(target)
    assert "hunter2" not in repr((error.value, target))
    assert error.value.__suppress_context__
    assert s3_bucket.keys() == []
