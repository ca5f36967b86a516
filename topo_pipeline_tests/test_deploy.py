"""deploy/: Dagster on Postgres, with the code server, the daemon and the webserver as processes of their own."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorType, TickStatus

from topo_pipeline.orchestration.instance import opened
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.defs.conftest import ACTIVITIES
from topo_pipeline_tests.orchestration.test_dev import LOG_TAIL, until
from topo_pipeline_tests.orchestration.test_dev import ask as ask_dagster
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

DEPLOY, PAGE = CHECKOUT / "deploy", CHECKOUT / "docs" / "deploy.md"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
[SERVER] = (entry["grpc_server"] for entry in yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"])
NIGHT, AT_NIGHT = "nightly_refresh_schedule", "15 1 * * *"
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
    settings: dict[str, dict[str, str]]  # of each code server: no other service has any
    services: dict[str, Any] = field(default_factory=lambda: SERVICES)
    servers: list[dict[str, Any]] = field(default_factory=lambda: [SERVER])
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with_a_port = ["webserver", *(server["host"] for server in self.servers)]
        self.ports = dict(zip(with_a_port, free_ports(len(with_a_port)), strict=True))

    @property
    def graphql(self) -> str:
        return f"http://127.0.0.1:{self.ports['webserver']}/graphql"

    def start(self, service: str) -> "subprocess.Popen[bytes]":
        """Start a service with its command and its variables in compose.yaml."""
        workspace = self.folder / "workspace.yaml"
        servers = [{**each, "host": "127.0.0.1", "port": self.ports[each["host"]]} for each in self.servers]
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server} for server in servers]}))
        here: dict[str, object] = {
            "0.0.0.0": "127.0.0.1", "/opt/topo_pipeline/workspace.yaml": workspace,  # noqa: S104
            "/dagster/organizations.toml": self.folder / "organizations.toml",
            **dict.fromkeys(("3000", "4000"), self.ports.get(service)),
        }  # fmt: skip
        program, *arguments = [str(here.get(word, word)) for word in self.services[service]["command"]]
        variables = self.services[service]["environment"].items()
        ours = {name: str(here.get(value, value)) for name, value in variables if name.startswith("TOPO_")}
        with self.log_of(service).open("ab") as log:
            self.processes[service] = subprocess.Popen(  # noqa: S603
                # It ends with the tests, even if they are killed.
                ["setpriv", "--pdeathsig=KILL", BIN / program, *arguments], cwd=self.folder,  # noqa: S607
                env=environment(self.home, **ours, **self.settings.get(service, {})),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.processes[service]

    def start_code(self, service: str = "code") -> None:
        """Start a code server and wait until it accepts connections, and the webserver has found it."""
        process = self.start(service)

        def accepts() -> None:
            if process.poll() is not None:
                pytest.fail(f"the code server {service} ended")
            try:
                socket.create_connection(("127.0.0.1", self.ports[service]), timeout=1).close()
            except OSError as error:
                raise AssertionError(f"the code server {service} does not accept connections") from error

        until(accepts)
        if "webserver" in self.processes:
            until(self.is_loaded)

    def is_loaded(self) -> None:
        """Require that the webserver has loaded every location."""
        found = ask_dagster(
            self.graphql, "{repositoriesOrError {... on RepositoryConnection {nodes {location {name}}}}}"
        )
        names = {node["location"]["name"] for node in found["repositoriesOrError"]["nodes"]}
        assert names == {server["location_name"] for server in self.servers}

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
def deployed(deployment: Deployment) -> Iterator[Deployment]:
    """Prepare the home and start the code servers and the webserver. In the end, kill what runs."""
    try:
        assert deployment.start("prepare").wait(PATIENCE) == 0
        for server in deployment.servers:
            deployment.start_code(server["host"])
        deployment.start("webserver")
        until(deployment.is_loaded)
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


def nights_of(topo: Topo) -> dict[str, str]:
    """Return the settings with which the daemon catches up on the missed night."""
    return {"TOPO_TIMEZONE": topo.timezone, "TOPO_LOOKBACK_DAYS": "1", "TOPO_AUTOMATION": "on"}


@pytest.mark.full  # smaller, one run without services: the first test
def test_days_land_while_the_code_server_is_stopped_and_killed_and_the_daemon_is_killed(
    home: Path, tmp_path: Path
) -> None:
    topo, warehouse = PausedTopo(), Warehouse(str(tmp_path / "topo.duckdb"))
    topo.answers.set()
    with (
        serve(topo) as address,
        deployed(
            Deployment(tmp_path, home, {"code": {**settings_of(address, tmp_path), **nights_of(topo)}})
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
    store_schedule_state(instance, NIGHT, AT_NIGHT, topo.midnight(1) + DAY / 2)
    deployment.start("daemon")
    _, night = until(lambda: launched_by(graphql, NIGHT))
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


def of_several() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the services and the entries of the workspace file, after the steps of the page for two organizations."""
    [section] = re.findall(r"## Several organizations\n(.*?)\n## ", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    blocks = re.findall(r"```yaml\n(.*?)    ```", section, re.DOTALL)
    code, prepare, depends_on, workspace = (re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks)
    text = COMPOSE.replace("    depends_on:\n      code: {condition: service_healthy}\n", depends_on)
    for name, block in {"code": code, "prepare": prepare}.items():
        text = re.sub(
            rf"^  {name}:\n.*?\n\n", lambda _, block=block: f"{block}\n", text, flags=re.DOTALL | re.MULTILINE
        )
    servers = [entry["grpc_server"] for entry in yaml.safe_load(workspace)["load_from"]]
    return yaml.safe_load(text)["services"], servers


def test_the_steps_for_several_organizations_agree_with_each_other_and_with_the_files() -> None:
    services, servers = of_several()
    names = [server["location_name"] for server in servers]
    assert services.keys() - SERVICES.keys() == set(names)
    assert SERVICES.keys() - services.keys() == {"code"}
    for server in servers:
        service, name = services[server["host"]], server["location_name"]
        expected_command = SERVICES["code"]["command"]
        expected_command = [{"topo_pipeline": name}.get(word, word) for word in expected_command]
        at = expected_command.index("topo_pipeline.definitions")
        assert service["command"] == [
            *expected_command[:at],
            "topo_pipeline.locations",
            "--attribute",
            name,
            *expected_command[at + 1 :],
        ]
        assert service["command"][-1] == str(server["port"])
        assert (service["hostname"], service["environment"]["TOPO_ORGANIZATION"]) == (server["host"], name)
        assert service["env_file"] == [".env", f"{name}.env"]
        alike = ("stop_grace_period", "restart", "init", "depends_on", "image")
        assert [service[key] for key in alike] == [SERVICES["code"][key] for key in alike]
    for service in (*names, "prepare"):
        file = services[service]["environment"]["TOPO_ORGANIZATIONS"]
        mounted = [mount.split(":")[1] for mount in services[service]["volumes"]]
        assert mounted[-1] == file
        usual = SERVICES["prepare" if service == "prepare" else "code"]
        assert services[service]["volumes"][:-1] == usual["volumes"]
        assert services[service]["environment"].items() > usual["environment"].items()
    for service in ("webserver", "daemon"):
        assert services[service]["depends_on"] == {name: {"condition": "service_started"} for name in names}


def test_the_deployments_on_kubernetes_start_what_the_code_servers_of_compose_start() -> None:
    [section] = re.findall(r"## Kubernetes.*", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", section, re.DOTALL))
    [[single], [one]] = (each["dagster-user-deployments"]["deployments"] for each in values)
    services, _ = of_several()
    for deployment, service in ((single, SERVICES["code"]), (one, services[one["name"]])):
        assert deployment["port"] == int(service["command"][-1])
        arguments = deployment["dagsterApiGrpcArgs"]
        assert service["command"][3 : 3 + len(arguments)] == arguments
    assert {key for key in single if single[key] != one[key]} == {"name", "dagsterApiGrpcArgs", "envSecrets"}
    [mount], [variable] = one["volumeMounts"], one["env"]
    assert variable["value"] == f"{mount['mountPath']}/organizations.toml"
    assert mount["name"] == one["volumes"][0]["name"]


def an_agency(folder: Path, addresses: dict[str, str], topo: Topo) -> dict[str, dict[str, str]]:
    """Write organizations.toml, and return the settings of each code server. Each has only its own key."""
    settings, tables = {}, ""
    for name, address in addresses.items():
        key = f"{name.upper()}_TOPO_API_KEY"
        tables += f'[{name}]\napi_key_variable = "{key}"\napi_url = "{address}/v1"\n'
        common = settings_of(address, folder)
        settings[name] = {key: common.pop("TOPO_API_KEY"), **common, **nights_of(topo)}
    (folder / "organizations.toml").write_text(tables)
    return settings


def test_a_code_server_serves_its_organization_alone_and_one_whose_table_is_wrong_ends(tmp_path: Path) -> None:
    services, servers = of_several()
    sound, broken = (server["location_name"] for server in servers)
    settings = an_agency(
        tmp_path, dict.fromkeys((sound, broken), os.environ["TOPO_API_URL"].removesuffix("/v1")), Topo()
    )
    with (tmp_path / "organizations.toml").open("a") as file:
        file.write('timezone = "Texas"\n')
    home = prepared(tmp_path / "home")
    deployment = Deployment(tmp_path, home, settings, services, servers)
    try:
        assert deployment.start(broken).wait(PATIENCE) != 0
        said = f"[{broken}]: timezone: 'Texas' is not an IANA time zone such as Europe/Paris."
        assert said in deployment.log_of(broken).read_text(encoding="utf-8")
        deployment.start_code(sound)
        origin = GrpcServerCodeLocationOrigin("127.0.0.1", deployment.ports[sound], location_name=sound)
        with opened(home) as instance, origin.create_location(instance) as location:
            [repository] = location.get_repositories().values()
            keys = repository.asset_graph.get_all_asset_keys()
        assert {key.path[0] for key in keys} == {sound}
        assert deployment.stop(sound) == 0
    finally:
        for service in deployment.processes:
            deployment.kill(service)


def forget_the_night(instance: dg.DagsterInstance, topo: Topo, organizations: Iterable[str]) -> None:
    """Leave what a daemon leaves that was stopped before the night began."""
    for run in nights(instance):
        instance.delete_run(run.run_id)
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        if state.instigator_name == NIGHT:
            origin = state.instigator_origin_id, state.selector_id
            instance.purge_ticks(*origin, before=datetime.now(UTC).timestamp(), tick_statuses=[*TickStatus])
            instance.delete_instigator_state(*origin)
    for name in organizations:
        store_schedule_state(instance, NIGHT, AT_NIGHT, topo.midnight(1) + DAY / 2, location=name)


def nights(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": NIGHT}))


@pytest.mark.full  # smaller: the test above, and those of several organizations in one process
def test_the_night_of_one_organization_runs_while_the_code_server_of_the_other_is_stopped(
    home: Path, tmp_path: Path
) -> None:
    topo = Topo()
    services, servers = of_several()
    names = [server["location_name"] for server in servers]
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(serve(Topo())) for name in names}
        settings = an_agency(tmp_path, addresses, topo)
        deployment = stack.enter_context(deployed(Deployment(tmp_path, home, settings, services, servers)))
        instance = stack.enter_context(opened(home))

        def have_run(*organizations: str) -> None:
            """Require that the night of these, and of no other, has succeeded."""
            ended = [(run.tags["organization"], run.status) for run in nights(instance)]
            assert sorted(ended) == sorted((name, dg.DagsterRunStatus.SUCCESS) for name in organizations)

        forget_the_night(instance, topo, names)
        deployment.start("daemon")
        until(lambda: have_run(*names))
        for name in names:
            assert landed(Warehouse(str(tmp_path / f"{name}.duckdb"))) >= {topo.day(1), topo.day(2)}

        stopped, other = names
        assert [deployment.stop(service) for service in ("daemon", stopped)] == [0, 0]
        forget_the_night(instance, topo, names)
        deployment.start("daemon")
        until(lambda: have_run(other))
        deployment.start_code(stopped)
        until(lambda: have_run(*names))
