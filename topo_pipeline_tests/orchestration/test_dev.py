"""The UI as `make dev` opens it, and a range of days launched by Dagster's own command line."""

import os
import random
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
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.orchestration.test_killed_runs import Held
from topo_pipeline_tests.test_definitions import BIN

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
RANGE = "2026-03-02...2026-03-04"
T = TypeVar("T")
LAST_WORDS = 6000  # characters


def _free_port() -> int:
    """A port that nobody listens on and that the system gives to nobody who asks for any: those begin higher up."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def until(holds: Callable[[], T]) -> T:
    """Ask again until it holds, and return what it then returns."""
    faults = (httpx.HTTPError, AssertionError, WarehouseError)
    return stamina.retry(on=faults, attempts=None, timeout=PATIENCE, wait_initial=0.2, wait_max=0.5)(holds)()


@contextmanager
def dev_in(folder: Path, **environment: str) -> Iterator[tuple[str, Path]]:
    """Dagster's UI and daemon as `topo-pipeline dev` starts them in `folder`: its GraphQL address, and the log.

    Every process of theirs has ended afterwards; what the services said stands under whatever failed meanwhile.
    """
    port = _free_port()
    log = folder / "log"
    with started(folder, port, **environment) as process:
        try:
            yield f"http://127.0.0.1:{port}/graphql", log
        except BaseException as error:
            error.add_note(f"The services said, at last:\n{log.read_text(errors='replace')[-LAST_WORDS:]}")
            raise
        finally:
            left = _end(process)
    assert left == []
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))  # nobody serves there any more


@contextmanager
def started(folder: Path, port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`topo-pipeline dev`, started in a session of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOPO_", "DAGSTER_"))}
    with (folder / "log").open("wb") as output, subprocess.Popen(  # noqa: S603
        [BIN / "topo-pipeline", "dev", "--port", str(port)],
        cwd=folder, env={**inherited, **environment}, stdout=output, stderr=output, start_new_session=True,
    ) as process:  # fmt: skip
        yield process


def _end(process: subprocess.Popen[bytes]) -> list[str]:
    """End the services as a signal does; who does not follow is killed, and returned."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it has ended by itself
        family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    return left_of(family)


def left_of(family: list[psutil.Process]) -> list[str]:
    """Wait until these processes have ended; those that don't are killed, and returned."""
    _, left = psutil.wait_procs(family, timeout=PATIENCE)
    for each in left:
        each.kill()
    return [str(each) for each in left]


def ask(graphql: str, query: str, **variables: object) -> dict[str, Any]:
    answer = httpx.post(graphql, json={"query": query, "variables": variables}, timeout=PATIENCE).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


def loaded(graphql: str) -> None:
    query = "{repositoriesOrError{... on RepositoryConnection{nodes{location{name} assetNodes{id}}}}}"
    [location] = ask(graphql, query)["repositoriesOrError"]["nodes"]
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


def test_without_a_key_dev_serves_the_demo_runs_what_is_launched_in_its_ui_and_ends_with_all_its_services(
    tmp_path: Path,
) -> None:
    """Dagster's own services read `.env` from their folder, and let it overrule the environment."""
    (tmp_path / ".env").write_text("TOPO_API_KEY=\nTOPO_WAREHOUSE=data/real.duckdb\nTOPO_TIMEZONE=Europe/Paris\n")
    with dev_in(tmp_path) as (graphql, log):
        until(lambda: loaded(graphql))
        listening = [each for each in psutil.net_connections("tcp") if each.laddr[1:] == (httpx.URL(graphql).port,)]
        assert {each.laddr[0] for each in listening} == {"127.0.0.1"}
        # docs/operations.md warns of it. A Dagster that refuses this needs no warning and no proxy against it.
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
    said = log.read_text()
    assert "TOPO_API_KEY is not set" in said
    assert "Warning" not in said
    assert "Traceback" not in said


def services_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of Dagster under this one, once its UI and its daemon are among them; `dagster dev` comes first."""
    assert process.poll() is None
    family = psutil.Process(process.pid).children(recursive=True)
    words = set()
    for each in family:
        with suppress(psutil.Error):  # it has ended
            words |= set(each.cmdline())
    assert {"dagster_webserver", "dagster._daemon"} <= words
    return family


@pytest.mark.parametrize("killed", ["the command", pytest.param("dagster dev", marks=pytest.mark.full)])
def test_a_kill_that_nothing_can_answer_leaves_no_process_and_the_home_free(tmp_path: Path, killed: str) -> None:
    with started(tmp_path, _free_port()) as process:
        family = until(lambda: services_of(process))
        try:
            process.kill() if killed == "the command" else family[0].kill()
            assert process.wait(PATIENCE) != 0
        finally:
            left = left_of(family)
    assert left == []
    with reserved(tmp_path / "data" / "demo" / "dagster", _free_port()):
        pass


@pytest.mark.full  # without a run under way: the test above
def test_a_kill_of_the_command_ends_the_run_under_way_too_and_records_that(tmp_path: Path) -> None:
    api, port = Held(), _free_port()
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
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        left = left_of(family)
        api.go_on.set()
    assert left == []
    with opened(tmp_path / ".dagster") as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_a_port_that_is_in_use_is_named_with_its_process_and_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = answer(tmp_path, "dev", "--port", str(port), DAGSTER_HOME=str(tmp_path / "home"))
    assert_one_sentence(result, f"Port {port} is in use by process {os.getpid()}", "--port")


def test_a_home_has_one_set_of_services_and_the_next_command_says_which_process_to_stop(
    tmp_path: Path, home: Path
) -> None:
    with reserved(home, _free_port()):
        result = answer(tmp_path, "dev", "--port", str(_free_port()), DAGSTER_HOME=str(home))
    assert_one_sentence(result, "already running", f"kill {os.getpid()} ")
    with reserved(home, _free_port()):
        pass


def test_a_daemon_that_was_started_otherwise_is_named_where_it_has_the_same_home(tmp_path: Path, home: Path) -> None:
    daemon = tmp_path / "dagster-daemon"
    daemon.write_text("print('ready', flush=True)\ninput()\n")
    with subprocess.Popen(  # noqa: S603
        [sys.executable, daemon, "run"], env={**os.environ, "DAGSTER_HOME": str(home)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        with pytest.raises(Occupied, match=f"Stop it first: kill {process.pid}"), reserved(home, _free_port()):
            pytest.fail("two daemons over one home")
        (tmp_path / "another").mkdir()
        with reserved(tmp_path / "another", _free_port()):
            pass
        process.communicate(b"\n")


@pytest.mark.full  # a range that the UI launches: test_backfills_of_the_ui
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
