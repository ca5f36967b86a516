"""What every test relies on. The environment is set before anything of the pipeline reads it."""

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage

from topo_pipeline.settings import get_settings

API_KEY = "topo_test_3f9c2e7a41b8"

CHECKOUT = Path(__file__).parents[1]

# A shell starts what runs in the background with SIGINT ignored, and so would every process that a test interrupts be.
signal.signal(signal.SIGINT, signal.default_int_handler)

_home = tempfile.mkdtemp(prefix="topo_pipeline_tests_")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("TOPO_", "DAGSTER_"))]:
    del os.environ[name]
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
with contextlib.chdir(_home):  # there is no .env: the developer's own settings have no effect on the tests
    get_settings()

# Seconds after which a test gives up waiting for an event. Nothing takes that long, even on a slow and busy machine:
# it ends a test that waits for an event that never comes.
PATIENCE = 900.0

# These files take longest, mostly in other processes. They begin first, so that no worker runs one alone at the end.
LONGEST = (
    *("test_dev", "test_killed_runs", "test_ui_backfills"),
    *("test_backfill", "test_demo", "test_many_backfills"),
)

# Coverage makes code half as slow again. These run the whole pipeline, whose parts have tests of their own, and neither
# they nor what is set up for them is traced; nor is any process that a test starts.
UNTRACED = (
    *("crashes/", "engagement/", "exports/"),
    *("topo_api/test_contract", "topo_api/test_quirks", "topo_api/test_repair.py"),
    *("defs/test_channels", "defs/test_faults", "defs/test_guards", "defs/test_publish", "defs/test_ranged_runs"),
    *("defs/test_reexecution", "defs/test_schedules", "defs/test_table_settings", "defs/test_table_events"),
    *("report/test_page", "report/test_queries"),
    *("sandbox/test_activities_api", "sandbox/test_openapi", "sandbox/test_other_endpoints", "sandbox/test_timelines"),
    *("sandbox/test_world", "warehouse/test_erasure", "warehouse/test_extraction"),
    *("warehouse/test_landing", "warehouse/test_old_warehouses", "warehouse/test_reload", "warehouse/test_waiting"),
    *("test_analyses", "test_definitions", "test_end_to_end"),
    *("cli/test_backfill", "cli/test_demo", "cli/test_unproved"),
    *("defs/test_completeness", "defs/test_sensors", "ingest/test_days_that_meet", "ingest/test_prefetch"),
    *(
        "ingest/test_unusual_apis",
        "maintenance/test_backups",
        "maintenance/test_compaction",
        "maintenance/test_forget",
        "orchestration/test_ui_backfills",
    ),
    *("orchestration/test_dev", "orchestration/test_killed_runs", "orchestration/test_orphaned_runs"),
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many a test waits for processes that it has started."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)  # after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not item.path.relative_to(Path(__file__).parent).as_posix().startswith(UNTRACED):
        return (yield)
    paused = []  # pytest-cov has two in each worker: one stopped alone leaves the other tracing
    while tracing := Coverage.current():
        tracing.stop()
        paused.append(tracing)
    try:
        return (yield)
    finally:
        for tracing in reversed(paused):
            tracing.start()


@pytest.fixture(scope="session", autouse=True)
def _without_the_developers_settings() -> Iterator[None]:
    """Tests run in a folder without a .env; settings that are read again there are those above."""
    with contextlib.chdir(_home):
        yield


@pytest.fixture(scope="session", autouse=True)
def _however_slow_the_machine_is() -> Iterator[None]:
    """No answer of the sandbox counts as slow, whatever else the machine does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("topo_pipeline.topo_api.contract._SLOW", PATIENCE)
        patch.setattr("topo_pipeline.doctor.api._SLOW", PATIENCE)
        yield


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
