"""Set up the environment of all tests, before the pipeline reads it."""

import atexit
import contextlib
import fcntl
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from duckdb import DuckDBPyConnection
from hypothesis import settings

from topo_pipeline.common import commands
from topo_pipeline.settings import get_settings
from topo_pipeline.warehouse import instances, sql
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.files import put_new, temporary_folder
from topo_pipeline.warehouse.places.local import File

pytest_plugins = ["topo_pipeline_tests.services.plugin"]

API_KEY = "topo_test_3f9c2e7a41b8"

CHECKOUT = Path(__file__).parents[1]

# A shell starts background jobs with SIGINT ignored, and nohup with SIGHUP. The processes that tests stop inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_home = tempfile.mkdtemp(prefix="topo_pipeline_tests_")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("TOPO_", "DAGSTER_"))]:
    del os.environ[name]
os.environ.update(
    {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": "http://127.0.0.1:9/v1",  # nothing listens there, so a test that sets no API fails at once
        "TOPO_WAREHOUSE": str(Path(_home, "unused.duckdb")),
        "TOPO_START_DATE": "2026-01-01",
        "TOPO_TIMEZONE": "UTC",
        "TOPO_REPORT_DIR": str(Path(_home, "report")),
        "DAGSTER_HOME": _home,
    }
)
with contextlib.chdir(_home):  # this folder has no .env, so the developer's settings don't affect the tests
    get_settings()

# Examples are the same in each run, however slow the machine is, and none are stored.
settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")

# The seconds that a test waits for an event before it fails. Nothing takes that long, even on a slow and busy machine.
PATIENCE = 900.0

# These files take longest, some in other processes. They start first, so that no worker runs one alone at the end.
LONGEST = (
    *("test_browser", "test_kill_points", "test_compaction", "test_ui_backfills", "test_dev", "test_shared_lake"),
    *("test_lake_backups", "test_table_events", "test_ranged_runs", "test_forget", "test_iceberg"),
    *("test_decision_worlds", "test_backups", "test_deploy", "test_bi", "test_checks", "test_incremental"),
    *("test_message", "test_killed_runs", "test_full_disk", "test_inventory", "test_page", "test_calibration"),
)

# Coverage makes code 50% slower. These tests run the whole pipeline, whose parts have their own tests. They and their
# fixtures are not traced, nor is any process that a test starts.
UNTRACED = (
    *("crashes/", "engagement/", "exports/test_parquet", "exports/test_tables", "exports/test_types"),
    *("topo_api/test_contract", "topo_api/test_quirks", "topo_api/test_repair.py"),
    *(
        "defs/test_channels",
        "defs/test_faults",
        "defs/test_full_run",
        "defs/test_guards",
        "defs/test_publish",
        "defs/test_ranged_runs",
    ),
    *("defs/test_reexecution", "defs/test_schedules", "defs/test_table_settings", "defs/test_table_events"),
    *("report/test_page", "report/test_queries"),
    *("defs/test_partitions", "defs/test_records_and_ledger", "warehouse/test_rejects", "warehouse/test_shrinking"),
    *("sandbox/test_activities_api", "sandbox/test_openapi", "sandbox/test_other_endpoints", "sandbox/test_timelines"),
    *("sandbox/test_world", "warehouse/test_erasure", "warehouse/test_extraction"),
    *("warehouse/test_landing", "warehouse/test_old_warehouses", "warehouse/test_reload", "warehouse/test_waiting"),
    *("test_analyses", "test_definitions", "test_end_to_end", "tools/test_bi", "tools/test_worked_examples"),
    *("cli/test_backfill", "cli/test_demo", "cli/test_documented_commands", "cli/test_unproved"),
    *("defs/test_completeness", "defs/test_sensors", "ingest/test_adjacent_days", "ingest/test_prefetch"),
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
    """Return one more than the number of cores, as many tests wait for processes that they have started."""
    return (os.cpu_count() or 1) + 1


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    paused = []  # pytest-cov has two in each worker, and both must be stopped
    while tracing := Coverage.current():
        tracing.stop()
        paused.append(tracing)
    try:
        yield
    finally:
        for tracing in reversed(paused):
            tracing.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Trace the imports of one worker. Search for garbage less often, and never among what lives until the end."""
    is_traced = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    gc.disable()
    try:
        with contextlib.nullcontext() if is_traced else _untraced():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(10_000)  # with Python's 700 objects, the searches take up to 5% of the CPU time


@pytest.hookimpl(trylast=True)  # after the random order is set
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not item.path.relative_to(Path(__file__).parent).as_posix().startswith(UNTRACED):
        return (yield)
    with _untraced():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _without_dotenv() -> Iterator[None]:
    """Run the tests in a folder without a .env, so that settings come from the environment above."""
    with contextlib.chdir(_home):
        yield


@pytest.fixture(autouse=True)
def _without_organization() -> Iterator[None]:
    """Forget the organization that a command in the test's process has chosen."""
    yield
    commands.organization.set(None)
    commands.sources.set(None)


@pytest.fixture(scope="session", autouse=True)
def _without_slowness_checks() -> Iterator[None]:
    """Never count a response of the sandbox as slow, even on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("topo_pipeline.topo_api.contract._SLOW", PATIENCE)
        patch.setattr("topo_pipeline.doctor.api._SLOW", PATIENCE)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Use DuckDB on one thread: several test processes with more threads than cores mostly wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "SESSION", f"{sql.SESSION}; SET threads = 1")
        yield


def made_once(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a copy of the warehouse that `make` writes, in the first of the test processes that needs it."""
    own = folders.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"{name}.duckdb"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            new = folders.mktemp(name) / shared.name
            make(new)
            new.rename(shared)
    return Path(shutil.copy(shared, folders.mktemp(name) / "topo.duckdb"))


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty warehouse of the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "topo.duckdb"
    Warehouse(str(path)).prepare()
    return path


@pytest.fixture(scope="module", autouse=True)
def _new_files(empty_file: Path) -> Iterator[None]:
    """Create each new file as a copy, which takes 4 ms instead of 70. The tests of `warehouse` create their own."""
    create = File._create  # noqa: SLF001 - there is no setting for this

    def copy(place: File, connection: DuckDBPyConnection) -> None:
        if type(place) is File:
            with contextlib.suppress(OSError), temporary_folder(place.path, "creating") as aside:
                put_new(Path(shutil.copy(empty_file, aside)), place.path.resolve())
        else:  # the catalog of a lake
            create(place, connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(File, "_create", copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_dagster() -> Iterator[None]:
    """Make Dagster's databases and definitions faster in this process, if a collected test imports Dagster."""
    with pytest.MonkeyPatch.context() as patch:
        if "dagster" in sys.modules:
            from topo_pipeline_tests.dagster_storage import patch_storage  # noqa: PLC0415 - imports Dagster
            from topo_pipeline_tests.defs.only import reuse_assets  # noqa: PLC0415

            patch_storage(patch)
            reuse_assets(patch)
        yield


@pytest.fixture
def api_key() -> str:
    """Return the key that the tests' APIs accept. It must not appear in any output."""
    return API_KEY


@pytest.fixture(scope="session")
def checkout_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout in a folder with another name."""
    folder = tmp_path_factory.mktemp("x") / "a checkout of any name"
    folder.mkdir()
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(CHECKOUT / name, folder)
    shutil.copytree(CHECKOUT / "topo_pipeline", folder / "topo_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
