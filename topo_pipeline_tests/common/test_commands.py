"""Commands in texts have the organization that was chosen."""

from collections.abc import Iterator

import pytest

from topo_pipeline.common.commands import organization, pasteable
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
