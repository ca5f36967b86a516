"""Doctor checks each target to which the settings publish, and leaves nothing there."""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from topo_pipeline.doctor import targets
from topo_pipeline_tests.doctor.conftest import Examine

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import S3, Bucket, Proxy

SCHEMA = "topo_published"


def test_without_targets_nothing_is_reported(finds: Examine) -> None:
    assert not [check for check in finds() if check.startswith("publish")]


def test_a_bucket_that_works_is_reported_and_stays_empty(finds: Examine, s3_bucket: "Bucket") -> None:
    finding = finds(TOPO_PUBLISH_S3=f"{s3_bucket.url}/tables")["publish/s3"]
    assert (finding.level, finding.do) == ("ok", "")
    assert f"{s3_bucket.url}/tables" in finding.found
    assert s3_bucket.keys() == []


@pytest.mark.parametrize("refused", ["GET", "PUT", "DELETE"])
def test_a_key_that_may_not_do_everything_in_the_folder_is_a_problem(
    finds: Examine, s3_bucket: "Bucket", s3_proxy: "Proxy", refused: str
) -> None:
    methods = {refused, "POST"} if refused == "DELETE" else {refused}  # several objects are deleted with POST
    s3_proxy.status, s3_proxy.refuses = 403, lambda method, path: method in methods
    finding = finds(TOPO_PUBLISH_S3=f"{s3_bucket.url}/tables")["publish/s3"]
    assert finding.level == "problem"
    assert "AccessDenied" in finding.found
    assert "topo-pipeline doctor" in finding.do


def test_a_wrong_key_is_a_problem_that_does_not_show_it(finds: Examine, s3_bucket: "Bucket") -> None:
    found = finds(TOPO_PUBLISH_S3=s3_bucket.url, AWS_SECRET_ACCESS_KEY="hunter2")  # noqa: S106 - no secret
    assert found["publish/s3"].level == "problem"
    assert "SignatureDoesNotMatch" in found["publish/s3"].found
    assert "hunter2" not in str(found)


def test_a_database_that_works_is_reported_and_stays_empty(finds: Examine, postgres_database: "Database") -> None:
    finding = finds(TOPO_PUBLISH_POSTGRES=postgres_database.dsn)["publish/postgres"]
    assert (finding.level, finding.do) == ("ok", "")
    assert SCHEMA in finding.found
    with postgres_database.connect() as session:
        assert session.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchall() == [(None,)]


@pytest.fixture
def visitor(postgres_database: "Database") -> Iterator[str]:
    """Create a role that may connect and nothing else, and return its connection string."""
    with postgres_database.connect() as session:
        session.execute("CREATE ROLE a_visitor LOGIN PASSWORD 'hunter2'")
    yield f"{postgres_database.dsn} user=a_visitor password=hunter2"
    with postgres_database.connect() as session:
        session.execute("DROP OWNED BY a_visitor; DROP ROLE a_visitor")


@pytest.mark.parametrize("setup", ["SELECT 1", f"CREATE SCHEMA {SCHEMA}; GRANT USAGE ON SCHEMA {SCHEMA} TO a_visitor"])
def test_a_user_who_may_not_create_is_a_problem(
    finds: Examine, postgres_database: "Database", visitor: str, setup: str
) -> None:
    with postgres_database.connect() as session:
        session.execute(setup.encode())
    found = finds(TOPO_PUBLISH_POSTGRES=visitor)
    assert found["publish/postgres"].level == "problem"
    assert "permission denied" in found["publish/postgres"].found
    assert "TOPO_PUBLISH_POSTGRES" in found["publish/postgres"].do
    assert "hunter2" not in str(found)


def test_an_owner_of_the_schema_needs_nothing_else(finds: Examine, postgres_database: "Database", visitor: str) -> None:
    with postgres_database.connect() as session:
        session.execute(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION a_visitor".encode())
    assert finds(TOPO_PUBLISH_POSTGRES=visitor)["publish/postgres"].level == "ok"


def test_a_database_that_cannot_be_reached_is_a_problem_that_shows_no_password(finds: Examine) -> None:
    found = finds(TOPO_PUBLISH_POSTGRES="host=127.0.0.1 port=9 password=hunter2")
    assert "Connection refused" in found["publish/postgres"].found
    assert "hunter2" not in str(found)


def variables_of(catalog: str, properties: dict[str, str]) -> dict[str, str]:
    """Return the variables that describe a catalog. PyIceberg keeps the first it reads, so each test has its own."""
    prefix = f"PYICEBERG_CATALOG__{catalog.upper()}__"
    return {f"{prefix}{name.upper().replace('.', '__').replace('-', '_')}": it for name, it in properties.items()}


def test_a_catalog_that_answers_is_reported(finds: Examine, s3: "S3") -> None:
    finding = finds(TOPO_PUBLISH_ICEBERG="house.topo", **variables_of("house", s3.catalog()))["publish/iceberg"]
    assert (finding.level, finding.do) == ("ok", "")
    assert "house" in finding.found


@pytest.mark.parametrize(
    ("catalog", "wrong", "says"),
    [
        ("locked", {"credential": "visitor:hunter2"}, "Invalid client credentials"),
        ("lost", {"credential": "visitor:hunter2", "oauth2-server-uri": "http://127.0.0.1:9"}, "refused"),
    ],
)
def test_a_catalog_that_cannot_be_used_is_a_problem_that_shows_no_secret(
    finds: Examine, s3: "S3", catalog: str, wrong: dict[str, str], says: str
) -> None:
    found = finds(TOPO_PUBLISH_ICEBERG=f"{catalog}.topo", **variables_of(catalog, s3.catalog() | wrong))
    assert found["publish/iceberg"].level == "problem"
    assert says in found["publish/iceberg"].found
    assert "TOPO_PUBLISH_ICEBERG" in found["publish/iceberg"].do
    assert "hunter2" not in str(found)


def test_a_target_that_never_answers_is_a_problem(finds: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        finding = finds(TOPO_PUBLISH_ICEBERG="mute.topo", **variables_of("mute", {"uri": address}))["publish/iceberg"]
    assert finding.level == "problem"
    assert "no answer for 0.1 seconds" in finding.found
