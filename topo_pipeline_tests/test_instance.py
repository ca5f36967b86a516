"""One instance for the UI, the daemon and the command line."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from topo_pipeline.instance import prepare


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


def test_a_home_that_somebody_configured_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: true\n")
    prepare(tmp_path)
    assert yaml.safe_load((tmp_path / "dagster.yaml").read_text()) == {"telemetry": {"enabled": True}}
