"""Serving an app on loopback within a `with` block."""

import socket

import httpx
import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import Api, open_api


def test_a_server_stops_at_the_end_of_its_block(world: World) -> None:
    with open_api(world) as api:
        url = str(api.http.base_url)
        assert api.page("me")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_two_worlds_are_served_at_the_same_time(api: Api) -> None:
    with open_api(World(seed=8)) as other:
        assert other.page("me")["organization_id"] != api.page("me")["organization_id"]


def test_a_port_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"), serve(lambda: None, taken.getsockname()[1]):
            pass
