"""What every test stands on. The environment is set before anything of the pipeline reads it."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

API_KEY = "topo_test_3f9c2e7a41b8"

CHECKOUT = Path(__file__).parents[1]

_home = tempfile.mkdtemp(prefix="topo_pipeline_tests_")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": "http://127.0.0.1:9/v1",  # nothing listens there: a test that forgets its API fails at once
        "TOPO_WAREHOUSE": str(Path(_home, "unused.duckdb")),
        "TOPO_START_DATE": "2026-01-01",
        "TOPO_TIMEZONE": "UTC",
        "TOPO_REPORT_DIR": str(Path(_home, "report")),
        "DAGSTER_HOME": _home,
    }
)

# Coverage would trace every process that a test starts, for a third more of its time. Those are, that are told to be.
MEASURED = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COVERAGE_PROCESS_")}

# Seconds after which a test gives up waiting for an event. Nothing takes that long, even on a slow and busy machine:
# it ends a test that waits for an event that never comes.
PATIENCE = 900.0

# What takes half a minute and more, much of it in other processes, is begun first: else one worker would wait for it
# alone at the end.
LONGEST = (
    *("test_end_to_end", "test_dev", "test_backfills_of_the_ui", "test_killed_runs", "test_cli", "test_many_backfills"),
    *("test_cli_forget", "test_in_a_browser", "test_faults", "test_incremental", "test_ranged_runs"),
)


# Coverage takes half as long again. These run the whole for their own ends, and its parts have tests that are traced.
UNTRACED = {
    *(f"defs/test_{name}.py" for name in ("faults", "ranged_runs", "schedules", "sensors", "table_events")),
    "topo_api/test_repair.py",
}


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many a test waits for processes that it has started."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)  # after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix() in UNTRACED:
            item.add_marker("no_cover")
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture
def api_key() -> str:
    """The key that the tests' APIs accept; it may turn up nowhere."""
    return API_KEY


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in a folder of another name, with nothing but what the repository holds."""
    folder = tmp_path_factory.mktemp("x") / "a checkout of any name"
    folder.mkdir()
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(CHECKOUT / name, folder)
    shutil.copytree(CHECKOUT / "topo_pipeline", folder / "topo_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
