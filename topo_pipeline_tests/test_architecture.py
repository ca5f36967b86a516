"""Which package may import which. `definitions`, `settings` and `days` are modules at the top level."""

import ast
import itertools
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "topo_pipeline"
# Every package may import these and itself.
SHARED = {"common", "days", "settings"}
DATA_PACKAGES = {"engagement", "exports", "ingest", "maintenance", "report", "topo_api", "warehouse"}
MAY_IMPORT = {
    "common": set(),
    "days": set(),
    "settings": {"engagement"},  # the rules are settings too
    "topo_api": set(),
    "warehouse": set(),
    "sandbox": set(),
    "alerts": set(),
    "automation": set(),
    "engagement": {"warehouse"},
    "templates": {"warehouse"},
    "ingest": {"topo_api", "warehouse"},
    "report": {"engagement", "warehouse"},
    "exports": {"engagement", "warehouse"},
    "maintenance": {"engagement", "exports", "warehouse"},
    "defs": {"alerts", "automation"} | DATA_PACKAGES,
    "definitions": {"defs"},
    "locations": {"defs"},
    "orchestration": {"alerts", "automation", "defs", "templates"} | DATA_PACKAGES,
    "doctor": {"alerts", "automation", "defs", "orchestration"} | DATA_PACKAGES,
    "cli": {"alerts", "automation", "definitions", "defs", "doctor", "orchestration", "sandbox", "templates"}
    | DATA_PACKAGES,
}
LIBRARIES = {
    "dagster": {"defs", "doctor", "locations", "orchestration", "cli"},
    "dagster_slack": {"alerts"},
    "httpx": {"topo_api", "alerts"},
    "psutil": {"common", "defs", "orchestration"},
    "duckdb": {"warehouse", "engagement", "report", "exports", "maintenance"},
    "pydantic_settings": {"settings"},
    "fastapi": {"sandbox"},
    "uvicorn": {"sandbox"},
    "obstore": {"exports"},
    "pyarrow": {"exports"},
    "pyiceberg": {"exports"},
    "vl_convert": {"report"},
    "jinja2": {"engagement", "report"},
    "typer": {"cli"},
    "rich": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def package_of(module: Path) -> str:
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
    """The full names that each module imports, also inside functions."""
    return {module: imports_of(module) for module in MODULES if package_of(module) != "__init__"}


def test_packages_import_only_what_they_may(imports: dict[Path, set[str]]) -> None:
    wrong = {
        (module.relative_to(PACKAGE).as_posix(), name)
        for module, names in imports.items()
        for name in names
        if name.startswith("topo_pipeline.")
        and name.split(".")[1] not in MAY_IMPORT[package_of(module)] | SHARED | {package_of(module)}
    }
    assert wrong == set()


def test_there_are_no_circular_imports(imports: dict[Path, set[str]]) -> None:
    """Imports inside functions count too."""
    names = {
        module: module.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".") for module in imports
    }
    graph = {names[module]: found & set(names.values()) - {names[module]} for module, found in imports.items()}
    TopologicalSorter(graph).prepare()


def test_libraries_are_imported_only_where_allowed(imports: dict[Path, set[str]]) -> None:
    for library, allowed in LIBRARIES.items():
        users = {package_of(m) for m, names in imports.items() if any(name.split(".")[0] == library for name in names)}
        assert users, library
        assert users <= allowed, library


def test_only_the_client_its_network_and_alert_delivery_import_httpx() -> None:
    users = {
        module.relative_to(PACKAGE).as_posix()
        for module in MODULES
        if any(name.split(".")[0] == "httpx" for name in imports_of(module))
    }
    assert users == {"topo_api/client.py", "topo_api/network.py", "alerts/delivery.py"}


def test_only_two_modules_read_the_clock_and_none_reads_os_environ() -> None:
    clock = {m.relative_to(PACKAGE).as_posix() for m in MODULES if ".now(" in m.read_text(encoding="utf-8")}
    assert clock == {"cli/console.py", "defs/resources.py"}
    reads = ("getenv(", "environ[", "environ.get(")
    readers = {
        m.relative_to(PACKAGE).as_posix()
        for m in MODULES
        for line in m.read_text(encoding="utf-8").splitlines()
        if any(read in line for read in reads) and "] =" not in line  # setting is not reading
    }
    assert readers == set()


def test_both_copies_of_workspace_yaml_are_equal() -> None:
    assert (PACKAGE / "templates" / "workspace.yaml").read_bytes() == (PACKAGE.parent / "workspace.yaml").read_bytes()


def test_every_module_has_a_docstring() -> None:
    assert [str(m) for m in MODULES if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))] == []


def test_the_locks_are_complete_hashed_and_consistent_and_name_no_registry() -> None:
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
        assert {re.split(r"[>=<\[]", requirement)[0] for requirement in wanted} <= pins[name].keys()
        assert lock.count("==") <= lock.count("--hash=sha256:")
    assert pins["requirements.lock"].items() <= pins["requirements-dev.lock"].items()
