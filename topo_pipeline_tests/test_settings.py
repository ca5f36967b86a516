"""Settings are read from the environment and .env; an invalid one is a one-line error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.sandbox.demo import environment
from topo_pipeline.settings import Settings, SettingsError, get_settings, variables

VARIABLES = {
    "TOPO_API_KEY", "TOPO_API_URL", "TOPO_WAREHOUSE", "TOPO_START_DATE", "TOPO_TIMEZONE", "TOPO_LOOKBACK_DAYS",
    "TOPO_REQUESTS_PER_SECOND", "TOPO_CONCURRENCY", "TOPO_COMPLETENESS", "TOPO_LABEL_CHANNELS", "TOPO_AUTOMATION",
    "TOPO_ALERT_WEBHOOK", "TOPO_ALERT_SLACK_TOKEN", "TOPO_ALERT_SLACK_CHANNEL", "TOPO_REPORT_DIR", "TOPO_RULES",
    "TOPO_HEARTBEAT_URL", "TOPO_DAGSTER_RECORD_DAYS", "TOPO_PAYLOAD_DAYS", "DAGSTER_HOME",
    "TOPO_PUBLISH_S3", "TOPO_PUBLISH_POSTGRES", "TOPO_PUBLISH_POSTGRES_SCHEMA", "TOPO_PUBLISH_ICEBERG",
    "TOPO_LAKE_DATA_PATH", "TOPO_LAKE_SCHEMA", "TOPO_ALERT_WEBHOOK_FORMAT", "TOPO_SMTP_URL", "TOPO_REPORT_MAIL_TO",
    "TOPO_REPORT_MAIL_FROM", "TOPO_REPORT_URL", "TOPO_ORGANIZATION", "TOPO_ORGANIZATIONS",
}  # fmt: skip
CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without our variables, in an empty folder."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def test_without_variables_the_documented_defaults_apply(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = get_settings()
    assert settings.api_key is None
    assert settings.api_url == "https://api.topo.io/v1"
    assert settings.warehouse == str(tmp_path / "data" / "topo.duckdb")
    assert settings.start_date == date(2026, 1, 1)
    assert settings.zone.key == "UTC"
    assert (settings.lookback_days, settings.requests_per_second, settings.concurrency) == (3, 10, 4)
    assert (settings.completeness, settings.automation) == ("refuse", "off")
    assert settings.report_dir == tmp_path / "data" / "report"
    assert settings.dagster_home == tmp_path / ".dagster"


def test_the_environment_overrides_dotenv(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOPO_API_KEY=topo_from_file\nTOPO_CONCURRENCY=7\nUNRELATED=1\n")
    bare.setenv("TOPO_CONCURRENCY", "2")
    settings = get_settings()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "topo_from_file"
    assert settings.concurrency == 2


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_key_counts_as_unset(bare: pytest.MonkeyPatch, blank: str) -> None:
    bare.setenv("TOPO_API_KEY", blank)
    assert get_settings().api_key is None


def test_all_invalid_variables_are_named_in_one_line(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TOPO_TIMEZONE", "Paris")
    bare.setenv("TOPO_CONCURRENCY", "many")
    bare.setenv("TOPO_COMPLETENESS", "maybe")
    with pytest.raises(SettingsError) as raised:
        get_settings()
    for name in ("TOPO_TIMEZONE", "TOPO_CONCURRENCY", "TOPO_COMPLETENESS"):
        assert name in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["true", "1", "ON", "yes", "running"])
def test_automation_must_be_on_or_off(bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("TOPO_AUTOMATION", value)
    with pytest.raises(SettingsError, match=r"^TOPO_AUTOMATION must be 'off' or 'on'$"):
        get_settings()
    for known in ("off", "on"):
        bare.setenv("TOPO_AUTOMATION", known)
        get_settings.cache_clear()
        assert get_settings().automation == known


def test_payload_days_is_unset_or_a_positive_integer(bare: pytest.MonkeyPatch) -> None:
    assert get_settings().payload_days is None
    for value, kept in {"": None, "1": 1, "365": 365}.items():
        bare.setenv("TOPO_PAYLOAD_DAYS", value)
        get_settings.cache_clear()
        assert get_settings().payload_days == kept
    for value in ("0", "-1", "1.5", "a year"):
        bare.setenv("TOPO_PAYLOAD_DAYS", value)
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match="^TOPO_PAYLOAD_DAYS must be "):
            get_settings()


def test_no_representation_of_the_settings_shows_the_key(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TOPO_API_KEY", "topo_secret_1")
    settings = get_settings()
    shown = [repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()]
    assert not any("topo_secret_1" in text for text in shown)


def test_settings_cannot_be_changed(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        get_settings().concurrency = 9  # type: ignore[misc]


def test_env_example_has_every_variable_with_its_default(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    example = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    shown = dict(line.lstrip("# ").split("=", 1) for line in example.splitlines() if "=" in line)
    assert set(shown) == VARIABLES
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in shown.items() if value))
    assert Settings() == Settings(_env_file=None)


def test_rules_are_read_only_from_the_file_in_topo_rules(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("reply_window_days = 21\n")
    assert get_settings().rules == DEFAULT_RULES
    bare.setenv("TOPO_RULES", "rules.toml")
    get_settings.cache_clear()
    assert get_settings().rules.reply_window_days == 21
    assert get_settings().rules_file == tmp_path / "rules.toml"


def test_an_invalid_rules_file_is_an_error_that_names_the_variable(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("TOPO_RULES", "none.toml")
    with pytest.raises(SettingsError, match=r"^TOPO_RULES: .*none\.toml cannot be read: No such file or directory$"):
        get_settings()
    (tmp_path / "bad.toml").write_text("reply_days = 21\n")
    bare.setenv("TOPO_RULES", "bad.toml")
    with pytest.raises(SettingsError, match=r"^TOPO_RULES: .*bad\.toml: reply_days: unknown rule"):
        get_settings()


@pytest.mark.parametrize(
    "address",
    [
        "hooks.example.com/T0PRIVATE",
        "http://hooks.example.com/T0PRIVATE",
        "ftp://127.0.0.1/T0PRIVATE",
        "https://[T0PRIVATE",
    ],
)
@pytest.mark.parametrize("variable", ["TOPO_ALERT_WEBHOOK", "TOPO_HEARTBEAT_URL"])
def test_an_insecure_or_invalid_url_is_refused_without_showing_it(
    bare: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    bare.setenv(variable, address)
    with pytest.raises(SettingsError, match=f"^{variable} must be .*begins with https://") as raised:
        get_settings()
    assert "T0PRIVATE" not in str(raised.value)


def test_dagster_record_days_is_unset_or_at_least_seven(bare: pytest.MonkeyPatch) -> None:
    assert get_settings().dagster_record_days is None
    for value, says in (("6", "greater than or equal to 7"), ("soon", "valid integer")):
        get_settings.cache_clear()
        bare.setenv("TOPO_DAGSTER_RECORD_DAYS", value)
        with pytest.raises(SettingsError, match=f"^TOPO_DAGSTER_RECORD_DAYS must be .*{says}"):
            get_settings()


def test_alerts_have_one_destination_and_slack_needs_a_channel(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TOPO_ALERT_SLACK_TOKEN", "xoxb-T0PRIVATE")
    with pytest.raises(
        SettingsError, match="^TOPO_ALERT_SLACK_TOKEN and TOPO_ALERT_SLACK_CHANNEL must be set together$"
    ):
        get_settings()
    bare.setenv("TOPO_ALERT_SLACK_CHANNEL", "#data")
    assert "T0PRIVATE" not in repr(get_settings())
    get_settings.cache_clear()
    bare.setenv("TOPO_ALERT_WEBHOOK", "https://hooks.example.com/T0PRIVATE")
    with pytest.raises(SettingsError, match="can't both be set: alerts go to one place$") as raised:
        get_settings()
    assert "T0PRIVATE" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "mail.example.com:465",
        "https://mail.example.com",
        "smtp://",
        "smtp://me@mail.example.com",
        "smtps://me:T0PRIVATE@mail.example.com:x",
        "smtps://me:T0PRIVATE#1@mail.example.com",
        "smtps://me:T0PRIVATE@mail.example.com/inbox",
        "smtps://me:T0PRIVATE@[mail.example.com",
    ],
)
def test_an_invalid_mail_server_is_refused_without_showing_it(bare: pytest.MonkeyPatch, address: str) -> None:
    bare.setenv("TOPO_SMTP_URL", address)
    with pytest.raises(SettingsError, match="^TOPO_SMTP_URL must be an address such as smtps://") as raised:
        get_settings()
    assert "T0PRIVATE" not in str(raised.value)


MAIL = {
    "TOPO_SMTP_URL": "smtps://me:T0PRIVATE%40@mail.example.com",
    "TOPO_REPORT_MAIL_TO": "ada@example.com,  bo@example.org ",
    "TOPO_REPORT_MAIL_FROM": "topo@example.com",
}


def test_mail_needs_a_server_a_sender_and_recipients(bare: pytest.MonkeyPatch) -> None:
    for left_out in MAIL:
        for name, value in MAIL.items():
            bare.setenv(name, " " if name == left_out else value)
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match="TOPO_REPORT_MAIL_FROM must be set together$"):
            get_settings()
    bare.setenv("TOPO_REPORT_MAIL_FROM", MAIL["TOPO_REPORT_MAIL_FROM"])
    settings = get_settings()
    assert (settings.report_mail_to, settings.has_mail) == ("ada@example.com, bo@example.org", True)
    assert "T0PRIVATE" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize("name", ["TOPO_REPORT_MAIL_TO", "TOPO_REPORT_MAIL_FROM"])
@pytest.mark.parametrize("value", ["ada", "a@x\nBcc: eve@example.com", "Ada <ada@example.com>", ",", "a@x, ", "a b@x"])
def test_an_invalid_mail_address_is_named(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    for other, fine in MAIL.items():
        bare.setenv(other, fine)
    bare.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: .*is not a mail address"):
        get_settings()


@pytest.mark.parametrize("value", ["reports.example.com", "file:///srv/report.html", "https://x y"])
def test_the_reports_address_is_a_web_address(bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("TOPO_REPORT_URL", value)
    with pytest.raises(SettingsError, match="^TOPO_REPORT_URL: .*is not an address such as https://"):
        get_settings()


def test_a_webhooks_format_is_text_or_teams(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TOPO_ALERT_WEBHOOK_FORMAT", "xml")
    with pytest.raises(SettingsError, match="^TOPO_ALERT_WEBHOOK_FORMAT must be 'text' or 'teams'$"):
        get_settings()


def test_each_address_adds_a_target(bare: pytest.MonkeyPatch) -> None:
    assert (get_settings().targets, get_settings().publish_postgres_schema) == ([], "topo_published")
    bare.setenv("TOPO_PUBLISH_S3", "s3://a-bucket/a folder/")
    bare.setenv("TOPO_PUBLISH_POSTGRES", "postgresql://user:T0PRIVATE@127.0.0.1/x")
    bare.setenv("TOPO_PUBLISH_ICEBERG", "lakehouse.topo")
    get_settings.cache_clear()
    settings = get_settings()
    assert settings.targets == ["s3", "postgres", "iceberg"]
    assert settings.publish_s3 == "s3://a-bucket/a folder"
    assert "T0PRIVATE" not in repr(settings) + settings.model_dump_json()
    bare.setenv("TOPO_PUBLISH_S3", " ")
    get_settings.cache_clear()
    assert get_settings().targets == ["postgres", "iceberg"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOPO_PUBLISH_S3", "https://a-bucket/folder"),
        ("TOPO_PUBLISH_S3", "s3://"),
        ("TOPO_PUBLISH_S3", "s3://a-bucket/folder?x"),
        ("TOPO_PUBLISH_ICEBERG", "lakehouse"),
        ("TOPO_PUBLISH_ICEBERG", ".topo"),
        ("TOPO_PUBLISH_ICEBERG", "lakehouse."),
        ("TOPO_PUBLISH_POSTGRES_SCHEMA", "x" * 64),
    ],
)
def test_an_invalid_target_is_an_error_that_names_the_variable(
    bare: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    bare.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        get_settings()


def test_variables_of_other_programs_are_read_from_dotenv_too(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTHER_KEY=from the file\nOTHER_REGION=from the file\nOTHER_EMPTY=\nANOTHER=1\n")
    bare.setenv("OTHER_REGION", "from the environment")
    assert variables("OTHER_") == {"OTHER_KEY": "from the file", "OTHER_REGION": "from the environment"}


def test_the_demo_ignores_dotenv(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strange = {name: "https://strange.example/x" for name in VARIABLES} | {"TOPO_RULES": "none.toml"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in strange.items()))
    for name, value in environment("http://127.0.0.1:9/v1", date(2026, 11, 30)).items():
        bare.setenv(name, value)
    settings = get_settings()
    assert "strange" not in str(settings.model_dump())
    assert (settings.alert_webhook, settings.alert_slack_token, settings.rules_file) == (None, None, None)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as a user without privileges, because root can read any file."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_unreadable_dotenv_file_is_an_error(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("TOPO_LOOKBACK_DAYS=5")
    file.chmod(0)
    tmp_path.chmod(0o755)
    with unprivileged(), pytest.raises(SettingsError, match=r"\.env can't be read: Permission denied"):
        get_settings()


SHARED = "ducklake:postgres:host=db.example.com password=very-secret"


def test_a_shared_lake_has_a_data_path_and_its_password_is_not_shown(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("TOPO_WAREHOUSE", SHARED)
    with pytest.raises(SettingsError, match="^TOPO_LAKE_DATA_PATH must be set") as caught:
        get_settings()
    assert "very-secret" not in str(caught.value)
    bare.setenv("TOPO_LAKE_DATA_PATH", "files")
    settings = get_settings()
    assert (settings.warehouse, settings.lake_data_path) == (SHARED, str(tmp_path / "files"))
    assert settings.lake_schema == "topo"
    assert "very-secret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    "target", ["postgresql://me:very-secret@db/lake", "ducklake:postgresql://me:very-secret@db/lake"]
)
def test_a_database_in_another_form_is_refused_without_quoting_it(bare: pytest.MonkeyPatch, target: str) -> None:
    bare.setenv("TOPO_WAREHOUSE", target)
    with pytest.raises(SettingsError, match="begins with ducklake:postgres:") as caught:
        get_settings()
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(("length", "is_accepted"), [(37, True), (38, False)])
def test_the_name_of_a_lakes_schema_has_room_for_the_suffix_of_a_replaced_lake(
    bare: pytest.MonkeyPatch, length: int, is_accepted: bool
) -> None:
    bare.setenv("TOPO_LAKE_SCHEMA", "s" * length)
    with nullcontext() if is_accepted else pytest.raises(SettingsError, match="TOPO_LAKE_SCHEMA"):
        assert len(f"{get_settings().lake_schema}_replaced_20260603t000000z") == 63


@pytest.mark.parametrize("path", ["s3://", "s3://Upper/x", "gs://bucket/x"])
def test_a_data_path_is_a_folder_or_in_s3(bare: pytest.MonkeyPatch, path: str) -> None:
    bare.setenv("TOPO_LAKE_DATA_PATH", path)
    with pytest.raises(SettingsError, match="TOPO_LAKE_DATA_PATH.*s3://bucket/folder"):
        get_settings()
