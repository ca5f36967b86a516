"""Every command of README and docs/ is run as it is written there, or listed with the test that runs it or a reason."""

import os
import re
import shlex
import shutil
import sys
import webbrowser
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from dotenv import set_key

from topo_pipeline.cli import arguments, sandbox
from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.demo import API_KEY
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, run
from topo_pipeline_tests.conftest import CHECKOUT
from topo_pipeline_tests.engagement.helpers import drop_all_but, uid
from topo_pipeline_tests.pages import commands_of, shell_lines_of
from topo_pipeline_tests.services.processes import free_ports

# The beginnings of commands that no test runs.
NOT_RUN = {
    "docker ": "needs Docker",
    "sudo ": "changes this machine: its users and services",
    "python -m bench places": "takes minutes; bench/test_table.py runs the rows of the table in a small size",
    "python -m bench calibration": "takes minutes; engagement/test_calibration.py runs a part of it",
}

# The beginnings of commands that a test of their own runs, some of them in make test-all only.
RUN_BY = {
    "make demo": "cli/test_demo.py::test_the_demo_materializes_every_asset",
    "make install": "tools/test_release.py::test_a_checkout_is_installed_with_the_commands_of_the_readme",
    ". .venv/bin/activate": "tools/test_release.py::test_a_checkout_is_installed_with_the_commands_of_the_readme",
    "make dev": "orchestration/test_dev.py"
    "::test_without_a_key_dev_serves_the_demo_executes_runs_and_stops_all_its_services",
    "duckdb ": "tools/test_bi.py::test_the_commands_for_duckdb_write_a_file_of_views_with_comments",
    "uvx --from 'dbt-core": "tools/test_bi.py::test_dbt_runs_every_test_of_its_sources_and_none_fails",
    "uvx --from jupyterlab": "tools/test_bi.py::test_jupyterlab_opens_the_notebook",
    "cd bi/evidence": "tools/test_bi.py::test_evidence_serves_its_page_and_a_browser_shows_its_figures",
    "npm install": "tools/test_bi.py::test_evidence_serves_its_page_and_a_browser_shows_its_figures",
    "npm run ": "tools/test_bi.py::test_evidence_serves_its_page_and_a_browser_shows_its_figures",
    "uvx --from './dist": "tools/test_release.py::test_a_wheel_works_in_an_empty_folder",
    "pip install": "tools/test_release.py::test_a_wheel_works_in_an_empty_folder",
    "pg_dump ": "maintenance/test_lake_backups_by_hand.py::test_a_lake_copied_and_restored_by_hand_is_what_it_was",
    "pg_restore ": "maintenance/test_lake_backups_by_hand.py::test_a_lake_copied_and_restored_by_hand_is_what_it_was",
    "psql ": "maintenance/test_lake_backups_by_hand.py::test_a_lake_copied_and_restored_by_hand_is_what_it_was",
    "aws ": "maintenance/test_lake_backups_by_hand.py::test_a_lake_copied_and_restored_by_hand_is_what_it_was",
    "dagster dev ": "orchestration/test_dev.py::test_dagster_dev_serves_the_workspace_file_of_init",
    "topo-pipeline --install-completion": "cli/test_help.py"
    "::test_bash_completes_commands_after_the_installation_of_completion",
    "python -m tools.worked_examples": "tools/test_worked_examples.py"
    "::test_the_command_prints_the_examples_with_the_numbers_of_a_warehouse",
    "python -m topo_pipeline.orchestration.instance": "test_deploy.py"
    "::test_days_land_while_the_code_server_is_stopped_and_killed_and_the_daemon_is_killed",
    "dg launch --assets": "orchestration/test_dev.py::test_dagsters_command_line_reads_a_range",
    "dg launch --job": "cli/test_documented_commands.py::test_the_commands_of_dagster_work",
    "dagster instance ": "cli/test_documented_commands.py::test_the_commands_of_dagster_work",
    "topo-pipeline organizations": "cli/test_documented_commands.py::test_the_commands_for_organizations_work",
    "topo-pipeline --organization": "cli/test_documented_commands.py::test_the_commands_for_organizations_work",
    "topo-pipeline status --organization": "cli/test_documented_commands.py::test_the_commands_for_organizations_work",
    "topo-pipeline backfill --missing": "cli/test_backfill.py::test_missing_reads_only_the_days_that_have_not_landed",
    "topo-pipeline sandbox": "cli/test_documented_commands.py::test_the_commands_of_the_sandbox_work",
    "curl ": "cli/test_documented_commands.py::test_the_commands_of_the_sandbox_work",
}


# What stands for something of the reader's in the pages, and what it is in these tests.
ADA = uid("Ada")
HERE = {
    "PERSON_ID": ADA,
    "0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10": ADA,
    "DAY": "2026-03-04",
    "FOLDER": "backups/topo",
    "COMMAND": "status",
    "/backups/": "backups/",
    "/srv/": "srv/",
}
# What runs the rest of a command in a container.
IN_CONTAINER = re.compile(
    r"^(docker compose .* (exec|run --rm) \w+|docker (exec topo|run --rm .* topo_pipeline)|kubectl exec \S+ --) "
)


def words_of(line: str) -> list[str]:
    """Return the words of a command, with what they are in these tests."""
    return [re.sub("|".join(HERE), lambda found: HERE[found[0]], word) for word in shlex.split(line, comments=True)]


def commands() -> dict[str, list[str]]:
    """Return the commands of each page. A command that is written several times is of the first page that has it."""
    pages: dict[tuple[str, ...], tuple[str, str]] = {}
    names = ("README.md", *sorted(f"docs/{page.name}" for page in (CHECKOUT / "docs").glob("*.md")))
    for name in names:
        # test_first_hour.py runs those of its code blocks, in an empty folder.
        done = list(commands_of(name)) if name == "docs/first-hour.md" else []
        for line in (IN_CONTAINER.sub("", line) for line in shell_lines_of(name)):
            if shlex.split(line, comments=True)[1:] not in done:
                pages.setdefault(tuple(words_of(line)), (name, line))
    return {name: [line for page, line in pages.values() if page == name] for name in names}


COMMANDS = commands()
EXIT_CODES = {"grep": 1}  # it finds nothing
LONG = timedelta(days=3)
BIN = Path(sys.executable).parent


def entry_of(line: str) -> str | None:
    """Return the entry of the lists above that the command begins with."""
    command = line.removeprefix(".venv/bin/")
    return next((beginning for beginning in (*RUN_BY, *NOT_RUN) if command.startswith(beginning)), None)


def lines_of(*beginnings: str) -> list[str]:
    """Return the commands of all pages that begin like this."""
    return [line for lines in COMMANDS.values() for line in lines if line.startswith(beginnings)]


@pytest.fixture(scope="module")
def api_url() -> Iterator[str]:
    world, noon = World(11, scale=0.1, starts=date(2026, 3, 1)), datetime(2026, 4, 5, 12, tzinfo=UTC)
    with serve(create_app(world, api_key=os.environ["TOPO_API_KEY"], now=lambda: noon, date_clock=utc_now)) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def prepared(built: Path, api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: a workspace in which days have landed, a folder for backups, and bi/."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("backups", "data", "new"):
        (folder / name).mkdir()
    shutil.copy(built, folder / "data" / "topo.duckdb")
    drop_all_but(Warehouse(str(folder / "data" / "topo.duckdb")), "sequence_summary")  # `forget` rebuilds all tables
    shutil.copytree(CHECKOUT / "bi", folder / "bi", ignore=shutil.ignore_patterns("node_modules", ".evidence"))
    assert our_command(folder, ["init"]).returncode == 0
    set_key(folder / ".env", "TOPO_API_KEY", os.environ["TOPO_API_KEY"])
    set_key(folder / ".env", "TOPO_API_URL", api_url)
    assert our_command(folder, ["backfill", "2026-03-05"]).returncode == 0
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    set_key(tmp_path / ".env", "DAGSTER_HOME", str(tmp_path / ".dagster"))
    return tmp_path


@pytest.mark.parametrize("page", [page for page, lines in COMMANDS.items() if None in map(entry_of, lines)])
def test_every_command_works(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are run in order. A backfill of some days takes long, so it is only estimated."""
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    monkeypatch.setattr(arguments, "confirm", lambda *_: None)
    for line in COMMANDS[page]:
        if entry_of(line) is None:
            program, *words = words_of(line)
            if Path(program).name != "topo-pipeline":
                assert shutil.which(program), f"{line} needs an entry in the lists above"
                done = run(folder, "/bin/bash", "-c", line)
            else:
                done = our_command(folder / "new" if words[0] == "init" else folder, words)
            assert done.returncode == EXIT_CODES.get(program, 0), (line, done.stdout, done.stderr)
            for replaced in (folder / "data").glob("*.replaced-*"):
                replaced.unlink()  # a second restore in the same second would give its copy the same name


def our_command(folder: Path, words: list[str]) -> CompletedProcess[str]:
    days = [date.fromisoformat(word) for word in words if re.fullmatch(r"\d{4}-\d\d-\d\d", word)]
    estimate = ["--dry-run"] if words[0] == "backfill" and (not days or max(days) - min(days) >= LONG) else []
    unset = dict.fromkeys(("TOPO_API_KEY", "TOPO_API_URL", "TOPO_REPORT_DIR"))  # so that .env sets them
    return answer(folder, *words, *estimate, tables=(), **unset)


def test_the_commands_for_organizations_work(folder: Path, api_url: str) -> None:
    [tables] = re.findall(r"```toml\n(.*?)```", (CHECKOUT / "docs" / "scale.md").read_text(encoding="utf-8"), re.DOTALL)
    acme, _, _ = tables.partition("[globex]")
    place = f'api_url = "{api_url}"\ntimezone = "UTC"\nwarehouse = "data/topo.duckdb"\n'
    (folder / "organizations.toml").write_text(acme.replace('timezone = "Europe/Paris"\n', place))
    set_key(folder / ".env", "ACME_TOPO_API_KEY", os.environ["TOPO_API_KEY"])
    for line in lines_of(*[beginning for beginning, test in RUN_BY.items() if test.endswith("organizations_work")]):
        words = words_of(line)[1:]
        done = our_command(folder, [*words, "--dry-run"] if "backfill" in words else words)
        # doctor finds that Dagster has no records under the new asset keys
        assert done.returncode == ("doctor" in words), (line, done.stdout, done.stderr)
    assert 'location_name: "acme"' in (folder / "workspace.yaml").read_text(encoding="utf-8")


def test_the_commands_of_the_sandbox_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is served, a request is answered with a fault after the first command, and without after the second."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    [serving, *_], [setting, clearing] = lines_of("topo-pipeline sandbox"), lines_of("curl ")
    [port] = free_ports(1)
    statuses = []

    def control() -> None:
        for line in (setting, clearing):
            done = run(
                tmp_path, "/bin/bash", "-c", line.replace("curl ", "curl --fail --silent ").replace("8100", str(port))
            )
            assert done.returncode == 0, (line, done.stderr)
            statuses.append(status())

    def status() -> int:
        address = f"http://127.0.0.1:{port}/v1/activities?created_at_before=2025-01-01T00:00:00Z"
        try:
            return urlopen(Request(address, headers={"Authorization": f"Bearer {API_KEY}"})).status  # noqa: S310
        except HTTPError as error:
            return error.code

    monkeypatch.setattr(sandbox, "_wait_for_signal", control)
    done = answer(tmp_path, *shlex.split(serving)[1:], "--port", str(port))
    assert done.returncode == 0, done.stderr
    assert statuses == [503, 200]


@pytest.mark.full  # smaller: defs/test_jobs.py, orchestration/test_instance.py
@pytest.mark.parametrize("line", lines_of("dg launch --job", "dagster instance"))
def test_the_commands_of_dagster_work(line: str, folder: Path) -> None:
    unset = {name: None for name in os.environ if name.startswith(("TOPO_", "DAGSTER_"))}
    changed = {"DAGSTER_HOME": str(folder / ".dagster")}
    if "maintain_lake" in line:
        changed["TOPO_WAREHOUSE"] = "ducklake:data/lake"
    program, *words = shlex.split(line)
    done = run(folder, str(BIN / program), *words, **{**unset, **changed})
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_every_entry_of_the_lists_is_needed_and_names_a_test() -> None:
    used = {entry_of(line) for lines in COMMANDS.values() for line in lines}
    assert used - {None} == NOT_RUN.keys() | RUN_BY.keys()
    for where in RUN_BY.values():
        file, _, name = where.partition("::")
        assert f"def {name}(" in (CHECKOUT / "topo_pipeline_tests" / file).read_text(encoding="utf-8"), where
