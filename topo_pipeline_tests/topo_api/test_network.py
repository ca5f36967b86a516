"""The proxy and certificates from the environment: used, or named in an error that doesn't show their values."""

import ssl
import traceback
from pathlib import Path

import httpx
import pytest

from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import TopoUnavailable
from topo_pipeline.topo_api.network import network_for
from topo_pipeline_tests.topo_api.helpers import KEY, NOW, raw_server, run

PRIVATE = "hunter2"
URL = "https://topo.invalid/v1"
NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
ONE_ATTEMPT = Retries(attempts=1)


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def proxy_of(url: str = URL) -> str | None:
    network = network_for(httpx.URL(url))
    return f"{network.variable} {network.proxy.url}" if network.proxy else None


def refusal(url: str = URL) -> str:
    """Return the error message of a client that can't be created."""
    with pytest.raises(ValueError, match="can't be used|TOPO_API_URL|SOCKS") as caught:
        TopoClient(url, KEY, clock=lambda: NOW)
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.fixture
def without_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no certificates, which takes most of the time of creating a client."""
    monkeypatch.setattr("topo_pipeline.topo_api.network._certificates", lambda **_: False)


@pytest.mark.usefixtures("without_certificates")
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        f"http://corp:{PRIVATE}#pw@127.0.0.1:9",
        f"http://corp:1#{PRIVATE}@127.0.0.1:9",
        f"http://corp:{PRIVATE}/pw@127.0.0.1:9",
        f"http://corp:1/{PRIVATE}@127.0.0.1:9",
        f"http://corp:1?{PRIVATE}@127.0.0.1:9",
        f"corp:{PRIVATE}@127.0.0.1:99999",
        f"http://corp:{PRIVATE}@[::1",
        f"http://corp:{PRIVATE}@xn--a:9",
        f"http://corp:{PRIVATE}@a..b:9",
        f"http://corp:{PRIVATE}@h:9\x01",
        f"http://corp:{PRIVATE}@{'a' * 70}:9",
        f"ftp://corp:{PRIVATE}@h:9",
        f"socks4://corp:{PRIVATE}@h:9",
        f"//{PRIVATE}:9",
        f"http:/{PRIVATE}",
        "http://",
    ],
)
def test_an_invalid_proxy_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert f"{name} can't be used" in refusal()


def test_a_socks_proxy_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://corp:{PRIVATE}@127.0.0.1:9")
    assert refusal().startswith("ALL_PROXY names a SOCKS proxy")


@pytest.mark.parametrize(
    ("name", "value", "url"),
    [
        ("HTTPS_PROXY", "http://proxy:9", URL),
        ("https_proxy", "proxy:9", URL),
        ("ALL_PROXY", "http://proxy:9", URL),
        ("HTTP_PROXY", "http://proxy:9", "http://topo.invalid"),
    ],
)
def test_the_proxy_for_the_scheme_or_for_all_schemes_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, url: str
) -> None:
    monkeypatch.setenv(name, value)
    assert proxy_of(url) == f"{name.upper()} http://proxy:9"


def test_the_proxy_for_another_scheme_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:9")
    assert proxy_of() is None


@pytest.mark.usefixtures("without_certificates")
@pytest.mark.parametrize(
    "exempt", ["localhost,fe11::/16", "127.0.0.1,[::1]", "[", "::1,10.0.0.0/8", "http://[,\x01", ","]
)
def test_any_spelling_of_no_proxy_is_accepted(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:9")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert proxy_of() is not None
    monkeypatch.setenv("NO_PROXY", f"{exempt},.invalid")
    assert proxy_of() is None


def test_loopback_ignores_an_invalid_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://")
    assert proxy_of("https://127.0.0.1:9") is None


def test_a_proxy_that_refuses_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with raw_server(refusing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", f"//corp:{PRIVATE}@"))
        with pytest.raises(TopoUnavailable, match="407 .*through the proxy of HTTPS_PROXY") as caught:
            run("https://topo.invalid", retries=ONE_ATTEMPT)
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("host", ["proxy.invalid", "127.0.0.1:1"])
def test_an_unreachable_proxy_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://corp:{PRIVATE}@{host}")
    with pytest.raises(TopoUnavailable, match="ConnectError .*through the proxy of ALL_PROXY") as caught:
        run("https://topo.invalid", retries=ONE_ATTEMPT)
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_unreadable_certificates_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / PRIVATE
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert refusal().startswith("SSL_CERT_FILE, SSL_CERT_DIR")


def test_certificates_from_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = network_for(httpx.URL(URL)).verify
    assert isinstance(context, ssl.SSLContext)
    assert context.get_ca_certs() == []


@pytest.mark.parametrize(
    "url",
    [
        "https://xn--a/",
        "https://a..b",
        f"https://{'a' * 64}.io",
        "https://h:0",
        "https://h:99999",
        "https://[::1",
        "https://\u2024",
        f"https://{'a' * 70_000}",
    ],
)
def test_an_invalid_api_url_is_refused(url: str) -> None:
    assert refusal(url) == "TOPO_API_URL is not a URL"
