"""Load DuckDB's extensions from their own Python packages: INSTALL would need network access."""

import importlib.resources
from contextlib import suppress

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import WarehouseError


def new_instance() -> DuckDBPyConnection:
    """Return a new in-memory DuckDB instance that loads extensions without checking their signatures.

    The check takes 0.15 to 0.4 s of CPU time for each. It protects nothing here: only files of installed packages are
    loaded, and who can change those can also change DuckDB itself, which is not signed.
    """
    return duckdb.connect(config={"allow_unsigned_extensions": True})


def load(connection: DuckDBPyConnection, name: str) -> None:
    """Load the extension `name` into the connection's DuckDB instance, unless it is loaded there.

    Args:
        connection: A connection to the instance. All its connections can use the extension.
        name: The extension's name in DuckDB, which is also that of its package: `duckdb_extension_NAME`.

    Raises:
        WarehouseError: the package is not installed, or only for another version of DuckDB.
    """
    with suppress(ModuleNotFoundError):
        package = importlib.resources.files(f"duckdb_extension_{name}")
        file = package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if file.is_file():
            connection.load_extension(str(file))
            return
    wanted = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
    raise WarehouseError(f"DuckDB's extension {name} is not installed: pip install {wanted}")
