"""The settings: the environment, read once into one frozen object. Nothing else in the package reads the environment.

The file that `TOPO_RULES` names is read with them, so that an invalid file is reported before anything runs.
"""

import importlib.resources
import os
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules, read_rules

LAKE = "ducklake:"
SHARED_LAKE = "ducklake:postgres:"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

_S3_FOLDER = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^/?#]+)*/?")
_A_DATA_PATH = "a folder or s3://bucket/folder"
_ALERTS = {"alert_webhook", "alert_slack_token", "alert_slack_channel", "alert_webhook_format"}
_MAIL = {"smtp_url", "report_mail_to", "report_mail_from"}
_MAIL_ADDRESS = re.compile(r"[^\s@,;<>\"()\\]+@[^\s@,;<>\"()\\]+")


class SettingsError(Exception):
    """The environment is invalid. The message names each variable and what is wrong with it."""


def _known_zone(name: str) -> str:
    # Listing the system's zones takes longer than all other settings, so the zones of the tzdata package come first.
    listed = (importlib.resources.files("tzdata") / "zones").read_text(encoding="utf-8").split()
    if name not in listed and name not in available_timezones():
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Paris")
    return name


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be resolved: {error}") from None


def _warehouse(target: str) -> str:
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
    return f"{scheme}{_absolute(Path(name))}"


def _bucket(url: str | None) -> str | None:
    if url is None or _S3_FOLDER.fullmatch(url):
        return url and url.rstrip("/")
    raise ValueError(f"{url!r} is not an address such as s3://bucket/folder")


def _namespace(name: str | None) -> str | None:
    if name is None or all(name.partition(".")):
        return name
    raise ValueError(f"{name!r} does not name a catalog and a namespace, such as lakehouse.topo")


def _data_path(path: str) -> str:
    if path.startswith("s3://"):
        return str(_bucket(path))
    if "://" in path:
        raise ValueError(f"{path!r} is neither a folder nor an address such as s3://bucket/folder")
    return str(_absolute(Path(path)))


def _holds_rules(path: Path) -> Path:
    read_rules(path)
    return path


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _private_address(url: SecretStr | None) -> SecretStr | None:
    """Check the address without showing it in an error: the address itself is secret."""
    if url is None or _is_private(url.get_secret_value()):
        return url
    raise ValueError("must be an address that begins with https:// (http:// on loopback only)")


def _mail_server(url: SecretStr | None) -> SecretStr | None:
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


def _mail_address(text: str | None) -> str | None:
    if text is not None and not _MAIL_ADDRESS.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()!r} is not a mail address such as ada@example.com")
    return text and text.strip()


def _mail_addresses(text: str | None) -> str | None:
    return text and ", ".join(_mail_address(each) or "" for each in text.split(","))


def _web_address(url: str | None) -> str | None:
    if url and not re.fullmatch(r"https?://\S+", url):
        raise ValueError(f"{url!r} is not an address such as https://reports.example.com/engagement_report.html")
    return url


def _is_private(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # its message would quote the address
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Secret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]
OptionalText = Annotated[str | None, BeforeValidator(_blank_is_none)]


class Settings(BaseSettings):
    """All settings: `TOPO_*` and `DAGSTER_HOME`, from the environment or a `.env` file."""

    model_config = SettingsConfigDict(
        env_prefix="TOPO_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    api_key: Secret = None
    api_url: str = "https://api.topo.io/v1"
    warehouse: Annotated[str, AfterValidator(_warehouse)] = Field(
        default="data/topo.duckdb", validate_default=True, repr=False
    )
    lake_data_path: Annotated[Annotated[str, AfterValidator(_data_path)] | None, BeforeValidator(_blank_is_none)] = None
    # A name in Postgres has up to 63 characters, and `restore` appends 26.
    lake_schema: Annotated[str, Field(pattern="^[a-z_][a-z0-9_]{0,36}$")] = "topo"
    start_date: date = date(2026, 1, 1)
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    lookback_days: int = Field(default=3, ge=0, le=365)
    requests_per_second: float = Field(default=10, gt=0, le=10_000)
    concurrency: int = Field(default=4, ge=1, le=64)
    completeness: Literal["refuse", "warn"] = "refuse"
    label_channels: Literal["on", "off"] = "on"
    automation: Literal["off", "on"] = "off"
    payload_days: Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, BeforeValidator(_blank_is_none)] = None
    alert_webhook: Annotated[Secret, AfterValidator(_private_address)] = None
    alert_slack_token: Secret = None
    alert_slack_channel: OptionalText = None
    alert_webhook_format: Annotated[Literal["text", "teams"] | None, BeforeValidator(_blank_is_none)] = None
    smtp_url: Annotated[Secret, AfterValidator(_mail_server)] = None
    report_mail_to: Annotated[OptionalText, AfterValidator(_mail_addresses)] = None
    report_mail_from: Annotated[OptionalText, AfterValidator(_mail_address)] = None
    report_url: Annotated[OptionalText, AfterValidator(_web_address)] = None
    heartbeat_url: Annotated[Secret, AfterValidator(_private_address)] = None
    dagster_record_days: Annotated[Annotated[int, Field(ge=7, le=36_500)] | None, BeforeValidator(_blank_is_none)] = (
        None
    )
    report_dir: AbsolutePath = Field(default=Path("data/report"), validate_default=True)
    rules_file: Annotated[
        Annotated[AbsolutePath, AfterValidator(_holds_rules)] | None, BeforeValidator(_blank_is_none)
    ] = Field(default=None, validation_alias="TOPO_RULES")
    publish_s3: Annotated[OptionalText, AfterValidator(_bucket)] = None
    publish_postgres: Secret = None
    publish_postgres_schema: str = Field(default="topo_published", min_length=1, max_length=63)
    publish_iceberg: Annotated[OptionalText, AfterValidator(_namespace)] = None
    dagster_home: AbsolutePath = Field(default=Path(".dagster"), validation_alias="DAGSTER_HOME", validate_default=True)

    @model_validator(mode="after")
    def _alerts_go_to_one_place(self) -> Self:
        if (self.alert_slack_token is None) != (self.alert_slack_channel is None):
            raise ValueError("TOPO_ALERT_SLACK_TOKEN and TOPO_ALERT_SLACK_CHANNEL must be set together")
        if self.alert_webhook and self.alert_slack_token:
            raise ValueError("TOPO_ALERT_WEBHOOK and TOPO_ALERT_SLACK_TOKEN can't both be set: alerts go to one place")
        return self

    @model_validator(mode="after")
    def _mail_has_a_server_and_both_ends(self) -> Self:
        if len({self.smtp_url is None, self.report_mail_to is None, self.report_mail_from is None}) > 1:
            raise ValueError("TOPO_SMTP_URL, TOPO_REPORT_MAIL_TO and TOPO_REPORT_MAIL_FROM must be set together")
        return self

    @model_validator(mode="after")
    def _a_shared_lake_has_a_data_path(self) -> Self:
        if self.warehouse.startswith(SHARED_LAKE) and self.lake_data_path is None:
            raise ValueError(f"TOPO_LAKE_DATA_PATH must be set for a lake in Postgres: {_A_DATA_PATH}")
        return self

    @property
    def is_lake(self) -> bool:
        """Whether the warehouse is a lake, which needs maintenance."""
        return self.warehouse.startswith(LAKE)

    @property
    def aws_variables(self) -> dict[str, str]:
        """The variables that AWS's own programs read. The values may be secrets."""
        return variables("AWS_")

    @property
    def zone(self) -> ZoneInfo:
        """The reporting time zone: partitions and reporting days."""
        return ZoneInfo(self.timezone)

    @property
    def rules(self) -> Rules:
        """The rules of the metric tables."""
        return read_rules(self.rules_file) if self.rules_file else DEFAULT_RULES

    @property
    def has_chat(self) -> bool:
        """Whether alerts and the Monday message go to a chat."""
        return self.alert_webhook is not None or self.alert_slack_token is not None

    @property
    def has_mail(self) -> bool:
        """Whether the Monday message goes out by mail."""
        return self.smtp_url is not None

    @property
    def targets(self) -> list[str]:
        """The targets outside this machine to which the tables are published: `s3`, `postgres`, `iceberg`."""
        addresses = {"s3": self.publish_s3, "postgres": self.publish_postgres, "iceberg": self.publish_iceberg}
        return [name for name, address in addresses.items() if address is not None]


class _FromEnvironmentAlone(Settings):
    model_config = SettingsConfigDict(env_file=None)


@cache
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: a variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from None
    except UnicodeDecodeError:
        raise SettingsError("The file .env is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise SettingsError(f"The file .env can't be read: {error.strerror}.") from None


def usable_settings() -> Settings:
    """Return the settings with defaults for invalid values, for diagnostics.

    Raises:
        SettingsError: no settings could be built.
    """
    defaults: dict[str, Any] = {}
    kind = Settings
    for _ in range(len(Settings.model_fields)):
        try:
            return kind(**defaults)
        except ValidationError as error:
            refused = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
            if not refused:
                refused = {"warehouse"} if _A_DATA_PATH in str(error) else _ALERTS | _MAIL
            fields = {str(field.validation_alias or name): field for name, field in Settings.model_fields.items()}
            defaults |= {name: fields[name].default for name in refused}
        except (OSError, UnicodeDecodeError):
            kind = _FromEnvironmentAlone
    raise SettingsError("The environment can't be used.")


def where_set() -> dict[str, str]:
    """Return each variable that is set and looks like ours, with its source: the environment wins over `.env`."""
    return {
        name: place
        for place, values in ((".env", _written()), ("the environment", os.environ))
        for name, value in values.items()
        if value and (name.upper().startswith("TOPO_") or name == "DAGSTER_HOME")
    }


def variables(prefix: str) -> dict[str, str]:
    """Return the variables of another program that are set, such as `AWS_`: the environment wins over `.env`.

    The values may be secrets.
    """
    both = {**_written(), **os.environ}
    return {name: value for name, value in both.items() if value and name.startswith(prefix)}


def _written() -> dict[str, str | None]:
    """Return the variables in `.env`, if it can be read."""
    try:
        return dotenv_values(".env")
    except (OSError, UnicodeDecodeError):
        return {}


def _sentence(problem: dict[str, Any]) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")  # the message names the variables
    name = str(problem["loc"][0])
    variable = name if name.isupper() else f"TOPO_{name.upper()}"
    if problem["type"].startswith("date"):
        return f"{variable} must be a date, for example 2026-03-01"
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.partition(", unable to parse")[0]
    return f"{variable} {message}" if message.startswith("must be") else f"{variable}: {message}"
