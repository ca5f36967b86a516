"""Checks of single settings, as validators of their types. Their messages show no value that may be secret."""

import importlib.resources
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, SecretStr

from topo_pipeline.engagement.rules import read_rules

LAKE = "ducklake:"
SHARED_LAKE = "ducklake:postgres:"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
A_DATA_PATH = "a folder or s3://bucket/folder"

_S3_FOLDER = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^/?#]+)*/?")
_MAIL_ADDRESS = re.compile(r"[^\s@,;<>\"()\\]+@[^\s@,;<>\"()\\]+")


def known_zone(name: str) -> str:
    """Check that the tz database has the zone."""
    # Listing the system's zones takes longer than all other settings, so the zones of the tzdata package come first.
    listed = (importlib.resources.files("tzdata") / "zones").read_text(encoding="utf-8").split()
    if name not in listed and name not in available_timezones():
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Paris")
    return name


def absolute(path: Path) -> Path:
    """Return the absolute path."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be resolved: {error}") from None


def warehouse(target: str) -> str:
    """Check the place, without showing it in an error if it may hold a password.

    A path becomes absolute: services run in other folders.
    """
    if target.startswith(SHARED_LAKE):
        if not target.removeprefix(SHARED_LAKE).strip():
            raise ValueError(f"{SHARED_LAKE} needs a connection string: host=db.example.com dbname=lake user=topo")
        return target
    if any(scheme in target for scheme in ("postgres:", "postgresql:")):
        raise ValueError(f"a lake in Postgres begins with {SHARED_LAKE}")
    scheme, name = (LAKE, target.removeprefix(LAKE)) if target.startswith(LAKE) else ("", target)
    if not name or ":" in name:
        raise ValueError(f"{target!r} is neither a file path nor ducklake: and a file path")
    return f"{scheme}{absolute(Path(name))}"


def bucket(url: str | None) -> str | None:
    """Check the address of a folder in a bucket."""
    if url is None or _S3_FOLDER.fullmatch(url):
        return url and url.rstrip("/")
    raise ValueError(f"{url!r} is not an address such as s3://bucket/folder")


def namespace(name: str | None) -> str | None:
    """Check that the name has a catalog and a namespace."""
    if name is None or all(name.partition(".")):
        return name
    raise ValueError(f"{name!r} does not name a catalog and a namespace, such as lakehouse.topo")


def data_path(path: str) -> str:
    """Check the place of a lake's files. A folder becomes absolute."""
    if path.startswith("s3://"):
        return str(bucket(path))
    if "://" in path:
        raise ValueError(f"{path!r} is neither a folder nor an address such as s3://bucket/folder")
    return str(absolute(Path(path)))


def holds_rules(path: Path) -> Path:
    """Check that the file can be read as rules."""
    read_rules(path)
    return path


def blank_is_none(value: Any) -> Any:
    """Return None instead of a blank text."""
    return None if isinstance(value, str) and not value.strip() else value


def private_address(url: SecretStr | None) -> SecretStr | None:
    """Check the address without showing it in an error: the address itself is secret."""
    if url is None or _is_private(url.get_secret_value()):
        return url
    raise ValueError("must be an address that begins with https:// (http:// on loopback only)")


def mail_server(url: SecretStr | None) -> SecretStr | None:
    """Check the address of the mail server without showing it in an error: it may hold a password."""
    if url is None or _is_mail_server(url.get_secret_value()):
        return url
    raise ValueError(
        "must be an address such as smtps://user:password@host:465 or smtp://host:587, with special characters of the"
        " user and the password percent-encoded"
    )


def _is_mail_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message would quote the address
        return False
    rest = parts.path.strip("/") or parts.query or parts.fragment
    return is_usable and not rest and (parts.username is None) == (parts.password is None)


def mail_address(text: str | None) -> str | None:
    """Check a mail address."""
    if text is not None and not _MAIL_ADDRESS.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()!r} is not a mail address such as ada@example.com")
    return text and text.strip()


def mail_addresses(text: str | None) -> str | None:
    """Check mail addresses with commas between them."""
    return text and ", ".join(mail_address(each) or "" for each in text.split(","))


def web_address(url: str | None) -> str | None:
    """Check the address of a page."""
    if url and not re.fullmatch(r"https?://\S+", url):
        raise ValueError(f"{url!r} is not an address such as https://reports.example.com/engagement_report.html")
    return url


def _is_private(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # its message would quote the address
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


OR_NONE = BeforeValidator(blank_is_none)
AbsolutePath = Annotated[Path, AfterValidator(absolute)]
Secret = Annotated[SecretStr | None, OR_NONE]
OptionalText = Annotated[str | None, OR_NONE]
