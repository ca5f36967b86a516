"""The rooms and their arrows: who may know whom."""

import ast
import itertools
import re
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "topo_pipeline"
# A room may import these rooms of ours, and itself. What stands beside the rooms is a room of its own.
ROOMS = {
    "settings": {"engagement"},  # whose rules are settings too
    "retries": set(),
    "topo_api": {"retries", "text"},
    "warehouse": {"days", "retries"},
    "instance": {"warehouse"},  # how files are written
    "services": {"instance"},
    "sandbox": set(),
    "engagement": {"text", "warehouse"},
    "report": {"engagement", "text", "warehouse"},
    "exports": {"warehouse"},
    "ahead": {"warehouse"},
    "first_contact": {"topo_api", "warehouse"},
    "ingest": {"ahead", "first_contact", "topo_api", "warehouse"},
    "replies": {"ingest", "topo_api", "warehouse"},
    "counts": {"ingest", "topo_api", "warehouse"},
    "status": {"report", "warehouse"},
    "estimate": {"ingest", "topo_api", "warehouse"},
    "doctor": {"days", "defs", "ingest", "instance", "maintenance", "settings", "text", "topo_api", "warehouse"},
    "maintenance": {"engagement", "exports", "warehouse"},
    "alerts": {"text"},
    "days": set(),
    "text": set(),
    "automation": {"days", "ingest", "topo_api"},
    "demo": {"sandbox"},
    "defs": {
        "alerts", "automation", "counts", "days", "engagement", "exports", "ingest", "instance", "replies", "report",
        "settings", "topo_api", "warehouse",
    },
    "definitions": {"defs"},
    "runs": {"days", "defs", "instance"},
    "cli": {
        "days", "definitions", "defs", "demo", "doctor", "estimate", "exports", "first_contact",
        "ingest", "instance", "maintenance", "report", "runs", "sandbox", "services", "settings", "status", "text",
        "topo_api", "warehouse",
    },
}  # fmt: skip
LIBRARIES = {
    "dagster": {"defs", "definitions", "doctor", "instance", "runs", "services", "cli"},
    "dagster_slack": {"alerts"},
    "httpx": {"topo_api", "alerts"},
    "psutil": {"instance", "services"},
    "duckdb": {"warehouse", "engagement", "report", "exports", "maintenance", "status"},
    "pydantic_settings": {"settings"},
    "PIL": {"report"},
    "fastapi": {"sandbox"},
    "uvicorn": {"sandbox"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "jinja2": {"engagement", "report"},
    "typer": {"cli"},
    "rich": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.fixture(scope="module")
def imports() -> dict[Path, set[str]]:
    """Full names of what each module imports, wherever in it."""
    return {module: imports_of(module) for module in MODULES if room_of(module) != "__init__"}


def test_rooms_import_only_the_rooms_that_they_may(imports: dict[Path, set[str]]) -> None:
    wrong = {
        (module.relative_to(PACKAGE).as_posix(), name)
        for module, names in imports.items()
        for name in names
        if name.startswith("topo_pipeline.") and name.split(".")[1] not in ROOMS[room_of(module)] | {room_of(module)}
    }
    assert wrong == set()


def test_a_library_is_imported_by_its_rooms_alone(imports: dict[Path, set[str]]) -> None:
    for library, rooms in LIBRARIES.items():
        users = {room_of(m) for m, names in imports.items() if any(name.split(".")[0] == library for name in names)}
        assert users, library
        assert users <= rooms, library


def test_httpx_is_known_to_the_client_and_its_network_alone_and_to_what_delivers_alerts() -> None:
    users = {
        module.relative_to(PACKAGE).as_posix()
        for module in MODULES
        if any(name.split(".")[0] == "httpx" for name in imports_of(module))
    }
    assert users == {"topo_api/client.py", "topo_api/network.py", "alerts/delivery.py"}


def test_only_the_edge_reads_the_clock_and_only_settings_the_environment() -> None:
    clock = {m.relative_to(PACKAGE).as_posix() for m in MODULES if ".now(" in m.read_text(encoding="utf-8")}
    assert clock == {"cli/console.py", "defs/resources.py"}
    reads = ("getenv(", "environ[", "environ.get(")
    readers = {
        m.relative_to(PACKAGE).as_posix()
        for m in MODULES
        for line in m.read_text(encoding="utf-8").splitlines()
        if any(read in line for read in reads) and "] =" not in line  # to set is not to read
    }
    assert readers == set()


def test_a_checkout_and_an_installed_package_open_the_same_workspace() -> None:
    assert (PACKAGE / "workspace.yaml").read_bytes() == (PACKAGE.parent / "workspace.yaml").read_bytes()


def test_every_module_says_what_it_is_for() -> None:
    assert [str(m) for m in MODULES if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))] == []


def test_the_locks_name_no_registry_and_hold_what_they_are_for_at_the_same_versions() -> None:
    checkout = PACKAGE.parent
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    runtime = [*project["project"]["dependencies"], *extras["sandbox"], *groups["install"]]
    everything = [*runtime, *itertools.chain(*extras.values()), *itertools.chain(*groups.values())]
    pins = {}
    for name, wanted in {"requirements.lock": runtime, "requirements-dev.lock": everything}.items():
        lock = (checkout / name).read_text(encoding="utf-8")
        assert "://" not in lock
        pins[name] = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
        assert {re.split("[>=<]", requirement)[0] for requirement in wanted} <= pins[name].keys()
        assert lock.count("==") <= lock.count("--hash=sha256:")
    assert pins["requirements.lock"].items() <= pins["requirements-dev.lock"].items()
