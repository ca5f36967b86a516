"""Temporary folders are private, and removed when no process uses them. Other files and folders are kept."""

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


def use_temporary_folder(file: Path, pipe: Any) -> None:
    with temporary_folder(file, "copying") as aside:
        (aside / "half").write_text("half of a file")
        pipe.send(str(aside.parent))
        pipe.recv()


@pytest.fixture
def leftover(file: Path) -> Path:
    """Return the folder that a killed process has left."""
    child = Child(use_temporary_folder, file)
    leftover = Path(child.receive())
    child.process.kill()
    assert child.wait() == -signal.SIGKILL
    return leftover


def test_a_folder_left_by_a_killed_process_is_listed_and_removed_by_the_next(file: Path, leftover: Path) -> None:
    assert leftover_folders(file) == [leftover]
    assert (leftover / "files" / "half").exists()
    with temporary_folder(file, "writing"):
        assert not leftover.exists()
    assert list(file.parent.iterdir()) == []


def test_a_folder_that_another_process_uses_is_neither_listed_nor_removed(file: Path) -> None:
    child = Child(use_temporary_folder, file)
    used = Path(child.receive())
    assert leftover_folders(file) == []
    with temporary_folder(file, "copying") as aside:
        assert (used / "files" / "half").exists()
        assert aside.parent != used
    child.pipe.send("end")
    assert child.wait() == 0
    assert list(file.parent.iterdir()) == []


def test_other_files_and_folders_are_neither_listed_nor_removed(file: Path, leftover: Path) -> None:
    others = {
        f"{file.name}.partial", f"{file.name}.copying", f".{file.name}.copying", f".partial-{file.name}",
        f".other{file.name}.copying-abcdefgh", f".{file.name}.copying-ABCDEFGH", ".it's a file.x.copying-abcdefgh",
    }  # fmt: skip
    for name in others:
        (file.parent / name).mkdir(mode=0o700)
        (file.parent / name / "precious").touch()
    (file.parent / f".{file.name}.copying-1bcdefgh").write_text("a file, not a folder")
    (file.parent / f".{file.name}.copying-2bcdefgh").symlink_to(file.parent / f"{file.name}.partial")
    (file.parent / f".{file.name}.copying-3bcdefgh").mkdir(mode=0o755)  # temporary folders are private
    before = set(file.parent.rglob("*")) - {leftover, leftover / "files", leftover / "files" / "half"}
    assert leftover_folders(file) == [leftover]
    with temporary_folder(file, "copying"):
        pass
    assert set(file.parent.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_neither_listed_nor_removed(file: Path, leftover: Path) -> None:
    os.chown(leftover, 65534, 65534)
    assert leftover_folders(file) == []
    with temporary_folder(file, "copying"):
        assert leftover.exists()


def test_temporary_folders_are_private_and_have_random_names(file: Path) -> None:
    with umask(0), temporary_folder(file, "copying") as one, temporary_folder(file, "copying") as two:
        assert {stat.S_IMODE(aside.stat().st_mode) for aside in (one, one.parent, two)} == {0o700}
        assert one.parent.name != two.parent.name
        assert one.parent.name.startswith(f".{file.name}.copying-")


def test_without_locks_a_leftover_folder_is_listed_but_not_removed(
    file: Path, leftover: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(_: int, __: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert leftover_folders(file) == [leftover]
    with replacing(file) as new:
        new.write_text("whole")
    assert file.read_text() == "whole"
    assert leftover.exists()


def test_a_folder_removed_before_it_is_locked_is_created_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, which removes unused folders, may find it before it is locked."""
    flock, moved = fcntl.flock, []

    def move_away_first(descriptor: int, kind: int) -> None:
        if not moved:
            [made] = file.parent.iterdir()
            moved.append(shutil.move(made, file.parent.with_name("removed")))
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", move_away_first)
    with temporary_folder(file, "copying") as aside:
        assert moved
        assert list(file.parent.iterdir()) == [aside.parent]


def test_a_failed_write_does_not_replace_the_file(file: Path) -> None:
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


def test_without_hard_links_a_new_file_never_replaces_another(
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


def lock_folder(folder: Path, pipe: Any) -> None:
    with locked(folder, wait_seconds=0.01):
        pipe.send("locked")
        pipe.recv()


def test_a_folder_that_stays_locked_is_an_error_that_names_it(tmp_path: Path) -> None:
    child = Child(lock_folder, tmp_path)
    assert child.receive() == "locked"
    with pytest.raises(WarehouseInUse, match="has locked the folder") as error, locked(tmp_path, wait_seconds=0.1):
        pass
    assert str(tmp_path) in str(error.value)
    assert error.value.process in {None, child.process.pid}
    child.pipe.send("end")
    assert child.wait() == 0


def test_a_folder_that_is_unlocked_in_time_is_locked(tmp_path: Path, on_waiting: SetHook) -> None:
    child = Child(lock_folder, tmp_path)
    assert child.receive() == "locked"
    on_waiting(lambda: child.process.is_alive() and child.pipe.send("end"))
    with locked(tmp_path, wait_seconds=PATIENCE):
        assert child.wait() == 0
