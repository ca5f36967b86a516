"""What Jinja compiled of the scripts is kept, and nothing depends on it."""

import sys
from pathlib import Path

import jinja2
import pytest

from topo_pipeline.engagement.scripts import CompiledScripts


def rendered(script: str, folder: Path) -> str:
    """As a process of its own would render it that keeps what it compiles in `folder`."""
    loader = jinja2.DictLoader({"script.sql": script})
    scripts = jinja2.Environment(loader=loader, bytecode_cache=CompiledScripts(str(folder)))  # noqa: S701 - as there
    return scripts.get_template("script.sql").render()


@pytest.fixture(autouse=True)
def python_keeps_what_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def test_what_was_compiled_is_kept_and_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendered("SELECT {{ 1 + 1 }}", tmp_path) == "SELECT 2"
    monkeypatch.delattr(jinja2.Environment, "compile")
    assert rendered("SELECT {{ 1 + 1 }}", tmp_path) == "SELECT 2"


def test_a_script_that_was_changed_is_compiled_anew(tmp_path: Path) -> None:
    assert [rendered(f"SELECT {{{{ {n} + 1 }}}}", tmp_path) for n in (1, 2)] == ["SELECT 2", "SELECT 3"]


@pytest.mark.parametrize("length", [0, 20, 60])
def test_what_was_cut_short_is_compiled_anew(tmp_path: Path, length: int) -> None:
    rendered("SELECT {{ 1 + 1 }}", tmp_path)
    [kept] = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:length])
    assert rendered("SELECT {{ 1 + 1 }}", tmp_path) == "SELECT 2"
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("folder", ["absent", "file"])
def test_where_nothing_can_be_kept_a_script_is_compiled_each_time(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    assert rendered("SELECT {{ 1 + 1 }}", tmp_path / folder) == "SELECT 2"
    assert [kept.name for kept in tmp_path.iterdir()] == ["file"]


def test_nothing_is_kept_where_python_is_told_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered("SELECT {{ 1 + 1 }}", tmp_path) == "SELECT 2"
    assert list(tmp_path.iterdir()) == []
