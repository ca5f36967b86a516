"""Commands and settings in texts are those of the organization that was chosen."""

from collections.abc import Iterator

import pytest

from topo_pipeline.common.commands import Sources, organization, pasteable, sources, written_for
from topo_pipeline_tests.test_docs import COMMANDS

OF_ALL = {"demo", "dev", "init", "organizations", "sandbox"}


@pytest.fixture
def acme() -> Iterator[None]:
    before = organization.set("acme")
    yield
    organization.reset(before)


def test_without_an_organization_a_text_stays_as_it_is() -> None:
    assert pasteable("Run: topo-pipeline doctor") == "Run: topo-pipeline doctor"


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_organization_is_in_each_command_that_works_on_one(command: str) -> None:
    option = "" if command in OF_ALL else "--organization acme "
    assert pasteable(f"Run: topo-pipeline {command}. Then wait.") == f"Run: topo-pipeline {option}{command}. Then wait."


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    "text", ["topo-pipeline wrote it", "topo-pipeline: error", "topo-pipeline --organization x status"]
)
def test_other_words_and_complete_commands_stay_as_they_are(text: str) -> None:
    assert pasteable(text) == text


OF_ACME = Sources(
    "acme",
    "organizations.toml",
    keys={
        "TOPO_TIMEZONE": "timezone",
        "TOPO_WAREHOUSE": "warehouse",
        "TOPO_SMTP_URL": "smtp_url_variable",
        "TOPO_API_KEY": "api_key_variable",
        "TOPO_PUBLISH_POSTGRES": "publish_postgres_variable",
    },
    variables={
        "TOPO_SMTP_URL": "ACME_MAIL",
        "TOPO_API_KEY": "TOPO_API_KEY",
        "TOPO_PUBLISH_POSTGRES": "TOPO_PUBLISH_POSTGRES_2",
    },
    inherited={"TOPO_WAREHOUSE"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TOPO_TIMEZONE is UTC.", "timezone of acme in organizations.toml is UTC."),
        ("Set TOPO_TIMEZONE=Europe/Paris, now.", "Set timezone = 'Europe/Paris' for acme in organizations.toml, now."),
        ("set TOPO_TIMEZONE=2026-03-01.", "set timezone = 2026-03-01 for acme in organizations.toml."),
        ("Check TOPO_SMTP_URL.", "Check ACME_MAIL."),
        ("Check TOPO_WAREHOUSE.", "Check TOPO_WAREHOUSE."),
        ("Set TOPO_WAREHOUSE to x.", "Set warehouse of acme in organizations.toml to x."),
        ("TOPO_TIMEZONE, set TOPO_WAREHOUSE", "timezone of acme in organizations.toml, set warehouse of acme"),
        ("Not in TOPO_WAREHOUSE=/srv/a lake.", "Not in TOPO_WAREHOUSE=/srv/a lake."),
        ("set TOPO_SMTP_URL, or set TOPO_SMTP_URL=off", "set ACME_MAIL, or set ACME_MAIL=off"),
        ("Set TOPO_API_KEY to a key.", "Set TOPO_API_KEY to a key."),
        ("Set TOPO_PUBLISH_POSTGRES.", "Set TOPO_PUBLISH_POSTGRES_2."),
    ],
)
def test_a_setting_is_named_by_its_source_or_by_the_key_to_set(text: str, expected: str) -> None:
    assert pasteable(text) == text
    with written_for("acme", OF_ACME):
        assert pasteable(text) == expected
        assert pasteable(expected) == expected
    assert (organization.get(), sources.get()) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "TOPO_OTHER and MY_TOPO_TIMEZONE",
        "set TOPO_WAREHOUSE_2 or TOPO_WAREHOUSE_acme",
        "/home/TOPO_TIMEZONE/x, TOPO_TIMEZONE/x, old.TOPO_TIMEZONE, TOPO_TIMEZONE.duckdb, a-TOPO_TIMEZONE-b",
    ],
)
def test_longer_names_and_paths_are_not_settings(text: str) -> None:
    with written_for("acme", OF_ACME):
        assert pasteable(text) == text
