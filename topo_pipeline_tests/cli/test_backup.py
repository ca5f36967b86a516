"""The commands `backup` and `restore`: output, errors and signals."""

import os
import shutil
import signal
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import pytest

from topo_pipeline.cli import arguments, console
from topo_pipeline.defs.run_maintenance import owner_tag
from topo_pipeline.ingest import session
from topo_pipeline.maintenance import backups
from topo_pipeline.orchestration.instance import prepare
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.errors import TopoUnavailable
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.cli.conftest import ROWS, files_in, workspace
from topo_pipeline_tests.command_line import Forked, answer, assert_one_sentence
from topo_pipeline_tests.engagement.helpers import Workspace, drop_all_but
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS, forget_ada


def test_a_backup_can_be_restored(folder: Path) -> None:
    drop_all_but(workspace(folder).warehouse, "sequence_runs")
    done = answer(folder, "backup", "b 'x' \U0001f4be.duckdb")
    assert done.returncode == 0, done.stderr
    assert "days up to 2026-03-05" in done.stdout
    forget_ada(workspace(folder))
    (folder / "data" / "topo.duckdb.wal").unlink(missing_ok=True)
    done = answer(folder, "restore", "b 'x' \U0001f4be.duckdb", "--yes")
    assert done.returncode == 0, done.stderr
    assert "data/topo.duckdb is restored: days up to 2026-03-05." in done.stdout
    assert "The previous warehouse is now data/topo.duckdb.replaced-" in done.stdout
    assert f"Activities of people erased since the backup, removed again: {len(HERS)}." in done.stdout
    assert "To read the days since then: topo-pipeline backfill 2026-03-06 " in done.stdout
    assert workspace(folder).select("SELECT count(*) FROM topo.activities") == [(len(HIS),)]


def test_a_restore_over_a_damaged_warehouse_says_that_erasures_are_unknown(folder: Path) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    (folder / "data" / "topo.duckdb").write_bytes(b"damaged")
    done = answer(folder, "restore", "b.duckdb", "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        "It is unknown who was erased since the backup. Erase them again: topo-pipeline forget PERSON_ID" in done.stdout
    )
    assert workspace(folder).select("SELECT count(*) FROM topo.activities") == [(ROWS,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("backup", "data/topo.duckdb"), ("already exists",)),
        (("backup", "nowhere/b.duckdb"), ("does not exist", "mkdir -p")),
        (("restore", "none.duckdb", "--yes"), ("There is no backup",)),
        (("restore", "text", "--yes"), ("can't be restored", "it is not a DuckDB file")),
        (("restore", "data/topo.duckdb", "--yes"), ("the warehouse itself",)),
        (("restore", "b.duckdb"), ("pass --yes",)),
    ],
)
def test_an_impossible_backup_or_restore_is_a_one_line_error_and_changes_nothing(
    folder: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    warehouse = folder / "data" / "topo.duckdb"
    (folder / "text").write_text("Dear diary")
    shutil.copy(warehouse, folder / "b.duckdb")
    before = warehouse.read_bytes()
    assert_one_sentence(answer(folder, *arguments), *words)
    assert warehouse.read_bytes() == before
    assert [path.name for path in warehouse.parent.iterdir()] == ["topo.duckdb"]


def test_a_restore_is_refused_while_a_run_is_in_progress(folder: Path) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    home = folder / "home"
    prepare(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:

        @dg.job
        def reading() -> None: ...

        run = instance.create_run_for_job(reading, status=dg.DagsterRunStatus.STARTED)
        instance.add_run_tags(run.run_id, owner_tag(run.run_id))  # this process is running
    done = answer(folder, "restore", "b.duckdb", "--yes", DAGSTER_HOME=str(home))
    assert_one_sentence(
        done, f"Run {run.run_id[:8]} is in progress", f"or end its process {os.getpid()} (kill {os.getpid()})"
    )


@pytest.mark.parametrize("confirmed", ["--yes", "at a terminal"])
def test_a_restore_is_refused_if_a_run_starts_after_the_confirmation(
    folder: Path, monkeypatch: pytest.MonkeyPatch, confirmed: str
) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    home, before = folder / "home", (folder / "data" / "topo.duckdb").read_bytes()
    prepare(home)
    original, run_ids = backups.restore, []

    @dg.job
    def reading() -> None: ...

    def start_a_run_first(*values: Any, **named: Any) -> backups.Restored:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            run = instance.create_run_for_job(reading, status=dg.DagsterRunStatus.STARTED)
            instance.add_run_tags(run.run_id, owner_tag(run.run_id))  # this process is running
        run_ids.append(run.run_id)
        return original(*values, **named)

    monkeypatch.setattr(backups, "restore", start_a_run_first)
    if confirmed != "--yes":
        monkeypatch.setattr(arguments, "confirm", lambda *_: None)
    options = ["--yes"] if confirmed == "--yes" else []
    done = answer(folder, "restore", "b.duckdb", *options, DAGSTER_HOME=str(home))
    assert_one_sentence(done, f"Run {run_ids[0][:8]} is in progress")
    assert (folder / "data" / "topo.duckdb").read_bytes() == before
    assert [path.name for path in (folder / "data").iterdir()] == ["topo.duckdb"]


def never_finish_copying() -> None:
    """Let this process write half of the file and then wait forever."""

    def copy(file: Path, to: Path, held: ExitStack) -> None:
        held.enter_context(file.open("rb"))
        to.write_bytes(b"half")
        print("ready", file=sys.stderr, flush=True)
        threading.Event().wait()

    backups._copy = copy  # type: ignore[assignment]


def terminate_after_writing() -> None:
    """Let this process get SIGTERM when the backup has its name."""
    put_new = backups.put_new

    def put(new: Path, name: Path) -> None:
        put_new(new, name)
        os.kill(os.getpid(), signal.SIGTERM)

    backups.put_new = put  # type: ignore[attr-defined]


def hang_up_under_nohup() -> None:
    """Let this process ignore hangups, as nohup does, and get one before it copies."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    copy = backups._copy

    def hung_up(*names: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        copy(*names)

    backups._copy = hung_up


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("backup", signal.SIGINT),
        ("restore", signal.SIGTERM),
        *(pytest.param("backup", number, marks=pytest.mark.full) for number in (signal.SIGTERM, signal.SIGHUP)),
        *(pytest.param("restore", number, marks=pytest.mark.full) for number in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_during_the_copy_leaves_no_file(folder: Path, command: str, number: signal.Signals) -> None:
    shutil.copy(folder / "data" / "topo.duckdb", folder / "b.duckdb")
    name, target, options = {
        "backup": ("new.duckdb", "new.duckdb", []),
        "restore": ("b.duckdb", str(folder / "data" / "topo.duckdb"), ["--yes"]),
    }[command]
    home = str(folder.with_name("home"))
    before = files_in(folder)
    copying = Forked(folder, command, name, *options, before=never_finish_copying, DAGSTER_HOME=home)
    copying.read_until("ready")
    assert [path.read_text() for path in folder.rglob(".*/files/*.duckdb")] == ["half"]
    os.kill(copying.pid, number)
    message = f"topo-pipeline: Stopped by {number.name}: nothing was written to {target}.\n"
    assert copying.end() == (128 + number, message)
    assert files_in(folder) == before
    assert workspace(folder).select("SELECT max(day) FROM topo.loads") == [(date(2026, 3, 5),)]


def test_a_signal_after_the_backup_was_written_says_that_it_was_written(folder: Path) -> None:
    ended = Forked(folder, "backup", "b.duckdb", before=terminate_after_writing).end()
    assert ended == (128 + signal.SIGTERM, "topo-pipeline: Stopped by SIGTERM: b.duckdb was written.\n")
    assert Workspace(str(folder / "b.duckdb")).select("SELECT count(*) FROM topo.activities") == [(ROWS,)]
    assert sorted(path.name for path in folder.iterdir()) == ["b.duckdb", "data"]


def test_a_hangup_is_ignored_under_nohup(folder: Path) -> None:
    assert Forked(folder, "backup", "b.duckdb", before=hang_up_under_nohup).end() == (0, "")
    assert (folder / "b.duckdb").exists()


NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
ACME, GLOBEX = World(11), World(12)


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """The address of a Topo for each of two organizations, at which `topo_of_NAME` is the key."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serve(create_app(world, api_key=f"topo_of_{name}", now=lambda: NOW)))
            for name, world in {"acme": ACME, "globex": GLOBEX}.items()
        }


@pytest.fixture
def agency(folder: Path, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with organizations.toml, and a backup of acme, which has no warehouse any more. Nor has globex."""
    tables = ""
    for name, address in addresses.items():
        tables += f'[{name}]\napi_key_variable = "{name.upper()}_KEY"\napi_url = "{address}/v1"\n'
        monkeypatch.setenv(f"{name.upper()}_KEY", f"topo_of_{name}")
    (folder / "organizations.toml").write_text(tables)
    backed_up = folder / "saved.duckdb"
    (folder / "data" / "topo.duckdb").rename(backed_up)
    with Warehouse(str(backed_up)).transaction() as connection:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [ACME.organization_id])
    return folder


@pytest.mark.parametrize("has_warehouse", [True, False])
def test_a_backup_of_another_organization_is_not_restored(agency: Path, has_warehouse: bool) -> None:
    if has_warehouse:
        shutil.copy(agency / "saved.duckdb", agency / "data" / "acme.duckdb")
    refused = answer(agency, "--organization", "globex", "restore", "saved.duckdb", "--yes")
    command = "topo-pipeline --organization acme restore saved.duckdb"
    assert_one_sentence(
        refused, f"saved.duckdb is a backup of acme, not of globex. Nothing was changed. To restore it: {command}"
    )
    assert not (agency / "data" / "globex.duckdb").exists()
    assert answer(agency, *command.split()[1:], "--yes").returncode == 0
    assert (agency / "data" / "acme.duckdb").exists()


def test_a_backup_is_not_restored_with_the_key_of_another_organization(agency: Path) -> None:
    expected = f"saved.duckdb is a backup of organization {ACME.organization_id}, but {{}} is a key of organization"
    refused = answer(agency, "--organization", "globex", "restore", "saved.duckdb", "--yes", ACME_KEY="topo_revoked")
    assert_one_sentence(refused, f"{expected.format('GLOBEX_KEY')} {GLOBEX.organization_id}. Nothing was changed.")
    url = tomllib.loads((agency / "organizations.toml").read_text())["globex"]["api_url"]
    (agency / "organizations.toml").unlink()
    of_globex = {"TOPO_API_URL": url, "TOPO_API_KEY": "topo_of_globex"}
    refused = answer(agency, "restore", "saved.duckdb", "--yes", **of_globex)
    assert_one_sentence(refused, f"{expected.format('TOPO_API_KEY')} {GLOBEX.organization_id}. Nothing was changed.")
    assert list((agency / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("warehouse", "key", "reasons"),
    [
        (
            None,
            "topo_revoked",
            ["There is no warehouse to compare it with.", "does not accept the API key: check GLOBEX_KEY"],
        ),
        (b"damaged", None, ["globex.duckdb can't be opened: it is not a DuckDB file.", "GLOBEX_KEY is not set."]),
    ],
)
def test_a_backup_is_restored_with_the_reasons_why_its_organization_could_not_be_compared(
    agency: Path, warehouse: bytes | None, key: str | None, reasons: list[str]
) -> None:
    if warehouse:
        (agency / "data" / "globex.duckdb").write_bytes(warehouse)
    keys = {"ACME_KEY": None, "GLOBEX_KEY": key}
    restored = answer(agency, "--organization", "globex", "restore", "saved.duckdb", "--yes", **keys)
    assert restored.returncode == 0, restored.stderr
    [warning] = [line for line in restored.stderr.splitlines() if "It is unknown whether saved.duckdb belongs" in line]
    assert all(reason in warning for reason in reasons), warning
    assert warning.endswith(".")


def test_topo_is_asked_for_no_other_key_after_it_did_not_answer(agency: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, shown = list[object](), list[str]()

    def no_answer(connect: object) -> NoReturn:
        asked.append(connect)
        raise TopoUnavailable("No answer from 127.0.0.1")

    def show(title: str) -> AbstractContextManager[None]:
        shown.append(title)
        return nullcontext()

    monkeypatch.setattr(session, "owner_of_key", no_answer)
    monkeypatch.setattr(console.err, "status", show)
    restored = answer(agency, "--organization", "globex", "restore", "saved.duckdb", "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "No answer from 127.0.0.1. Try again later." in restored.stderr
    assert len(asked) == 1
    assert shown[0] == "Asking Topo which organization the key belongs to"
