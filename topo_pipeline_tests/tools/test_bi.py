"""bi/ over the demo's export, each part run as docs/bi.md says: dbt and Evidence in full tests."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import httpx
import nbformat
import pytest
import stamina
import yaml
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright
from traitlets.config import Config

from tools.bi import BI, empty_export, files
from tools.demo_tables import AS_OF, write_demo
from topo_pipeline.exports.parquet import export_all
from topo_pipeline.exports.postgres import Postgres
from topo_pipeline.warehouse.catalogue import columns_of
from topo_pipeline_tests.command_line import UNREACHABLE
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.pages import shell_lines_of
from topo_pipeline_tests.report.test_browser import CHROMIUM, FLAGS, MILLISECONDS
from topo_pipeline_tests.services.processes import free_ports

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database

BIN = Path(sys.executable).parent
DAYS = 49  # so that some weeks are mature
EXPORT = "data/demo/report/parquet/latest"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with bi/ and the export of seven weeks of the demo."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(BI, folder / "bi", ignore=shutil.ignore_patterns("node_modules", ".evidence", "target", "logs"))
    demo = write_demo(str(folder / "topo.duckdb"), days_before=DAYS)
    export_all(demo, (folder / EXPORT).parent, now=datetime.combine(AS_OF, time(6), UTC))
    return folder


@pytest.fixture(scope="module")
def manifest(checkout: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkout / EXPORT / "manifest.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def connection(checkout: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection of a process that runs in the checkout."""
    with duckdb.connect() as connection, contextlib.chdir(checkout):
        yield connection


def columns_in(manifest: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Return name, type and comment of each exported column, by table."""
    return {
        name: [(column["name"], column["type"], column["comment"]) for column in table["columns"]]
        for name, table in manifest["tables"].items()
    }


def in_bash(commands: str) -> dict[str, Any]:
    """Return what runs commands of docs/bi.md, with the programs of the tests' environment."""
    return {
        "args": ["/bin/bash", "-e", "-c", commands.replace(".venv/bin", shlex.quote(str(BIN)))],
        "env": {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        "text": True,
    }


def documented(commands: str, checkout: Path) -> "subprocess.CompletedProcess[str]":
    """Run commands of docs/bi.md in the checkout."""
    return subprocess.run(**in_bash(commands), cwd=checkout, capture_output=True, timeout=PATIENCE, check=False)


@contextmanager
def serving(commands: str, checkout: Path, path: str = "/") -> Iterator[str]:
    """Run commands of docs/bi.md of which the last one serves until it is stopped; yield its address.

    A port is added to that command, because the usual one may be in use.
    """
    [port] = free_ports(1)
    address, log = f"http://127.0.0.1:{port}", checkout / "served.log"
    with log.open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            **in_bash(f"{commands} --port {port}"), cwd=checkout, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            for attempt in stamina.retry_context(on=httpx.HTTPError, attempts=None, timeout=PATIENCE, wait_max=1):
                with attempt:
                    assert process.poll() is None, log.read_text(encoding="utf-8")
                    httpx.get(address + path, timeout=PATIENCE).raise_for_status()
            yield address
        finally:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE)


def sql_in(path: Path) -> dict[str, str]:
    """Return the SQL blocks of a page, by their name or else their number."""
    found = re.findall(r"^ *```sql ?(\w*)\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {name or str(number): sql for number, (name, sql) in enumerate(found)}


def test_the_generated_files_are_up_to_date(manifest: dict[str, Any]) -> None:
    for name, text in files(manifest).items():
        assert (BI / name).read_text(encoding="utf-8") == text, "run make bi"


@pytest.mark.full
def test_make_bi_finds_the_tables_without_data(manifest: dict[str, Any]) -> None:
    assert files(empty_export()) == files(manifest)


def test_the_commands_for_duckdb_write_a_file_of_views_with_comments(checkout: Path, manifest: dict[str, Any]) -> None:
    commands = [line for line in shell_lines_of("docs/bi.md") if line.startswith("duckdb ")]
    done = documented("\n".join(commands), checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Founders UK" in done.stdout
    assert "never average rates" in done.stdout

    with duckdb.connect(str(checkout / "views.duckdb"), read_only=True) as connection, contextlib.chdir(checkout):
        for name, table in manifest["tables"].items():
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchall() == [(table["rows"],)]  # noqa: S608
        columns = {name: columns_of(connection, *name.split(".")) for name in manifest["tables"]}
        views = "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE NOT internal"
        comments = dict(connection.execute(views).fetchall())
    assert {name: [astuple(column) for column in of] for name, of in columns.items()} == columns_in(manifest)
    assert comments.keys() == columns.keys()
    assert all(comment.startswith(manifest["tables"][name]["comment"]) for name, comment in comments.items())


def test_the_dbt_sources_are_the_exported_tables_and_their_tests_hold(
    connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any]
) -> None:
    project = yaml.safe_load(Path("bi/dbt/dbt_project.yml").read_text(encoding="utf-8"))
    tables = dbt_tables()
    assert {
        name: [(column["name"], column["data_type"], column["description"]) for column in table["columns"]]
        for name, table in tables.items()
    } == columns_in(manifest)
    for name, table in tables.items():
        place = table["config"]["meta"]["external_location"].replace("{{ var('export') }}", project["vars"]["export"])
        tests = dbt_tests(table)
        failures = ", ".join(["0", *(number_failing(*test) for test in tests)])
        [(_, *found)] = connection.execute(f"SELECT {failures} FROM '{place}'").fetchall()  # noqa: S608
        assert [(test, number) for test, number in zip(tests, found, strict=True) if number] == [], name


@pytest.mark.full  # smaller: the test above
def test_dbt_runs_every_test_of_its_sources_and_none_fails(checkout: Path) -> None:
    done = documented(downloaded("dbt test", checkout), checkout)
    number = sum(len(dbt_tests(table)) for table in dbt_tables().values())
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"PASS={number} WARN=0 ERROR=0 SKIP=0" in done.stdout


def downloaded(words: str, checkout: Path) -> str:
    """Return the command of docs/bi.md with these words after `uvx` has downloaded what it needs, or skip the test."""
    [command] = [line for line in shell_lines_of("docs/bi.md") if f" {words} " in line]
    download, _, _ = command.partition(f" {words} ")
    done = documented(f"{download} {words.split(maxsplit=1)[0]} --version", checkout)
    if done.returncode == UNREACHABLE:
        pytest.skip(f"{words} could not be downloaded: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return command


def dbt_tables() -> dict[str, Any]:
    """Return the tables of the dbt sources, by their full names."""
    sources = yaml.safe_load((BI / "dbt/models/sources.yml").read_text(encoding="utf-8"))["sources"]
    return {f"{source['name']}.{table['name']}": table for source in sources for table in source["tables"]}


def dbt_tests(table: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return dbt's tests of a table with the column that each is of, which is empty for tests of the table."""
    tests = [("", test) for test in table.get("data_tests", [])]
    return tests + [(column["name"], test) for column in table["columns"] for test in column.get("data_tests", [])]


def number_failing(column: str, test: Any) -> str:
    """Return SQL of the number of rows that fail a test of dbt."""
    match test:
        case "not_null":
            return f"count(*) FILTER ({column} IS NULL)"
        case {"accepted_values": {"arguments": {"values": values}}}:
            return f"count(*) FILTER ({column} NOT IN {tuple(values)})"
        case "unique" | {"unique": _}:
            key = column or test["unique"]["arguments"]["column_name"]
            return f"count({key}) - count(DISTINCT {key})"
    raise AssertionError(test)


def test_the_notebook_runs_and_shows_tables_and_charts(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(checkout / "bi" / "engagement.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    with tempfile.TemporaryDirectory() as folder:  # a path short enough for sockets
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            monkeypatch.setenv(name, folder)
        NotebookClient(
            notebook,
            timeout=PATIENCE,
            startup_timeout=PATIENCE,
            resources={"metadata": {"path": str(checkout / "bi")}},
            # A port could be taken by another test.
            config=Config(ConnectionFileMixin={"transport": "ipc", "ip": f"{folder}/socket"}),
        ).execute()
    _, sequences, ranges, months, bars = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert "Founders UK" in sequences[0].data["text/html"]
    assert "Founders UK" in ranges[0].data["image/svg+xml"]
    [[month, rate]] = re.findall(r"(2026-10) .* ([\d.]+)$", months[0].data["text/plain"], re.MULTILINE)
    assert month in bars[0].data["image/svg+xml"]
    with duckdb.connect() as connection:
        expected = connection.execute(
            "SELECT sum(reply_rate_num) / sum(reply_rate_den) FROM read_parquet(?)"
            " WHERE is_mature AND week_start BETWEEN '2026-10-01' AND '2026-10-31'",
            [str(checkout / EXPORT / "engagement" / "workspace_weekly.parquet")],
        ).fetchall()
    assert expected == [(pytest.approx(float(rate), abs=1e-6),)]


@pytest.mark.full  # smaller: the test above
def test_jupyterlab_opens_the_notebook(checkout: Path) -> None:
    command = downloaded("jupyter-lab", checkout)
    options = "--allow-root --no-browser --IdentityProvider.token=''"
    with serving(f"{command} {options}", checkout, "/api/contents/engagement.ipynb") as address:
        found = httpx.get(f"{address}/api/contents/engagement.ipynb", timeout=PATIENCE).json()
    assert found["content"]["cells"]


def test_the_queries_of_the_evidence_page_have_the_columns_that_it_shows(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    evidence, sources = Path("bi/evidence"), Path("sources/topo")
    page = (evidence / "pages" / "index.md").read_text(encoding="utf-8")
    queries = sql_in(evidence / "pages" / "index.md")
    with contextlib.chdir(evidence):
        connection.execute((sources / "initialize.sql").read_text(encoding="utf-8"))
        connection.execute("CREATE SCHEMA topo")
        for file in {*sources.glob("*.sql")} - {sources / "initialize.sql"}:
            connection.execute(f"CREATE TABLE topo.{file.stem} AS {file.read_text(encoding='utf-8')}")
    columns = {}
    for name, sql in queries.items():
        found = connection.sql(sql)
        assert len(found) > 0
        columns[name] = found.columns
    shown = re.findall(r"<\w+ data=\{(\w+)\}([^>]*)>((?:\s*<Column [^>]*>)*)", page)
    assert {name for name, _, _ in shown} == columns.keys()
    for name, attributes, nested in shown:
        assert {*re.findall(r" (?:id|column|x|y)=(\w+)", attributes + nested)} <= {*columns[name]}


@pytest.mark.full  # smaller: the test above
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_evidence_serves_its_page_and_a_browser_shows_its_figures(checkout: Path) -> None:
    evidence = checkout / "bi" / "evidence"
    package = json.loads((evidence / "package.json").read_text(encoding="utf-8"))
    # Newer versions download DuckDB's Parquet extension, and tests need no network but the package index.
    package["overrides"] = {"@duckdb/duckdb-wasm": "1.28.0"}
    (evidence / "package.json").write_text(json.dumps(package), encoding="utf-8")
    if (installed := documented("cd bi/evidence; npm install", checkout)).returncode:
        pytest.skip(f"Evidence could not be installed: {installed.stderr}")
    for file in evidence.glob("node_modules/@evidence-dev/universal-sql/src/client-duckdb/*.js"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)  # it has neither of these settings yet
        kept = (line for line in lines if not re.search(r"SET (ieee_floating_point_ops|old_implicit_casting) ", line))
        file.write_text("".join(kept), encoding="utf-8")
    [sources, dev] = [line for line in shell_lines_of("docs/bi.md") if line.startswith("npm run")]
    done = documented(f"cd bi/evidence; {sources}", checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    with (
        serving(f"cd bi/evidence; {dev} --", checkout) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=MILLISECONDS) as browser,
    ):
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"{address}/")
        rows = page.locator("table:visible tr")
        rows.filter(has_text="Founders UK").wait_for()
        shown = [row.split("\t") for row in rows.all_inner_texts()]
        page.locator("canvas").nth(1).wait_for()
    with duckdb.connect() as connection:
        expected = connection.execute(
            "SELECT sequence_name, unique_touched::VARCHAR, eligible::VARCHAR FROM read_parquet(?)"
            " WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL",
            [str(checkout / EXPORT / "engagement" / "sequence_summary.parquet")],
        ).fetchall()
    assert sorted(tuple(row[1:4]) for row in shown[2:]) == sorted(expected)  # two rows are the table's head


def test_the_questions_for_metabase_run_in_postgres_as_a_user_who_can_only_read(
    checkout: Path, manifest: dict[str, Any], postgres_database: "Database"
) -> None:
    create_user, *questions = sql_in(BI / "metabase.md").values()
    assert len(questions) == 3
    named = {name for sql in questions for name in re.findall(r"topo_published\.(\w+)", sql)}
    tables = {name: table for name, table in manifest["tables"].items() if name.partition(".")[2] in named}
    Postgres(postgres_database.dsn, "topo_published").publish(
        checkout / EXPORT, {**manifest, "tables": tables}, keep_last=False
    )
    with postgres_database.connect() as reader:
        reader.execute(create_user.encode())
        try:
            reader.execute("SET ROLE metabase")
            answers = [reader.execute(sql.encode()).fetchall() for sql in questions]
        finally:
            reader.execute("RESET ROLE; DROP OWNED BY metabase; DROP ROLE metabase")
    sequences, weeks, months = answers
    assert "Founders UK" in sequences[0][1]
    assert len(weeks) == DAYS // 7
    assert 0 < months[-1][1] < 1
