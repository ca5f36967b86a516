"""The way to a host: its address, the proxy and the certificates that the environment names.

The one place where a setting of the network that can't be used becomes a sentence. It names the variable and shows
nothing of its value, which may hold a password.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

_MAX_PORT = 65_535


@dataclass(frozen=True)
class Network:
    """How requests get to a host.

    Attributes:
        verify: what certificates are verified with; False where there is no TLS.
        proxy: what the requests go through.
        variable: the name of the variable that the proxy is from.
    """

    verify: ssl.SSLContext | bool
    proxy: httpx.Proxy | None = None
    variable: str | None = None


def checked_url(text: str) -> httpx.URL:
    """Return the address of the API.

    Raises:
        ValueError: it is not one that the key may be sent to.
    """
    url = _parsed(text)
    if url is None:
        raise ValueError("TOPO_API_URL is not a URL")
    if not url.host or url.scheme not in ("https", "http"):
        raise ValueError("TOPO_API_URL must be an https address")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("TOPO_API_URL must hold no user name, password, query or fragment")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError(f"TOPO_API_URL must use https: plain http to {url.host} would show the key to the network")
    return url


def network_for(url: httpx.URL) -> Network:
    """Return how the environment says that `url` is reached; this machine itself is never reached through a proxy.

    Raises:
        ValueError: a variable can't be used; says which.
    """
    is_local = is_loopback(url.host)
    # Reading the certificates takes longer than some days do; without TLS there is nothing to verify.
    verify = _certificates(trust_env=not is_local) if url.scheme == "https" else False
    # Not left to httpx: it fails on addresses that others accept in NO_PROXY, and shows a part of a proxy's password.
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
            proxy = httpx.Proxy(url)
            httpx.AsyncHTTPTransport(proxy=proxy, verify=False)  # noqa: S501 - never used: only whether it can be made
        except ValueError:  # another scheme
            pass
        except ImportError:
            raise ValueError(
                f"{variable} names a SOCKS proxy, which needs another package: pip install 'httpx[socks]'"
            ) from None
        else:
            return proxy
    raise ValueError(
        f"{variable} can't be used: write it as http://name:password@host:port,"
        " and percent-encode special characters of the password (# is %23)"
    )


def _parsed(text: str) -> httpx.URL | None:
    """Return a URL of which name and port can be connected to, which httpx itself finds out too late."""
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        return None
    return url if url.port is None or 0 < url.port <= _MAX_PORT else None


def is_loopback(host: str) -> bool:
    """Return whether a host name is this machine's."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
