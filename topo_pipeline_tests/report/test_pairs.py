"""Any two sequences of the page are compared in the words of `topo-pipeline compare`."""

from itertools import combinations

import pytest

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.comparison import compare
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import pairs, queries
from topo_pipeline_tests.engagement.helpers import Workspace, uid
from topo_pipeline_tests.report.conftest import Reported

RATED = ("strong", "middle", "weak", "silent")  # best first; "young" and "tiny" have too few contacts


def of(workspace: Workspace, *only: str) -> pairs.Pairs | None:
    with workspace.warehouse.reader() as connection:
        found = queries.sequences(connection, DEFAULT_RULES)
        found = {id_: each for id_, each in found.items() if not only or id_ in map(uid, only)}
        names = {id_: each.ever["name"] for id_, each in found.items()}
        return pairs.pairs(connection, found, names, DEFAULT_RULES)


def test_the_forms_and_numbers_of_every_pair_are_the_sentences_of_compare(rated: Reported) -> None:
    found = of(rated.workspace)
    assert found is not None
    assert found.ids == [uid(name) for name in RATED]
    data = found.data
    for at, (one, other) in enumerate(combinations(range(len(RATED)), 2)):
        form, *numbers = data["pairs"][at].split(" ")
        said = data["forms"][int(form)]
        for number in numbers:
            said = said.replace("{}", number, 1)
        named = [found.data["rates"][place].split("\u2068")[1].split("\u2069")[0] for place in (one, other)]
        said = said.replace("{first}", named[0]).replace("{second}", named[1])
        with rated.workspace.warehouse.reader() as connection:
            pair = compare(connection, uid(RATED[one]), uid(RATED[other]), DEFAULT_RULES)
        rates = [data["rates"][place].translate({0x2068: "", 0x2069: ""}) for place in (one, other)]
        assert [*rates, *said.split("\n")] == sentences.comparison(pair, 30)
    assert found.which == "These are the 4 sequences with at least 30 contacts whose 30 days are over."


def test_more_sequences_than_the_page_has_room_for_are_left_out_and_counted(
    rated: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "COMPARED", 3)
    found = of(rated.workspace)
    assert found is not None
    assert found.ids == [uid(name) for name in RATED[:3]]
    assert len(found.data["pairs"]) == 3
    assert found.which.startswith("These are the first 3 of the 4 sequences")


def test_one_sequence_alone_is_compared_with_none(rated: Reported) -> None:
    assert of(rated.workspace, "strong") is None
