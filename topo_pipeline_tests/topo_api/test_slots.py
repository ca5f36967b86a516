"""Who has what there is too little of, and when."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from topo_pipeline.topo_api.slots import Slots


def run(go: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(go(), 30)

    asyncio.run(in_time())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_has_an_earlier_turn_goes_first_and_of_one_turn_who_came_first() -> None:
    order: list[tuple[int, str]] = []

    async def go() -> None:
        slots = Slots(["only"])

        async def use(turn: int, name: str) -> None:
            async with slots.one(turn):
                order.append((turn, name))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group, slots.one(0):
            for turn, name in [(2, "a"), (1, "b"), (2, "c"), (0, "d"), (1, "e")]:
                group.create_task(use(turn, name))
            await settle()
            assert order == []

    run(go)
    assert order == [(0, "d"), (1, "b"), (1, "e"), (2, "a"), (2, "c")]


def test_what_was_used_last_is_used_next_so_that_few_are_kept_alive() -> None:
    async def go() -> None:
        slots = Slots(["one", "other"])
        async with slots.one(0) as first:
            pass
        for _ in range(5):
            async with slots.one(0) as again:
                assert again == first

    run(go)


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "as it is handed over"])
def test_who_gives_up_takes_nothing_along(late: bool) -> None:
    async def go() -> None:
        slots = Slots(["only"])

        async def use() -> None:
            async with slots.one(0):
                raise AssertionError("it was cancelled before")

        async with slots.one(0):
            waiting = asyncio.create_task(use())
            await settle()
            if not late:
                waiting.cancel()
                await settle()
        if late:
            asyncio.get_running_loop().call_soon(waiting.cancel)  # after it was handed out, before who has it goes on
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with slots.one(0) as thing:
            assert thing == "only"

    run(go)


def test_a_failure_gives_back_what_it_had() -> None:
    async def go() -> None:
        slots = Slots(["only"])
        with pytest.raises(ZeroDivisionError):
            async with slots.one(0):
                raise ZeroDivisionError
        async with slots.one(0) as thing:
            assert thing == "only"

    run(go)


def test_who_gives_it_back_and_asks_again_at_once_has_its_turn_before_a_later_one() -> None:
    order: list[str] = []

    async def go() -> None:
        slots = Slots(["only"])

        async def later() -> None:
            async with slots.one(2):
                order.append("later")

        async with asyncio.TaskGroup() as group:
            async with slots.one(1):
                group.create_task(later())
                await settle()
            async with slots.one(1):
                order.append("again")

    run(go)
    assert order == ["again", "later"]
