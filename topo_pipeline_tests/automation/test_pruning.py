"""Which old runs are deleted."""

from topo_pipeline.automation.pruning import BATCH_SIZE, runs_to_delete


def test_old_runs_are_deleted_oldest_first_without_those_that_are_needed() -> None:
    assert runs_to_delete(["a", "b", "c", "d"], {"b", "z"}) == ["a", "c", "d"]


def test_no_more_are_deleted_at_once_than_a_tick_has_time_for_and_needed_ones_hold_up_no_other() -> None:
    old = [str(number) for number in range(3 * BATCH_SIZE)]
    needed = set(old[: 2 * BATCH_SIZE])
    assert runs_to_delete(old, needed) == old[2 * BATCH_SIZE :]
    assert runs_to_delete(old, ()) == old[:BATCH_SIZE]
