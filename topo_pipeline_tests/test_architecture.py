"""Which room may import which. A room is a package; `definitions`, `settings` and `days` are modules at the top."""

import ast
import itertools
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "topo_pipeline"
# Every room may import these, and itself.
EVERYWHERE = {"common", "days", "settings"}
TO_THE_TABLES = {"engagement", "exports", "ingest", "maintenance", "report", "topo_api", "warehouse"}
ROOMS = {
    "common": set(),
    "days": set(),
    "settings": {"engagement"},  # the rules are settings too
    "topo_api": set(),
    "warehouse": set(),
    "sandbox": set(),
    "alerts": set(),
    "automation": set(),
    "engagement": {"warehouse"},
    "ingest": {"topo_api", "warehouse"},
    "report": {"engagement", "warehouse"},
    "exports": {"engagement", "warehouse"},
    "maintenance": {"engagement", "exports", "warehouse"},
    "defs": {"alerts", "automation"} | TO_THE_TABLES,
    "definitions": {"defs"},
    "orchestration": {"alerts", "automation", "defs"} | TO_THE_TABLES,
    "doctor": {"alerts", "automation", "defs", "orchestration"} | TO_THE_TABLES,
    "cli": {"alerts", "automation", "definitions", "defs", "doctor", "orchestration", "sandbox"} | TO_THE_TABLES,
}
LIBRARIES = {
    "dagster": {"defs", "definitions", "doctor", "orchestration", "cli"},
    "dagster_slack": {"alerts"},
    "httpx": {"topo_api", "alerts"},
    "psutil": {"defs", "orchestration"},
    "duckdb": {"warehouse", "engagement", "report", "exports", "maintenance"},
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
        if name.startswith("topo_pipeline.")
        and name.split(".")[1] not in ROOMS[room_of(module)] | EVERYWHERE | {room_of(module)}
    }
    assert wrong == set()


def test_no_modules_import_each_other_in_a_circle(imports: dict[Path, set[str]]) -> None:
    """Imports within functions count too: they would only hide the circle."""
    names = {
        module: module.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".") for module in imports
    }
    graph = {names[module]: found & set(names.values()) - {names[module]} for module, found in imports.items()}
    TopologicalSorter(graph).prepare()


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
