"""`topo-pipeline dev` and its services, and ranges of days launched by Dagster's command line."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import duckdb
import httpx
import psutil
import pytest
import stamina

from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.defs.resources import utc_now
from topo_pipeline.engagement.tables import tables
from topo_pipeline.orchestration.instance import opened
from topo_pipeline.orchestration.services import Occupied, reserved
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.orchestration.test_killed_runs import PausedSandbox
from topo_pipeline_tests.pages import shell_lines_of
from topo_pipeline_tests.services.processes import free_ports
from topo_pipeline_tests.test_definitions import BIN

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
RANGE = "2026-03-02...2026-03-04"
T = TypeVar("T")
LOG_TAIL = 6000  # characters


def until(holds: Callable[[], T]) -> T:
    """Call `holds` until it raises no error, and return its result."""
    faults = (httpx.HTTPError, AssertionError, WarehouseError)
    return stamina.retry(on=faults, attempts=None, timeout=PATIENCE, wait_initial=0.2, wait_max=0.5)(holds)()


@contextmanager
def dev_in(folder: Path, command: str = "topo-pipeline dev", **environment: str) -> Iterator[tuple[str, Path]]:
    """Run `topo-pipeline dev` or another command in `folder`; yield the UI's GraphQL address and the log.

    Afterwards, check that all its processes have ended. If the test failed, add the end of the log to the error.
    """
    port = free_ports(1)[0]
    log = folder / "log"
    with started(folder, port, command, **environment) as process:
        try:
            yield f"http://127.0.0.1:{port}/graphql", log
        except BaseException as error:
            error.add_note(f"The end of the services' log:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")
            raise
        finally:
            left = _end(process)
    assert left == []
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))  # the port is free again


@contextmanager
def started(
    folder: Path, port: int, command: str = "topo-pipeline dev", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command in its own session. It is stopped if the tests are killed."""
    program, *arguments = command.split()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOPO_", "DAGSTER_"))}
    with (folder / "log").open("wb") as output, subprocess.Popen(  # noqa: S603
        ["setpriv", "--pdeathsig=TERM", BIN / program, *arguments, "--port", str(port)],  # noqa: S607
        cwd=folder, env={**inherited, **environment}, stdout=output, stderr=output, start_new_session=True,
    ) as process:  # fmt: skip
        yield process


def _end(process: subprocess.Popen[bytes]) -> list[str]:
    """Stop the services with SIGTERM; kill and return the processes that don't end."""
    processes: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it has already ended
        processes = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    return still_running(processes)


def still_running(processes: list[psutil.Process]) -> list[str]:
    """Wait until these processes have ended; kill and return those that don't."""
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    for each in left:
        each.kill()
    return [str(each) for each in left]


def ask(graphql: str, query: str, **variables: object) -> dict[str, Any]:
    answer = httpx.post(graphql, json={"query": query, "variables": variables}, timeout=PATIENCE).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


def loaded(graphql: str) -> None:
    query = "{repositoriesOrError{... on RepositoryConnection{nodes{location{name} assetNodes{id}}}}}"
    locations = ask(graphql, query)["repositoriesOrError"]["nodes"]
    assert locations
    [location] = locations
    assert location["location"]["name"] == "topo_pipeline"
    assert len(location["assetNodes"]) == 2 + len(tables()) + 2  # what is read, and what is published


LAUNCH = """
mutation($selector: JobOrPipelineSelector!) {
  launchPipelineExecution(executionParams: {selector: $selector}) {
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""


LAUNCH_TAGGED = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { ... on LaunchRunSuccess { run { runId } } }
}
"""


def test_without_a_key_dev_serves_the_demo_executes_runs_and_stops_all_its_services(
    tmp_path: Path,
) -> None:
    """Dagster's services read `.env` from their folder, where it overrides the environment."""
    (tmp_path / ".env").write_text("TOPO_API_KEY=\nTOPO_WAREHOUSE=data/real.duckdb\nTOPO_TIMEZONE=Europe/Paris\n")
    with dev_in(tmp_path) as (graphql, log):
        until(lambda: loaded(graphql))
        listening = [each for each in psutil.net_connections("tcp") if each.laddr[1:] == (httpx.URL(graphql).port,)]
        assert {each.laddr[0] for each in listening} == {"127.0.0.1"}
        # docs/privacy.md warns of this. When Dagster refuses it, remove the warning and the advice to use a proxy.
        mutation = {"params": {"query": "mutation {setNuxSeen}"}, "headers": {"Host": "elsewhere.example"}}
        assert httpx.get(graphql, timeout=PATIENCE, **mutation).json() == {"data": {"setNuxSeen": True}}
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "topo_pipeline",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["topo", "sequence_templates"]}],
        }
        run = ask(graphql, LAUNCH, selector=selector)["launchPipelineExecution"]["run"]["runId"]

        def succeeded() -> None:
            answer = ask(graphql, "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}", id=run)
            assert answer["runOrError"]["status"] == "SUCCESS"

        until(succeeded)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.duckdb")] == ["data/demo/topo.duckdb"]
    assert (tmp_path / "data" / "demo" / "dagster" / "dagster.yaml").exists()
    assert not (tmp_path / ".dagster").exists()
    output = log.read_text()
    address = str(httpx.URL(graphql).copy_with(path=""))
    starting, *_, ready = [line for line in output.splitlines() if line.startswith(("TOPO_API_KEY", "Ready:"))]
    assert starting.startswith("TOPO_API_KEY is not set. Starting Dagster's UI for the demo")
    assert re.search(r"sandbox at http://127\.0\.0\.1:\d+/v1\.$", starting)
    assert ready == f"Ready: {address}  Press Ctrl-C to stop."
    assert "Warning" not in output
    # A process that is still exiting when its group is ended says so in Python's words, and a code server that gets a
    # last request in those of gRPC's thread, maybe cut off. Nothing else may.
    exiting = r"Exception ignored in: <module 'threading'[\s\S]*?KeyboardInterrupt"
    serving = r"Exception in thread \S+ \(_serve\):\nTraceback.*\n(?: .*\n)*"
    assert "Traceback" not in re.sub(f"{exiting}|{serving}", "", output)


@pytest.mark.full  # smaller: test_organizations.py loads such a file
def test_dagster_dev_serves_the_workspace_file_of_init(tmp_path: Path) -> None:
    assert answer(tmp_path, "init").returncode == 0
    [command] = [line for line in shell_lines_of("docs/scale.md") if line.startswith("dagster dev")]
    with dev_in(tmp_path, command, TOPO_API_KEY=os.environ["TOPO_API_KEY"]) as (graphql, _):
        until(lambda: loaded(graphql))


def services_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return Dagster's processes under this one once its UI and daemon are running; `dagster dev` comes first."""
    assert process.poll() is None
    processes = psutil.Process(process.pid).children(recursive=True)
    words = set()
    for each in processes:
        with suppress(psutil.Error):  # it has ended
            words |= set(each.cmdline())
    assert {"dagster_webserver", "dagster._daemon"} <= words
    return processes


KILLED = pytest.mark.parametrize("killed", ["the command", "dagster dev"])


@pytest.mark.full  # smaller, with less than Dagster: the next test
@KILLED
def test_sigkill_leaves_no_process_and_the_home_is_free(tmp_path: Path, killed: str) -> None:
    with started(tmp_path, free_ports(1)[0]) as process:
        processes = until(lambda: services_of(process))
        try:
            process.kill() if killed == "the command" else processes[0].kill()
            assert process.wait(PATIENCE) != 0
        finally:
            left = still_running(processes)
    assert left == []
    with reserved(tmp_path / "data" / "demo" / "dagster", free_ports(1)[0]):
        pass


DAGSTER = """
import subprocess, sys
def main():
    services = [subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) for _ in range(2)]
    print("started", flush=True)
    services[0].wait()
"""
SERVICES = """
import os, sys
from pathlib import Path
from topo_pipeline.orchestration.services import reserved, run
with reserved(Path(), int(sys.argv[1])) as lock:
    sys.exit(run(Path("workspace.yaml").absolute(), int(sys.argv[1]), lock, os.environ, on_ready=print))
"""


@KILLED
def test_sigkill_ends_all_that_dagster_started_and_the_home_is_free(tmp_path: Path, killed: str) -> None:
    """In place of Dagster, a module starts two services and does not end them itself."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "__init__.py").touch()
    (tmp_path / "dagster" / "_cli.py").write_text(DAGSTER)
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", SERVICES, str(free_ports(1)[0])], cwd=tmp_path, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, CHECKOUT)))},
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"started\n"
        processes = psutil.Process(process.pid).children(recursive=True)
        process.kill() if killed == "the command" else processes[0].kill()
        left = still_running(processes)
    assert len(processes) == 3
    assert left == []
    assert process.returncode != 0
    with reserved(tmp_path, free_ports(1)[0]):
        pass


@pytest.mark.full  # smaller, without a run: the tests above
def test_sigkill_ends_the_run_in_progress_and_records_its_failure(tmp_path: Path) -> None:
    api, port = PausedSandbox(), free_ports(1)[0]
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "topo_pipeline",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": ["topo", "activities"]}],
    }
    tags = [{"key": key, "value": value} for key, value in range_tags(date(2026, 3, 2), date(2026, 3, 4)).items()]
    with serve(api) as address, started(
        tmp_path, port, TOPO_API_URL=f"{address}/v1", TOPO_API_KEY=os.environ["TOPO_API_KEY"]
    ) as process:  # fmt: skip
        graphql = f"http://127.0.0.1:{port}/graphql"
        until(lambda: loaded(graphql))
        ask(graphql, LAUNCH_TAGGED, params={"selector": selector, "executionMetadata": {"tags": tags}})
        assert api.waiting.wait(PATIENCE)
        processes = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        left = still_running(processes)
        api.release.set()
    assert left == []
    with opened(tmp_path / ".dagster") as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_a_port_in_use_is_reported_with_its_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = answer(tmp_path, "dev", "--port", str(port), DAGSTER_HOME=str(tmp_path / "home"))
    assert_one_sentence(result, f"Port {port} is in use by ", f"(process {os.getpid()})", "--port")


def test_a_second_dev_with_the_same_home_is_refused_and_names_the_process(tmp_path: Path, home: Path) -> None:
    with reserved(home, free_ports(1)[0]):
        result = answer(tmp_path, "dev", "--port", str(free_ports(1)[0]), DAGSTER_HOME=str(home))
    assert_one_sentence(result, "already running", f"kill {os.getpid()} ")
    with reserved(home, free_ports(1)[0]):
        pass


def test_a_daemon_started_by_hand_with_the_same_home_is_named(tmp_path: Path, home: Path) -> None:
    daemon = tmp_path / "dagster-daemon"
    daemon.write_text("print('ready', flush=True)\ninput()\n")
    with subprocess.Popen(  # noqa: S603
        [sys.executable, daemon, "run"], env={**os.environ, "DAGSTER_HOME": str(home)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        with pytest.raises(Occupied, match=f"Stop it first: kill {process.pid}"), reserved(home, free_ports(1)[0]):
            pytest.fail("two daemons over one home")
        (tmp_path / "another").mkdir()
        with reserved(tmp_path / "another", free_ports(1)[0]):
            pass
        process.communicate(b"\n")


@pytest.mark.full  # smaller, with a range launched in the UI: test_ui_backfills
@pytest.mark.parametrize(
    "command",
    [
        "dg launch --assets * --partition-range {}",
        "dagster asset materialize --select * -m topo_pipeline.definitions --partition-range {}",
    ],
    ids=["dg launch", "dagster asset materialize"],
)
def test_dagsters_command_line_reads_a_range(tmp_path: Path, checkout_copy: Path, command: str) -> None:
    program, *arguments = command.format(RANGE).split()
    with serve(
        create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)
    ) as address:
        result = subprocess.run(  # noqa: S603
            [str(BIN / program), *arguments],
            cwd=checkout_copy,
            env={
                **os.environ,
                "TOPO_API_URL": f"{address}/v1",
                "TOPO_WAREHOUSE": str(tmp_path / "topo.duckdb"),
                "DAGSTER_HOME": str(tmp_path),
            },
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with duckdb.connect(tmp_path / "topo.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(DISTINCT day) FROM topo.topo.loads").fetchone() == (3,)
        [(rows,)] = connection.execute("SELECT count(*) FROM engagement.sequence_summary").fetchall()
    assert rows > 0
