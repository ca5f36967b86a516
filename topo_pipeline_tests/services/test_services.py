"""The servers of the tests."""

import signal

import httpx
import psycopg
import pytest

from topo_pipeline_tests.services.postgres import Database, Postgres
from topo_pipeline_tests.services.s3 import S3, Bucket, Proxy


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_database_is_new_and_keeps_its_rows_when_postgres_restarts(
    postgres: Postgres, postgres_database: Database, how: signal.Signals
) -> None:
    with postgres_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(0,)]
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        postgres.restart(how)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with postgres_database.connect() as connection:
        assert connection.execute("TABLE kept").fetchall() == [(7,)]


def test_a_bucket_is_new_and_keeps_objects(s3: S3, s3_bucket: Bucket) -> None:
    assert s3_bucket.keys() == []
    with s3_bucket.files.open_output_stream(f"{s3_bucket.name}/a folder/ü=1.txt") as stream:
        stream.write(b"content")
    assert s3_bucket.keys() == ["a folder/ü=1.txt"]
    assert s3_bucket.read("a folder/ü=1.txt") == b"content"
    assert s3.bucket().keys() == []


def test_the_proxy_answers_503_only_to_the_requests_that_it_refuses(s3_bucket: Bucket, s3_proxy: Proxy) -> None:
    with s3_bucket.files.open_output_stream(f"{s3_bucket.name}/one") as stream:
        stream.write(b"1")
    through = Bucket(s3_bucket.name, s3_proxy.endpoint)
    s3_proxy.refuses = lambda method, path: path.endswith("/one")
    refused = httpx.get(f"{s3_proxy.endpoint}/{s3_bucket.name}/one", trust_env=False)
    assert (refused.status_code, "SlowDown" in refused.text) == (503, True)
    s3_proxy.refuses = lambda method, path: path.endswith("/two")
    assert through.read("one") == b"1"
    assert s3_proxy.requests[-1] == ("GET", f"/{s3_bucket.name}/one")
