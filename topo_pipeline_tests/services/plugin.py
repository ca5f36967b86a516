"""Fixtures for tests that need a real Postgres or S3 server. Each server starts once per test process, if needed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # every test process loads this module, and few need a server
    from topo_pipeline_tests.services.postgres import Database, Postgres
    from topo_pipeline_tests.services.s3 import S3, Bucket, Proxy


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """Return the Postgres server. Tests may stop, start and restart it."""
    from topo_pipeline_tests.services.postgres import running  # noqa: PLC0415

    with running() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: "Postgres") -> "Iterator[Database]":
    """Return a new database."""
    with postgres.database() as database:
        yield database


@pytest.fixture(scope="session")
def s3() -> "Iterator[S3]":
    """Return the S3 server."""
    from topo_pipeline_tests.services.s3 import running  # noqa: PLC0415

    with running() as server:
        yield server


@pytest.fixture
def s3_bucket(s3: "S3", monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """Return a new bucket. The environment has the credentials."""
    bucket = s3.bucket()
    _use(bucket, monkeypatch)
    return bucket


@pytest.fixture
def s3_proxy(s3_bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> "Iterator[Proxy]":
    """Return a proxy in front of `s3_bucket`. The environment leads through it; the bucket itself does not."""
    from topo_pipeline_tests.services.s3 import proxied  # noqa: PLC0415

    with proxied(s3_bucket) as (bucket, proxy):
        _use(bucket, monkeypatch)
        yield proxy


def _use(bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
