"""Channels that only the API's filter tells, over real HTTP: labelled right, proved by counts, at a small price."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from topo_pipeline.ingest.frames import activity_frame
from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.channels import TYPES_WITHOUT_CHANNEL, Labels, Messages, label
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.topo_api.windows import read_window
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline_tests.topo_api.helpers import (
    Answer,
    Model,
    Request,
    item_of,
    problem_of,
    run,
    uuid_of,
)
from topo_pipeline_tests.topo_api.worlds import DAY


@dataclass(frozen=True)
class Sent:
    """A message and the channel that the world knows, and its payload does not tell."""

    number: int
    channel: str | None
    type: str = "message.sent"
    at: str = "2026-03-01T10:00:00Z"
    told: dict[str, Any] = field(default_factory=dict)

    def item(self) -> dict[str, Any]:
        return item_of(self.number, self.at, type=self.type, **self.told)


def sent(count: int, channel: str | None, start: int, type_: str = "message.sent") -> list[Sent]:
    return [Sent(number, channel, type_) for number in range(start, start + count)]


class Filtering(Model):
    """Topo's channel filter over messages whose payloads have no channel."""

    def __init__(self, messages: list[Sent], obeys: bool = True) -> None:
        super().__init__([message.item() for message in messages])
        self.messages = messages
        self.obeys = obeys

    async def answer(self, request: Request) -> Answer:
        asked = request.params.get("channel") if self.obeys else None
        self.items = [message.item() for message in self.messages if asked in (None, message.channel)]
        return await super().answer(request)

    def asked(self) -> list[str]:
        """The channels asked for, page by page; counts (of size 1) apart."""
        return [r.params["channel"] for r in self.requests if "channel" in r.params and r.params["size"] != "1"]

    def labels(self) -> Labels:
        async def read_and_label(client: TopoClient) -> Labels:
            reading = await read_window(client, DAY)
            self.requests.clear()
            with Buffer() as buffer:
                buffer.add(activity_frame(reading.activities))
                messages = Messages(
                    buffer.unlabelled(TYPES_WITHOUT_CHANNEL), buffer.messages(activity_frame(reading.overlap))
                )
            return await label(client, reading, messages)

        with serve(self) as address:
            labels: Labels = run(address, read_and_label)
        return labels


def truth(messages: list[Sent]) -> dict[str, str]:
    return {uuid_of(message.number): message.channel for message in messages if message.channel}


def test_every_message_gets_its_channel_and_only_the_smaller_channels_are_read() -> None:
    world = [*sent(450, "EMAIL", 0), *sent(120, "LINKEDIN", 1000), *sent(3, "MANUAL", 2000)]
    api = Filtering(world)
    labels = api.labels()
    assert labels.channels == truth(world)
    assert sorted(api.asked()) == ["LINKEDIN", "LINKEDIN", "MANUAL"]
    assert labels.requests == len(api.requests) == 3 + 3  # a count for each channel, and the pages


def test_where_email_is_the_smaller_channel_it_is_the_one_that_is_read() -> None:
    world = [*sent(40, "EMAIL", 0), *sent(320, "LINKEDIN", 1000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world)
    assert api.asked() == ["EMAIL"]


def test_opens_count_as_messages_and_need_no_label() -> None:
    opens = sent(5, "EMAIL", 500, "message.opened")
    world = [*sent(7, "EMAIL", 0), *opens, *sent(2, "LINKEDIN", 1000, "message.replied")]
    assert Filtering(world).labels().channels == truth([message for message in world if message not in opens])


@pytest.mark.parametrize(
    "world",
    [
        [],
        [Sent(1, None, "sequence.created"), Sent(2, "LINKEDIN", "invitation.sent")],
        [Sent(1, "EMAIL", "message.opened")],
        [Sent(1, "LINKEDIN", told={"channel": "LINKEDIN"}), Sent(2, "EMAIL", told={"channel": "EMAIL"})],
    ],
    ids=["nothing", "no message", "channel follows from the type", "payloads tell"],
)
def test_where_nothing_needs_a_label_nothing_is_asked(world: list[Sent]) -> None:
    api = Filtering(world)
    assert api.labels() == Labels({}, 0)
    assert api.requests == []


def test_a_message_that_no_channel_shows_stays_without_and_costs_no_other_its_label(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = [*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000), *sent(4, None, 2000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world)
    assert sorted(api.asked()) == ["EMAIL", "EMAIL", "LINKEDIN"]  # no count proves that the rest is email
    assert "No channel is known for 4 of 174 messages" in caplog.text


def test_a_filter_that_selects_everything_labels_nothing(caplog: pytest.LogCaptureFixture) -> None:
    api = Filtering([*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000)], obeys=False)
    assert api.labels().channels == {}
    assert api.asked() == []
    assert "No channel is known for 170 of 170" in caplog.text


def test_what_stands_in_the_overlap_is_counted_and_not_labelled() -> None:
    before = Sent(9, "EMAIL", at="2026-02-28T23:59:59.500Z")
    world = [before, *sent(3, "EMAIL", 0), *sent(1, "LINKEDIN", 1000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world[1:])
    assert api.asked() == ["LINKEDIN"]


def test_an_unreadable_message_costs_a_reading_of_every_channel_and_no_other_its_label() -> None:
    spoilt = Sent(7000, "EMAIL")
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000)]
    api = Filtering([*world, spoilt])

    def spoil(_: int, page: dict[str, Any]) -> None:
        for item in page["items"]:
            if item["id"] == uuid_of(spoilt.number):
                item["created_at"] = "tea time"

    api.between = spoil
    assert api.labels().channels == truth(world)
    assert sorted(api.asked()) == ["EMAIL", "LINKEDIN"]


@pytest.mark.parametrize("size", ["1", "100"], ids=["before the counts", "after them"])
def test_a_message_that_comes_meanwhile_costs_no_other_its_label(size: str) -> None:
    world = [*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000)]
    news: Iterator[Sent] = iter(sent(1, "LINKEDIN", 3000))

    class Moving(Filtering):
        async def answer(self, request: Request) -> Answer:
            if "channel" in request.params and request.params["size"] == size:
                self.messages.extend(news)
            return await super().answer(request)

    assert Moving(world.copy()).labels().channels == truth(world)


def test_an_unreadable_message_does_not_make_up_in_the_count_for_one_of_no_channel() -> None:
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000), *sent(1, None, 2000)]
    spoilt = Sent(7000, "EMAIL")
    api = Filtering([*world, spoilt])

    def spoil(_: int, page: dict[str, Any]) -> None:
        for item in page["items"]:
            if item["id"] == uuid_of(spoilt.number):
                item["created_at"] = "tea time"

    api.between = spoil
    assert api.labels().channels == truth(world)


def test_a_message_of_a_type_that_topo_adds_counts_as_one() -> None:
    added = Sent(3000, "EMAIL", "message_draft.made", told={"resource_type": "MESSAGE"})
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000)]

    class WithAddedType(Filtering):
        async def answer(self, request: Request) -> Answer:
            asked = dict(request.params)
            if asked.pop("resource_type", None) != "MESSAGE":
                return await super().answer(request)
            return await super().answer(replace(request, params=asked))

    api = WithAddedType([*world, added])
    assert api.labels().channels == truth(world)
    assert api.asked() == ["LINKEDIN"]


@pytest.mark.parametrize("type_", [None, 7, ["message.sent"], {}])
def test_a_type_that_is_no_text_is_no_message(type_: object) -> None:
    api = Filtering([*sent(3, "EMAIL", 0), Sent(2000, "LINKEDIN")])

    def retype(_: int, page: dict[str, Any]) -> None:
        for item in page["items"]:
            if item["id"] == uuid_of(2000):
                item["payload"]["type"] = type_

    api.between = retype
    assert api.labels().channels == truth(sent(3, "EMAIL", 0))


def test_a_refused_filter_is_an_error_of_the_day() -> None:
    class Refusing(Filtering):
        async def answer(self, request: Request) -> Answer:
            if "channel" in request.params:
                return Answer(problem_of(400, "ValidationIssue", "no such channel"), 400)
            return await super().answer(request)

    with pytest.raises(TopoError, match="no such channel"):
        Refusing(sent(3, "EMAIL", 0)).labels()
