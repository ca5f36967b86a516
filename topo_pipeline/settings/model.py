"""The settings of one workspace, as one frozen object."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from topo_pipeline.common.commands import Sources
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules, read_rules
from topo_pipeline.settings import values
from topo_pipeline.settings.environment import variables
from topo_pipeline.settings.values import LAKE, SHARED_LAKE, AbsolutePath, OptionalText, Secret


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
    warehouse: Annotated[str, AfterValidator(values.warehouse)] = Field(
        default="data/topo.duckdb", validate_default=True, repr=False
    )
    lake_data_path: Annotated[Annotated[str, AfterValidator(values.data_path)] | None, values.OR_NONE] = None
    # A name in Postgres has up to 63 characters, and `restore` appends 26.
    lake_schema: Annotated[str, Field(pattern="^[a-z_][a-z0-9_]{0,36}$")] = "topo"
    start_date: date = date(2026, 1, 1)
    timezone: Annotated[str, AfterValidator(values.known_zone)] = "UTC"
    lookback_days: int = Field(default=3, ge=0, le=365)
    requests_per_second: float = Field(default=10, gt=0, le=10_000)
    concurrency: int = Field(default=4, ge=1, le=64)
    completeness: Literal["refuse", "warn"] = "refuse"
    label_channels: Literal["on", "off"] = "on"
    automation: Literal["off", "on"] = "off"
    payload_days: Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, values.OR_NONE] = None
    alert_webhook: Annotated[Secret, AfterValidator(values.private_address)] = None
    alert_slack_token: Secret = None
    alert_slack_channel: OptionalText = None
    alert_webhook_format: Annotated[Literal["text", "teams"] | None, values.OR_NONE] = None
    smtp_url: Annotated[Secret, AfterValidator(values.mail_server)] = None
    report_mail_to: Annotated[OptionalText, AfterValidator(values.mail_addresses)] = None
    report_mail_from: Annotated[OptionalText, AfterValidator(values.mail_address)] = None
    report_url: Annotated[OptionalText, AfterValidator(values.web_address)] = None
    heartbeat_url: Annotated[Secret, AfterValidator(values.private_address)] = None
    dagster_record_days: Annotated[Annotated[int, Field(ge=7, le=36_500)] | None, values.OR_NONE] = None
    report_dir: AbsolutePath = Field(default=Path("data/report"), validate_default=True)
    rules_file: Annotated[Annotated[AbsolutePath, AfterValidator(values.holds_rules)] | None, values.OR_NONE] = Field(
        default=None, validation_alias="TOPO_RULES"
    )
    publish_s3: Annotated[OptionalText, AfterValidator(values.bucket)] = None
    publish_postgres: Secret = None
    publish_postgres_schema: str = Field(default="topo_published", min_length=1, max_length=63)
    publish_iceberg: Annotated[OptionalText, AfterValidator(values.namespace)] = None
    dagster_home: AbsolutePath = Field(default=Path(".dagster"), validation_alias="DAGSTER_HOME", validate_default=True)
    organization: OptionalText = None
    organizations_file: Annotated[AbsolutePath | None, values.OR_NONE] = Field(
        default=Path("organizations.toml"), validation_alias="TOPO_ORGANIZATIONS", validate_default=True
    )

    _key_variable: str = PrivateAttr("TOPO_API_KEY")
    _sources: Sources | None = PrivateAttr(None)

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
            raise ValueError(f"TOPO_LAKE_DATA_PATH must be set for a lake in Postgres: {values.A_DATA_PATH}")
        return self

    @property
    def key_variable(self) -> str:
        """The variable that holds the API key."""
        return self._key_variable

    @property
    def key_advice(self) -> str:
        """What to do if the API key is not set."""
        if self.sources:
            return "Set it in .env or in the environment."
        return (
            "Set it in .env, which topo-pipeline init writes, or in the environment."
            " The demo needs none: topo-pipeline demo"
        )

    @property
    def sources(self) -> Sources | None:
        """Where the settings come from, if that is not the variables of the same name."""
        return self._sources

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
