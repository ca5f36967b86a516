"""deploy/: Dagster on Postgres, with the code server, the daemon and the webserver as processes of their own."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml

from topo_pipeline.orchestration.instance import opened
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.defs.conftest import ACTIVITIES
from topo_pipeline_tests.orchestration.test_dev import LOG_TAIL, loaded, until
from topo_pipeline_tests.orchestration.test_orphaned_runs import prepared
from topo_pipeline_tests.services.processes import free_ports
from topo_pipeline_tests.test_definitions import BIN
from topo_pipeline_tests.test_end_to_end import (
    DAY,
    Topo,
    backfill,
    backfilled,
    days_of,
    ended,
    expected,
    found,
    launched_by,
    make_due,
    store_schedule_state,
)
from topo_pipeline_tests.warehouse.builders import ask

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database

DEPLOY = CHECKOUT / "deploy"
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
[SERVER] = (entry["grpc_server"] for entry in yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"])
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def home(tmp_path: Path, postgres_database: "Database", monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the deployment's dagster.yaml, whose database is empty."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_database.address)
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", folder)
    return folder


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return all that a process gets: where programs are, Dagster's home and database, and the settings."""
    names = {"PATH", "PYTHONPATH", "DAGSTER_POSTGRES_URL"} & os.environ.keys()
    return {**{name: os.environ[name] for name in names}, "DAGSTER_HOME": str(home), **settings}


def settings_of(address: str, folder: Path) -> dict[str, str]:
    return {
        "TOPO_API_KEY": os.environ["TOPO_API_KEY"],
        "TOPO_API_URL": f"{address}/v1",
        "TOPO_WAREHOUSE": str(folder / "topo.duckdb"),
        "TOPO_REQUESTS_PER_SECOND": "1000",
    }


def test_a_run_in_another_process_reads_and_lands_days_with_nothing_but_environment_variables(
    home: Path, tmp_path: Path
) -> None:
    topo = Topo()
    days = [topo.day(4), topo.day(3)]
    prepared(home)
    with serve(topo) as address:
        result = subprocess.run(  # noqa: S603
            [BIN / "dagster", "asset", "materialize", "--module-name", "topo_pipeline.definitions",
             "--select", "topo/activities", "--partition-range", "...".join(map(str, days))],
            cwd=tmp_path, env=environment(home, TOPO_TIMEZONE=topo.timezone, **settings_of(address, tmp_path)),
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert landed(Warehouse(str(tmp_path / "topo.duckdb"))) == set(days)
    with opened(home) as instance:
        assert instance.get_materialized_partitions(ACTIVITIES) == {str(day) for day in days}
        pools = instance.event_log_storage.get_pool_limits()
    assert {(pool.name, pool.limit, pool.from_default) for pool in pools} == {
        ("topo_api", 1, False),
        ("warehouse", 1, False),
    }
    assert list(home.rglob("*.db")) == []  # nothing is in SQLite


def landed(warehouse: Warehouse) -> set[date]:
    return {day for (day,) in ask(warehouse, "SELECT DISTINCT day FROM topo.loads")}


def built(warehouse: Warehouse) -> set[str]:
    return {
        table for (table,) in ask(warehouse, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'engagement'")
    }


def test_the_instance_differs_from_that_of_one_machine_only_where_its_file_says_so() -> None:
    template = CHECKOUT / "topo_pipeline" / "templates" / "dagster.yaml"
    ours, usual = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in (DEPLOY / "dagster.yaml", template))
    del ours["storage"], ours["run_queue"], usual["concurrency"]["pools"]["default_limit"]
    assert ours == usual


def test_the_files_agree_with_each_other_and_with_the_checkout() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    sources = [name for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()]
    assert sources and all((CHECKOUT / name).exists() for name in sources)
    code = SERVICES[SERVER["host"]]["command"]
    assert code[code.index("--port") + 1] == str(SERVER["port"])
    assert code[code.index("--location-name") + 1] == SERVER["location_name"]
    for service in ("webserver", "daemon"):
        assert "/opt/topo_pipeline/workspace.yaml" in SERVICES[service]["command"]
        assert "env_file" not in SERVICES[service]  # only the code server has the key
    assert "workspace.yaml workspace.yaml" in dockerfile and "WORKDIR /opt/topo_pipeline" in dockerfile
    assert SERVICES["code"]["environment"]["DAGSTER_HOME"] == "/dagster"
    extras = re.findall(r"--extra (\w+)", dockerfile)
    assert {"lake", "postgres"} <= set(extras)


class PausedTopo(Topo):
    """The sandbox, which answers requests for `bad_day` only while `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.answers = threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self._requests_the_bad_day(scope) and not self.answers.is_set():
            self.waiting.set()
            await asyncio.get_running_loop().run_in_executor(None, self.answers.wait, PATIENCE)
        await super().__call__(scope, receive, send)

    def pause(self) -> None:
        self.waiting.clear()
        self.answers.clear()


@dataclass
class Deployment:
    """The services of compose.yaml as processes on loopback, each in a session of its own."""

    folder: Path
    home: Path
    settings: dict[str, str]  # only the code server has them
    ports: dict[str, int] = field(default_factory=lambda: dict(zip(("3000", "4000"), free_ports(2), strict=True)))
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def graphql(self) -> str:
        return f"http://127.0.0.1:{self.ports['3000']}/graphql"

    def start(self, service: str) -> "subprocess.Popen[bytes]":
        """Start a service with its command in compose.yaml."""
        workspace = self.folder / "workspace.yaml"
        server = {**SERVER, "host": "127.0.0.1", "port": self.ports["4000"]}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        here = {"0.0.0.0": "127.0.0.1", "/opt/topo_pipeline/workspace.yaml": workspace, **self.ports}  # noqa: S104
        program, *arguments = [str(here.get(word, word)) for word in SERVICES[service]["command"]]
        with self.log_of(service).open("ab") as log:
            self.processes[service] = subprocess.Popen(  # noqa: S603
                # It ends with the tests, even if they are killed.
                ["setpriv", "--pdeathsig=KILL", BIN / program, *arguments], cwd=self.folder,  # noqa: S607
                env=environment(self.home, **self.settings if service == "code" else {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.processes[service]

    def start_code(self) -> None:
        """Start the code server and wait until it accepts connections, and the webserver has found it."""
        process = self.start("code")

        def accepts() -> None:
            if process.poll() is not None:
                pytest.fail("the code server ended")
            try:
                socket.create_connection(("127.0.0.1", self.ports["4000"]), timeout=1).close()
            except OSError as error:
                raise AssertionError("the code server does not accept connections") from error

        until(accepts)
        if "webserver" in self.processes:
            until(lambda: loaded(self.graphql))

    def log_of(self, service: str) -> Path:
        return self.folder / f"{service}.log"

    def stop(self, service: str) -> int:
        """Stop a service as `docker stop` does, and return its exit code."""
        self.processes[service].terminate()
        return self.processes[service].wait(PATIENCE)

    def kill(self, service: str) -> None:
        """Kill a service with all its processes, as when its container is killed."""
        with suppress(ProcessLookupError):
            os.killpg(self.processes[service].pid, signal.SIGKILL)
        self.processes[service].wait(PATIENCE)


@contextmanager
def deployed(folder: Path, home: Path, **settings: str) -> Iterator[Deployment]:
    """Prepare the home and start the code server and the webserver. In the end, kill what runs."""
    deployment = Deployment(folder, home, settings)
    try:
        assert deployment.start("prepare").wait(PATIENCE) == 0
        deployment.start_code()
        deployment.start("webserver")
        until(lambda: loaded(deployment.graphql))
        yield deployment
    except BaseException as error:
        for service in deployment.processes:
            error.add_note(f"{service}:\n{deployment.log_of(service).read_text(errors='replace')[-LOG_TAIL:]}")
        raise
    finally:
        for service in deployment.processes:
            deployment.kill(service)


def run_of(instance: dg.DagsterInstance, backfill_id: str) -> str:
    [run] = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
    return run.run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def leave_a_run_of_another_host(instance: dg.DagsterInstance) -> str:
    @dg.job
    def elsewhere() -> None:
        """No step."""

    run_id = instance.create_run_for_job(elsewhere).run_id
    instance.add_run_tags(run_id, {".dagster/topo_pipeline_owner": f"another-host:1:{run_id}"})
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "elsewhere"), run_id)
    return run_id


@pytest.mark.full  # smaller, one run without services: the first test
def test_days_land_while_the_code_server_is_stopped_and_killed_and_the_daemon_is_killed(
    home: Path, tmp_path: Path
) -> None:
    topo, warehouse = PausedTopo(), Warehouse(str(tmp_path / "topo.duckdb"))
    topo.answers.set()
    with (
        serve(topo) as address,
        deployed(
            tmp_path,
            home,
            **settings_of(address, tmp_path),
            TOPO_TIMEZONE=topo.timezone,
            TOPO_LOOKBACK_DAYS="1",
            TOPO_AUTOMATION="on",
        ) as deployment,
        opened(home) as instance,
    ):
        try:
            _interrupt_everything(topo, deployment, instance)
        finally:
            topo.answers.set()

        def tables_follow() -> None:
            assert "sequence_activity" in built(warehouse)
            assert found(warehouse, topo.today) == expected(topo, without={topo.day(9)})

        until(tables_follow)
    assert landed(warehouse) >= {topo.day(ago) for ago in range(1, 9)}


def _interrupt_everything(topo: PausedTopo, deployment: Deployment, instance: dg.DagsterInstance) -> None:
    graphql, elsewhere = deployment.graphql, leave_a_run_of_another_host(instance)

    # The daemon catches up on the missed night.
    store_schedule_state(instance, "nightly_refresh_schedule", "15 1 * * *", topo.midnight(1) + DAY / 2)
    deployment.start("daemon")
    _, night = until(lambda: launched_by(graphql, "nightly_refresh_schedule"))
    assert (night["status"], days_of(night)) == ("SUCCESS", (str(topo.day(2)), str(topo.day(1))))

    # An update: the daemon stops, and the code server waits for its run.
    topo.pause()
    first = backfill(graphql, [topo.day(ago) for ago in (8, 7, 6, 5)])
    assert topo.waiting.wait(PATIENCE)
    assert deployment.stop("daemon") == 0
    deployment.processes["code"].terminate()
    assert status_of(instance, run_of(instance, first)) is STARTED
    topo.answers.set()
    assert deployment.processes["code"].wait(PATIENCE) == 0
    assert status_of(instance, run_of(instance, first)) is dg.DagsterRunStatus.SUCCESS
    deployment.start_code()
    deployment.start("daemon")
    until(lambda: backfilled(graphql, first))

    # The code server is killed with its run. The next one fails that run, and no other.
    topo.pause()
    second = backfill(graphql, [topo.day(5), topo.day(4)])
    assert topo.waiting.wait(PATIENCE)
    deployment.kill("code")
    deployment.start_code()
    topo.answers.set()

    def is_failed() -> None:
        make_due(instance, "killed_runs_sensor")
        assert status_of(instance, run_of(instance, second)) is FAILURE

    until(is_failed)
    assert status_of(instance, elsewhere) is STARTED
    assert instance.event_log_storage.get_concurrency_info("topo_api").active_slot_count == 0

    # The daemon is killed. What was queued in between is run by the next one.
    deployment.kill("daemon")
    third = backfill(graphql, [topo.day(5), topo.day(4), topo.day(3)])
    deployment.start("daemon")
    until(lambda: backfilled(graphql, third))
    assert ended(graphql, run_of(instance, third))["status"] == "SUCCESS"
