"""Calls with a time limit."""

from threading import Event

import pytest

from topo_pipeline.common.deadline import DeadlineExceeded, call_within
from topo_pipeline_tests.conftest import PATIENCE


def test_a_call_in_time_returns_its_result() -> None:
    assert call_within(PATIENCE, lambda: 7) == 7


def test_an_error_is_raised_in_the_caller_even_if_it_is_a_timeout_of_the_call_itself() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        call_within(PATIENCE, fail)


def test_a_call_that_takes_longer_is_abandoned() -> None:
    may_end = Event()
    with pytest.raises(DeadlineExceeded):
        call_within(0.01, may_end.wait)
    may_end.set()
