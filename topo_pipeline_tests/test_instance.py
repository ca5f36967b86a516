"""One instance for the UI, the daemon and the command line."""

from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType

from topo_pipeline.instance import prepare
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.limits import umask


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")  # put back afterwards what prepare sets


def test_a_new_home_is_an_instance_with_one_reader_a_key_and_no_telemetry(tmp_path: Path) -> None:
    prepare(tmp_path / "deep" / "home")
    with dg.DagsterInstance.get() as instance:
        assert Path(instance.root_directory) == tmp_path / "deep" / "home"
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled is False
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.pool_granularity.name == "OP"
        assert concurrency.pool_config.default_pool_limit == 1
        assert instance.run_monitoring_max_runtime_seconds == 12 * 3600


def test_ticks_that_came_to_nothing_are_kept_for_days_and_the_others_for_weeks(tmp_path: Path) -> None:
    prepare(tmp_path)
    with dg.DagsterInstance.get() as instance:
        for kind in InstigatorType:
            days = {status.value: kept for status, kept in instance.get_tick_retention_settings(kind).items()}
            assert 30 <= days["FAILURE"] <= 90
            assert days["SUCCESS"] == 90
            assert days["SKIPPED"] == (90 if kind is InstigatorType.SCHEDULE else 3)


def test_a_home_that_somebody_configured_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: true\n")
    prepare(tmp_path)
    assert yaml.safe_load((tmp_path / "dagster.yaml").read_text()) == {"telemetry": {"enabled": True}}


def test_a_new_home_is_private_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    with umask(0):
        prepare(tmp_path / "deep" / "home")
    assert (tmp_path / "deep" / "home").stat().st_mode & 0o777 == 0o700
    (tmp_path / "deep" / "home").chmod(0o750)
    prepare(tmp_path / "deep" / "home")
    assert (tmp_path / "deep" / "home").stat().st_mode & 0o777 == 0o750


def test_a_link_in_the_home_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "workspace.yaml").symlink_to(tmp_path / "precious")
    with pytest.raises(WarehouseError, match=r"workspace.yaml can't be written: it is a symbolic link"):
        prepare(tmp_path / "home")
    assert (tmp_path / "precious").read_text() == "precious"
