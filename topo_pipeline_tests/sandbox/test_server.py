"""Serving an app on loopback for as long as a block lasts."""

import socket

import httpx
import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import Api, open_api


def test_a_server_is_gone_after_its_block(world: World) -> None:
    with open_api(world) as api:
        url = str(api.http.base_url)
        assert api.page("me")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_two_worlds_are_served_side_by_side(api: Api) -> None:
    with open_api(World(seed=8)) as other:
        assert other.page("me")["organization_id"] != api.page("me")["organization_id"]


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"), serve(lambda: None, taken.getsockname()[1]):
            pass
