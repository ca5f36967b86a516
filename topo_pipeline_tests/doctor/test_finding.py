"""Findings of the doctor are sentences."""

from topo_pipeline.doctor.finding import problem, warning


def test_a_finding_whose_text_comes_from_an_error_ends_with_a_full_stop() -> None:
    assert warning("api", "Topo gave no usable answer", "Wait.").found == "Topo gave no usable answer."
    assert problem("api", "Is the key right?", "Set it.").found == "Is the key right?"
