"""Loading DuckDB's extensions from their Python packages."""

from importlib.resources.abc import Traversable
from pathlib import Path

import duckdb
import pytest

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.extensions import load, new_instance

LOADED = "SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'httpfs'"


def test_an_extension_is_loaded_without_network_and_serves_all_connections_of_the_instance() -> None:
    with duckdb.connect(config={"extension_directory": "/nowhere"}) as instance:
        load(instance.cursor(), "httpfs")
        load(instance, "httpfs")
        assert instance.execute(LOADED).fetchall() == [(True,)]


def test_an_instance_of_ours_loads_extensions_without_their_signatures() -> None:
    with new_instance() as instance:
        [(unsigned,)] = instance.execute("SELECT current_setting('allow_unsigned_extensions')").fetchall()
        assert unsigned


def test_a_missing_extension_is_an_error_that_says_how_to_install_it() -> None:
    with (
        duckdb.connect() as connection,
        pytest.raises(WarehouseError, match="pip install duckdb-extension-unheard-of=="),
    ):
        load(connection, "unheard_of")


def test_an_extension_for_another_version_of_duckdb_is_an_error_that_names_the_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def package(name: str) -> Traversable:
        return tmp_path

    monkeypatch.setattr("importlib.resources.files", package)
    with duckdb.connect() as connection, pytest.raises(WarehouseError) as caught:
        load(connection, "postgres_scanner")
    assert f"pip install duckdb-extension-postgres-scanner=={duckdb.__version__}" in str(caught.value)
