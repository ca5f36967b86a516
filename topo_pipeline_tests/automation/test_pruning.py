"""Which old runs are deleted."""

from topo_pipeline.automation.pruning import BATCH_SIZE, runs_to_delete


def test_old_runs_are_deleted_oldest_first_except_needed_ones() -> None:
    assert runs_to_delete(["a", "b", "c", "d"], {"b", "z"}) == ["a", "c", "d"]


def test_each_tick_deletes_one_batch_and_needed_runs_do_not_count() -> None:
    old = [str(number) for number in range(3 * BATCH_SIZE)]
    needed = set(old[: 2 * BATCH_SIZE])
    assert runs_to_delete(old, needed) == old[2 * BATCH_SIZE :]
    assert runs_to_delete(old, ()) == old[:BATCH_SIZE]
