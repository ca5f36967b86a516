"""Network settings: the API's address, and the proxy and certificates named by the environment.

Errors about these settings are raised only here. They name the variable and never show its value, which may contain a
password.
"""

import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

_MAX_PORT = 65_535


@dataclass(frozen=True)
class Network:
    """How requests reach a host."""

    verify: ssl.SSLContext | bool
    """What certificates are verified with. False if there is no TLS."""
    proxy: httpx.Proxy | None = None
    variable: str | None = None
    """The environment variable that names the proxy."""


def checked_url(text: str) -> httpx.URL:
    """Return the address of the API.

    Raises:
        ValueError: the key must not be sent to this address.
    """
    url = _parsed(text)
    if url is None:
        raise ValueError("TOPO_API_URL is not a URL")
    if not url.host or url.scheme not in ("https", "http"):
        raise ValueError("TOPO_API_URL must be an https address")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("TOPO_API_URL must not contain a user name, password, query or fragment")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError(f"TOPO_API_URL must use https: plain http to {url.host} would expose the key on the network")
    return url


def network_for(url: httpx.URL) -> Network:
    """Return how `url` is reached according to the environment. Loopback is never reached through a proxy.

    Raises:
        ValueError: a variable can't be used. The message names it.
    """
    is_local = is_loopback(url.host)
    # Loading the certificates can take longer than reading a day. Without TLS there is nothing to verify.
    verify = _certificates(trust_env=not is_local) if url.scheme == "https" else False
    # httpx fails on NO_PROXY entries that other tools accept, and its errors show part of a proxy's password.
    proxies = getproxies()
    scheme = url.scheme if proxies.get(url.scheme) else "all"
    if is_local or not proxies.get(scheme) or proxy_bypass(url.netloc.decode("ascii")):
        return Network(verify)
    variable = f"{scheme.upper()}_PROXY"
    return Network(verify, _proxy(variable, proxies[scheme]), variable)


def _certificates(*, trust_env: bool) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except (OSError, ValueError) as error:
        fault = type(error).__name__
    raise ValueError(f"SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE can't be used: {fault}")


def _proxy(variable: str, value: str) -> httpx.Proxy:
    url = _parsed(value if "://" in value else f"http://{value}")
    if url is not None and url.host and url.path in ("", "/") and not (url.query or url.fragment):
        try:
            with suppress(ValueError):  # an unsupported scheme
                proxy = httpx.Proxy(url)
                httpx.AsyncHTTPTransport(proxy=proxy, verify=False)  # noqa: S501 - only tests that it can be created
                return proxy
        except ImportError:
            raise ValueError(
                f"{variable} names a SOCKS proxy, which needs an extra package: pip install 'httpx[socks]'"
            ) from None
    raise ValueError(
        f"{variable} can't be used: use http://name:password@host:port,"
        " and percent-encode special characters in the password (# is %23)"
    )


def _parsed(text: str) -> httpx.URL | None:
    """Return the URL, or None if its host or port is invalid, which httpx only notices when it connects."""
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        return None
    return url if url.port is None or 0 < url.port <= _MAX_PORT else None


def is_loopback(host: str) -> bool:
    """Return whether a host is on loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
