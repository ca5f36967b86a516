"""Temporary folders: private, found by their names, removed once nobody uses them; nothing of others is touched."""

import fcntl
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.warehouse.errors import WarehouseInUse
from topo_pipeline.warehouse.files import leftover_folders, locked, put_new, replacing, temporary_folder
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.limits import umask
from topo_pipeline_tests.warehouse.conftest import SetHook
from topo_pipeline_tests.warehouse.processes import Child


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "it's [a] file.*"


def use_a_folder(file: Path, pipe: Any) -> None:
    with temporary_folder(file, "copying") as aside:
        (aside / "half").write_text("half of a file")
        pipe.send(str(aside.parent))
        pipe.recv()


@pytest.fixture
def left(file: Path) -> Path:
    """What a killed process left."""
    child = Child(use_a_folder, file)
    left = Path(child.hears())
    child.process.kill()
    assert child.ends() == -signal.SIGKILL
    return left


def test_what_a_killed_process_left_is_listed_and_removed_by_the_next_one(file: Path, left: Path) -> None:
    assert leftover_folders(file) == [left]
    assert (left / "files" / "half").exists()
    with temporary_folder(file, "writing"):
        assert not left.exists()
    assert list(file.parent.iterdir()) == []


def test_a_folder_that_another_process_uses_is_neither_listed_nor_removed(file: Path) -> None:
    child = Child(use_a_folder, file)
    used = Path(child.hears())
    assert leftover_folders(file) == []
    with temporary_folder(file, "copying") as aside:
        assert (used / "files" / "half").exists()
        assert aside.parent != used
    child.pipe.send("end")
    assert child.ends() == 0
    assert list(file.parent.iterdir()) == []


def test_what_is_not_ours_is_neither_listed_nor_removed(file: Path, left: Path) -> None:
    others = {
        f"{file.name}.partial", f"{file.name}.copying", f".{file.name}.copying", f".partial-{file.name}",
        f".other{file.name}.copying-abcdefgh", f".{file.name}.copying-ABCDEFGH", ".it's a file.x.copying-abcdefgh",
    }  # fmt: skip
    for name in others:
        (file.parent / name).mkdir(mode=0o700)
        (file.parent / name / "precious").touch()
    (file.parent / f".{file.name}.copying-1bcdefgh").write_text("a file, and no folder")
    (file.parent / f".{file.name}.copying-2bcdefgh").symlink_to(file.parent / f"{file.name}.partial")
    (file.parent / f".{file.name}.copying-3bcdefgh").mkdir(mode=0o755)  # ours are private
    before = set(file.parent.rglob("*")) - {left, left / "files", left / "files" / "half"}
    assert leftover_folders(file) == [left]
    with temporary_folder(file, "copying"):
        pass
    assert set(file.parent.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_neither_listed_nor_removed(file: Path, left: Path) -> None:
    os.chown(left, 65534, 65534)
    assert leftover_folders(file) == []
    with temporary_folder(file, "copying"):
        assert left.exists()


def test_the_folder_is_private_and_its_name_can_not_be_foreseen(file: Path) -> None:
    with umask(0), temporary_folder(file, "copying") as one, temporary_folder(file, "copying") as two:
        assert {stat.S_IMODE(aside.stat().st_mode) for aside in (one, one.parent, two)} == {0o700}
        assert one.parent.name != two.parent.name
        assert one.parent.name.startswith(f".{file.name}.copying-")


def test_without_locks_a_folder_that_may_be_in_use_is_listed_and_not_removed(
    file: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(_: int, __: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert leftover_folders(file) == [left]
    with replacing(file) as new:
        new.write_text("whole")
    assert file.read_text() == "whole"
    assert left.exists()


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that removes what is unused can find it before its own process has locked it."""
    flock, lost = fcntl.flock, []

    def be_too_late(descriptor: int, kind: int) -> None:
        if not lost:
            [made] = file.parent.iterdir()
            lost.append(shutil.move(made, file.parent.with_name("removed")))
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", be_too_late)
    with temporary_folder(file, "copying") as aside:
        assert lost
        assert list(file.parent.iterdir()) == [aside.parent]


def test_a_file_is_replaced_by_a_whole_one_only(file: Path) -> None:
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(file) as new:
        new.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_new_file_is_private_and_never_replaces_another(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text("new")
    file.write_text("old")
    with pytest.raises(FileExistsError):
        put_new(new, file)
    assert file.read_text() == "old"
    file.unlink()
    put_new(new, file)
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_hard_links_a_new_file_does_not_replace_another_either(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", unsupported)
    new = tmp_path / "new"
    new.write_text("new")
    file.write_text("old")
    with pytest.raises(FileExistsError):
        put_new(new, file)
    file.unlink()
    put_new(new, file)
    assert file.read_text() == "new"


def hold_the_folder(folder: Path, pipe: Any) -> None:
    with locked(folder, wait_seconds=0.01):
        pipe.send("locked")
        pipe.recv()


def test_a_folder_that_stays_locked_is_an_error_that_names_it(tmp_path: Path, on_waiting: SetHook) -> None:
    waits: list[None] = []
    on_waiting(lambda: waits.append(None))
    child = Child(hold_the_folder, tmp_path)
    assert child.hears() == "locked"
    with pytest.raises(WarehouseInUse, match="has locked the folder") as error, locked(tmp_path, wait_seconds=0.1):
        pass
    assert waits
    assert str(tmp_path) in str(error.value)
    assert error.value.process in {None, child.process.pid}
    child.pipe.send("end")
    assert child.ends() == 0


def test_a_folder_that_is_unlocked_in_time_is_had(tmp_path: Path, on_waiting: SetHook) -> None:
    child = Child(hold_the_folder, tmp_path)
    assert child.hears() == "locked"
    on_waiting(lambda: child.process.is_alive() and child.pipe.send("end"))
    with locked(tmp_path, wait_seconds=PATIENCE):
        assert child.ends() == 0
