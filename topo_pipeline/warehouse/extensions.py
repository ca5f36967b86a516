"""Load DuckDB's extensions from their own Python packages: INSTALL would need network access."""

import importlib.resources

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import WarehouseError


def load(connection: DuckDBPyConnection, name: str) -> None:
    """Load the extension `name` into the connection's DuckDB instance, unless it is loaded there.

    Args:
        connection: A connection to the instance. All its connections can use the extension.
        name: The extension's name in DuckDB, which is also that of its package: `duckdb_extension_NAME`.

    Raises:
        WarehouseError: the package is not installed, or not for this version of DuckDB.
    """
    try:
        package = importlib.resources.files(f"duckdb_extension_{name}")
    except ModuleNotFoundError:
        raise WarehouseError(f"DuckDB's extension {name} is missing: pip install 'topo-pipeline[lake]'") from None
    file = package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.is_file():
        raise WarehouseError(
            f"DuckDB's extension {name} is not installed for DuckDB {duckdb.__version__}:"
            f" pip install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        )
    connection.load_extension(str(file))
