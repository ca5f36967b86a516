"""The commands of docs/backups.md that copy a shared lake by hand: Postgres' programs and the AWS CLI."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from topo_pipeline_tests.command_line import UNREACHABLE, run
from topo_pipeline_tests.pages import shell_lines_of
from topo_pipeline_tests.warehouse.builders import NEXT_DAY, activity, ask, land_into, noon, reading
from topo_pipeline_tests.warehouse.builders import snapshot as everything
from topo_pipeline_tests.warehouse.conftest import shared_lake

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import Bucket

UVX = Path(sys.executable).with_name("uvx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in which `aws` is the AWS CLI."""
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(f'#!/bin/sh\nexec "{UVX}" --quiet --from awscli aws "$@"\n')
    aws.chmod(0o755)
    done = run(tmp_path, str(aws), "--version")
    if done.returncode == UNREACHABLE:
        pytest.skip(f"the AWS CLI could not be downloaded: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.full
def test_a_lake_copied_and_restored_by_hand_is_what_it_was(
    folder: Path, postgres_database: "Database", s3_bucket: "Bucket"
) -> None:
    lake = shared_lake(postgres_database, f"{s3_bucket.url}/topo", s3_bucket.environment)
    land_into(lake, reading(activity(1)))
    copied = everything(lake)

    def shell(line: str, **replaced: str) -> str:
        """Run a command of the page with this database and bucket in place of the page's."""
        command = re.sub(r'"host=[^"]*"|host=… dbname=…', lambda found: f'"{postgres_database.dsn}"', line)
        for name, value in {"s3://my-bucket": s3_bucket.url, **replaced}.items():
            command = command.replace(name, value)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        done: subprocess.CompletedProcess[str] = run(folder, "/bin/bash", "-c", command, PATH=path)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.strip()

    by_hand = ("pg_dump ", "psql ", "aws ", "pg_restore ")
    dump, query, download, *restore = [line for line in shell_lines_of("docs/backups.md") if line.startswith(by_hand)]
    shell(dump)
    place = shell(query)
    shell(re.sub(r"s3://\S+", place, download))
    land_into(lake, reading(activity(2, at=noon(NEXT_DAY)), day=NEXT_DAY))
    assert everything(lake) != copied
    for line in restore:
        shell(line)
    assert everything(lake) == copied
    land_into(lake, reading(activity(2, at=noon(NEXT_DAY)), day=NEXT_DAY))
    assert ask(lake, "SELECT count(*) FROM topo.activities") == [(2,)]
    keys = s3_bucket.keys()
    assert any("topo/topo-restored/" in key for key in keys)
