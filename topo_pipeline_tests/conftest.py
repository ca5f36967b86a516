"""What every test stands on. The environment is set before anything of the pipeline reads it."""

import os
import tempfile
from pathlib import Path

import pytest

API_KEY = "topo_test_3f9c2e7a41b8"

_home = tempfile.mkdtemp(prefix="topo_pipeline_tests_")
os.environ.update(
    {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": "http://127.0.0.1:9/v1",  # nothing listens there: a test that forgets its API fails at once
        "TOPO_WAREHOUSE": str(Path(_home, "unused.duckdb")),
        "TOPO_START_DATE": "2026-01-01",
        "TOPO_TIMEZONE": "UTC",
        "DAGSTER_HOME": _home,
    }
)


@pytest.fixture
def api_key() -> str:
    """The key that the tests' APIs accept; it may turn up nowhere."""
    return API_KEY
