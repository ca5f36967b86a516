"""Labels from the API's channel filter, for messages whose payload has no channel, over real HTTP."""

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
    PagedApi,
    Request,
    item_of,
    problem_of,
    run,
    uuid_of,
)
from topo_pipeline_tests.topo_api.in_memory_api import DAY


@dataclass(frozen=True)
class Sent:
    """A message and its channel, which only Topo's channel filter shows."""

    number: int
    channel: str | None
    type: str = "message.sent"
    at: str = "2026-03-01T10:00:00Z"
    payload: dict[str, Any] = field(default_factory=dict)

    def item(self) -> dict[str, Any]:
        return item_of(self.number, self.at, type=self.type, **self.payload)


def sent(count: int, channel: str | None, start: int, type_: str = "message.sent") -> list[Sent]:
    return [Sent(number, channel, type_) for number in range(start, start + count)]


class Filtering(PagedApi):
    """Topo's channel filter over messages whose payload has no channel."""

    def __init__(self, messages: list[Sent], obeys: bool = True) -> None:
        super().__init__([message.item() for message in messages])
        self.messages = messages
        self.obeys = obeys

    async def answer(self, request: Request) -> Answer:
        wanted = request.params.get("channel") if self.obeys else None
        self.items = [message.item() for message in self.messages if wanted in (None, message.channel)]
        return await super().answer(request)

    def channels_read(self) -> list[str]:
        """Return the channel of each page that was requested, without the counts (requests of size 1)."""
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


def test_each_message_gets_its_channel_and_only_the_smaller_channels_are_read() -> None:
    world = [*sent(450, "EMAIL", 0), *sent(120, "LINKEDIN", 1000), *sent(3, "MANUAL", 2000)]
    api = Filtering(world)
    labels = api.labels()
    assert labels.channels == truth(world)
    assert sorted(api.channels_read()) == ["LINKEDIN", "LINKEDIN", "MANUAL"]
    assert labels.requests == len(api.requests) == 3 + 3  # a count for each channel, and the pages


def test_email_is_read_if_it_is_the_smaller_channel() -> None:
    world = [*sent(40, "EMAIL", 0), *sent(320, "LINKEDIN", 1000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world)
    assert api.channels_read() == ["EMAIL"]


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
        [Sent(1, "LINKEDIN", payload={"channel": "LINKEDIN"}), Sent(2, "EMAIL", payload={"channel": "EMAIL"})],
    ],
    ids=["no activities", "no messages", "channel implied by the type", "channel in the payload"],
)
def test_no_request_is_sent_if_no_message_needs_a_label(world: list[Sent]) -> None:
    api = Filtering(world)
    assert api.labels() == Labels({}, 0)
    assert api.requests == []


def test_a_message_in_no_channel_stays_unlabelled_and_the_others_are_labelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = [*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000), *sent(4, None, 2000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world)
    assert sorted(api.channels_read()) == ["EMAIL", "EMAIL", "LINKEDIN"]  # no count proves that the rest is email
    assert "The channel of 4 of 174 messages" in caplog.text


def test_a_filter_that_selects_everything_is_not_used_for_labels(caplog: pytest.LogCaptureFixture) -> None:
    api = Filtering([*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000)], obeys=False)
    assert api.labels().channels == {}
    assert api.channels_read() == []
    assert "The channel of 170 of 170" in caplog.text


def test_messages_in_the_overlap_are_counted_but_not_labelled() -> None:
    before = Sent(9, "EMAIL", at="2026-02-28T23:59:59.500Z")
    world = [before, *sent(3, "EMAIL", 0), *sent(1, "LINKEDIN", 1000)]
    api = Filtering(world)
    assert api.labels().channels == truth(world[1:])
    assert api.channels_read() == ["LINKEDIN"]


UNREADABLE = Sent(7000, "EMAIL")


def make_unreadable(_: int, page: dict[str, Any]) -> None:
    for item in page["items"]:
        if item["id"] == uuid_of(UNREADABLE.number):
            item["created_at"] = "tea time"


def test_with_an_unreadable_message_every_channel_is_read_and_the_others_are_labelled() -> None:
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000)]
    api = Filtering([*world, UNREADABLE])
    api.between = make_unreadable
    assert api.labels().channels == truth(world)
    assert sorted(api.channels_read()) == ["EMAIL", "LINKEDIN"]


@pytest.mark.parametrize("size", ["1", "100"], ids=["before the counts", "after the counts"])
def test_a_message_that_arrives_during_labelling_does_not_affect_the_other_labels(size: str) -> None:
    world = [*sent(150, "EMAIL", 0), *sent(20, "LINKEDIN", 1000)]
    news: Iterator[Sent] = iter(sent(1, "LINKEDIN", 3000))

    class Moving(Filtering):
        async def answer(self, request: Request) -> Answer:
            if "channel" in request.params and request.params["size"] == size:
                self.messages.extend(news)
            return await super().answer(request)

    assert Moving(world.copy()).labels().channels == truth(world)


def test_an_unreadable_message_does_not_offset_a_message_without_a_channel() -> None:
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000), *sent(1, None, 2000)]
    api = Filtering([*world, UNREADABLE])
    api.between = make_unreadable
    assert api.labels().channels == truth(world)


def test_a_new_type_with_resource_type_message_counts_as_a_message() -> None:
    added = Sent(3000, "EMAIL", "message_draft.made", payload={"resource_type": "MESSAGE"})
    world = [*sent(30, "EMAIL", 0), *sent(5, "LINKEDIN", 1000)]

    class WithAddedType(Filtering):
        async def answer(self, request: Request) -> Answer:
            params = dict(request.params)
            if params.pop("resource_type", None) != "MESSAGE":
                return await super().answer(request)
            return await super().answer(replace(request, params=params))

    api = WithAddedType([*world, added])
    assert api.labels().channels == truth(world)
    assert api.channels_read() == ["LINKEDIN"]


@pytest.mark.parametrize("type_", [None, 7, ["message.sent"], {}])
def test_an_activity_whose_type_is_not_text_is_not_a_message(type_: object) -> None:
    api = Filtering([*sent(3, "EMAIL", 0), Sent(2000, "LINKEDIN")])

    def retype(_: int, page: dict[str, Any]) -> None:
        for item in page["items"]:
            if item["id"] == uuid_of(2000):
                item["payload"]["type"] = type_

    api.between = retype
    assert api.labels().channels == truth(sent(3, "EMAIL", 0))


def test_a_refused_channel_filter_raises_its_error() -> None:
    class Refusing(Filtering):
        async def answer(self, request: Request) -> Answer:
            if "channel" in request.params:
                return Answer(problem_of(400, "ValidationIssue", "no such channel"), 400)
            return await super().answer(request)

    with pytest.raises(TopoError, match="no such channel"):
        Refusing(sent(3, "EMAIL", 0)).labels()
