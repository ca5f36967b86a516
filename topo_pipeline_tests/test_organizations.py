"""organizations.toml: the settings of each organization, and what is wrong with them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
import stamina
import typer
import yaml

from topo_pipeline.cli import dev
from topo_pipeline.settings import OrganizationError, Settings, SettingsError, choose, get_settings, of_organizations
from topo_pipeline.templates import workspace
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.test_settings import bare  # noqa: F401 - a fixture

LAKE = "ducklake:postgres:host=db.example.com dbname=lake"


def organizations(folder: Path, text: str) -> dict[str, Settings | SettingsError]:
    (folder / "organizations.toml").write_text(text)
    found = of_organizations()
    assert found is not None
    return found


def one(folder: Path, table: str) -> Settings:
    [settings] = organizations(folder, f'[acme]\napi_key_variable = "ACME_KEY"\n{table}').values()
    assert isinstance(settings, Settings), settings
    return settings


def problem(folder: Path, text: str) -> str:
    [error] = [found for found in organizations(folder, text).values() if isinstance(found, SettingsError)]
    return str(error)


def test_without_the_file_there_are_no_organizations(bare: pytest.MonkeyPatch) -> None:  # noqa: F811
    assert of_organizations() is None
    assert get_settings().organization is None


def test_a_key_comes_from_the_variable_that_is_named(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    bare.setenv("TOPO_API_KEY", "topo_of_nobody")
    assert one(tmp_path, "").api_key is None
    (tmp_path / ".env").write_text("ACME_KEY=topo_of_acme\n")
    settings = one(tmp_path, "")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "topo_of_acme"
    assert settings.key_variable == "ACME_KEY"


def test_a_table_overrides_the_environment_and_leaves_the_rest_to_it(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    bare.setenv("TOPO_TIMEZONE", "Asia/Tokyo")
    bare.setenv("TOPO_LOOKBACK_DAYS", "7")
    bare.setenv("TOPO_RULES", "/nowhere/rules.toml")
    (tmp_path / "acme.toml").write_text("reply_window_days = 14\n")
    bare.delenv("TOPO_RULES")
    settings = one(tmp_path, 'timezone = "Europe/Paris"\nstart_date = 2025-11-03\nrules = "acme.toml"\n')
    assert (settings.timezone, str(settings.start_date), settings.lookback_days) == ("Europe/Paris", "2025-11-03", 7)
    assert settings.rules.reply_window_days == 14


@pytest.mark.parametrize(
    ("warehouse", "expected"),
    [
        ("data/topo.duckdb", ("data/acme.duckdb", "data/globex.duckdb")),
        ("ducklake:lake/topo.ducklake", ("ducklake:lake/acme.ducklake", "ducklake:lake/globex.ducklake")),
    ],
)
def test_each_has_a_warehouse_and_a_report_folder_of_its_own(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
    warehouse: str,
    expected: tuple[str, str],
) -> None:
    bare.setenv("TOPO_WAREHOUSE", warehouse)
    found = organizations(tmp_path, '[acme]\napi_key_variable = "A"\n[globex]\napi_key_variable = "G"\n')
    places = [settings.warehouse for settings in found.values() if isinstance(settings, Settings)]
    assert tuple(place.replace(f"{tmp_path}/", "") for place in places) == expected
    folders = [settings.report_dir for settings in found.values() if isinstance(settings, Settings)]
    assert folders == [tmp_path / "data" / "report" / name for name in ("acme", "globex")]


def test_in_a_lake_in_postgres_each_has_a_schema_of_its_own(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    bare.setenv("TOPO_WAREHOUSE", LAKE)
    bare.setenv("TOPO_LAKE_DATA_PATH", "s3://bucket/lake")
    settings = one(tmp_path, "")
    assert (settings.warehouse, settings.lake_schema, settings.lake_data_path) == (LAKE, "acme", "s3://bucket/lake")


def test_what_is_published_is_apart_too(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    for name, value in {"S3": "s3://bucket/topo", "POSTGRES": "host=db", "ICEBERG": "lakehouse.topo"}.items():
        bare.setenv(f"TOPO_PUBLISH_{name}", value)
    settings = one(tmp_path, "")
    assert settings.publish_s3 == "s3://bucket/topo/acme"
    assert settings.publish_postgres_schema == "topo_published_acme"
    assert settings.publish_iceberg == "lakehouse.topo_acme"


def test_a_heartbeat_and_a_report_address_are_not_those_of_all(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    bare.setenv("TOPO_HEARTBEAT_URL", "https://monitor.example.com/all")
    bare.setenv("TOPO_REPORT_URL", "https://reports.example.com/all.html")
    bare.setenv("ACME_BEAT", "https://monitor.example.com/acme")
    assert (one(tmp_path, "").heartbeat_url, one(tmp_path, "").report_url) == (None, None)
    own = one(tmp_path, 'heartbeat_url_variable = "ACME_BEAT"\n').heartbeat_url
    assert own is not None
    assert own.get_secret_value() == "https://monitor.example.com/acme"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('timezone = "Paris"', "[acme]: timezone: 'Paris' is not an IANA time zone"),
        ("concurrency = 0", "[acme]: concurrency must be greater than or equal to 1"),
        ('start_dat = "2026-01-01"', "[acme]: start_dat is not a setting, unlike start_date."),
        ("warehouse = 5", "[acme]: warehouse must be a valid string"),
        ('timezone_variable = "ACME_ZONE"', "[acme]: timezone_variable: ACME_ZONE is not set"),
        ('timezone = "UTC"\ntimezone_variable = "TZ"', "[acme]: timezone and timezone_variable can't both be set"),
        ('api_key = "topo_x"', "[acme]: api_key is a secret: set api_key_variable to the name of a variable"),
        ("smtp_url_variable = 3", "[acme]: smtp_url_variable must be the name of a variable"),
        ('dagster_home = "x"', "[acme]: dagster_home is not a setting"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence_that_names_the_file(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
    table: str,
    expected: str,
) -> None:
    said = problem(tmp_path, f'[acme]\napi_key_variable = "A"\n{table}\n[globex]\napi_key_variable = "G"\n')
    assert said.startswith(f"{tmp_path / 'organizations.toml'}, ")
    assert expected in said
    assert "topo_x" not in said


def test_settings_that_belong_together_are_named_as_the_table_names_them(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    bare.setenv("ACME_MAIL", "smtp://mail.example.com")
    table = '[acme]\napi_key_variable = "A"\nreport_mail_to = "ada@example.com"\nsmtp_url_variable = "ACME_MAIL"\n'
    expected = "[acme]: ACME_MAIL, report_mail_to of acme and report_mail_from of acme must be set together."
    assert problem(tmp_path, table).endswith(expected)


def test_a_channel_without_a_token_of_its_own_names_the_key_for_the_token(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    bare.setenv("TOPO_ALERT_SLACK_TOKEN", "xoxb-all")
    bare.setenv("TOPO_ALERT_SLACK_CHANNEL", "#all")
    expected = "[acme]: alert_slack_token_variable of acme and alert_slack_channel of acme must be set together."
    table = '[acme]\napi_key_variable = "A"\nalert_slack_channel = "#acme"\n'
    assert problem(tmp_path, table).endswith(expected)


def test_a_channel_of_its_own_may_have_the_token_of_all(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    bare.setenv("TOPO_ALERT_SLACK_TOKEN", "xoxb-all")
    bare.setenv("TOPO_ALERT_SLACK_CHANNEL", "#all")
    own = one(tmp_path, 'alert_slack_token_variable = "TOPO_ALERT_SLACK_TOKEN"\nalert_slack_channel = "#acme"\n')
    assert own.alert_slack_token is not None
    assert (own.alert_slack_token.get_secret_value(), own.alert_slack_channel) == ("xoxb-all", "#acme")


def test_a_schema_of_all_is_not_named_as_the_source_of_an_organizations_schema(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    for name, value in {"WAREHOUSE": LAKE, "LAKE_DATA_PATH": "s3://bucket/lake", "LAKE_SCHEMA": "all"}.items():
        bare.setenv(f"TOPO_{name}", value)
    settings = one(tmp_path, "")
    assert settings.lake_schema == "acme"
    assert settings.sources is not None
    assert settings.sources.named("TOPO_LAKE_SCHEMA") == "lake_schema of acme in organizations.toml"


def test_a_table_without_a_key_variable_is_refused(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    assert "[acme]: api_key_variable is missing" in problem(tmp_path, "[acme]\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no organization"),
        ("[acme", "organizations.toml: "),
        ('api_key_variable = "A"', "api_key_variable must be in the table of an organization"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
    text: str,
    expected: str,
) -> None:
    with pytest.raises(SettingsError) as raised:
        organizations(tmp_path, text)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_wrong_with_a_name_stops_only_that_organization(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    names = ["acme", "Acme", "acme-uk", "a" * 31]
    found = organizations(tmp_path, "".join(f'[{name}]\napi_key_variable = "{name}"\n' for name in names))
    assert isinstance(found["acme"], Settings)
    for name in names[1:]:
        assert f"[{name}]: a name begins with a letter and has up to 30 lower-case letters" in str(found[name])


def test_the_alerts_of_an_organization_replace_those_of_the_environment(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    bare.setenv("TOPO_ALERT_SLACK_TOKEN", "xoxb-all")
    bare.setenv("TOPO_ALERT_SLACK_CHANNEL", "#all")
    bare.setenv("ACME_HOOK", "https://chat.example.com/acme")
    assert one(tmp_path, "").alert_slack_channel == "#all"
    own = one(tmp_path, 'alert_webhook_variable = "ACME_HOOK"\n')
    assert (own.alert_slack_channel, own.alert_slack_token) == (None, None)
    assert own.alert_webhook is not None


@pytest.mark.parametrize(
    ("acme", "globex", "what"),
    [
        ('warehouse = "data/one.duckdb"', 'warehouse = "data/../data/one.duckdb"', "warehouse is also that of"),
        ('warehouse = "data/one.duckdb"', 'warehouse = "link/one.duckdb"', "warehouse is also that of"),
        ('warehouse = "data/one"', 'warehouse = "ducklake:data/one"', "warehouse is also that of"),
        ('report_dir = "r/acme"', 'report_dir = "r"', "report_dir is in that of globex"),
    ],
)
def test_a_place_that_is_written_in_another_way_is_recognized(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
    acme: str,
    globex: str,
    what: str,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    text = f'[acme]\napi_key_variable = "A"\n{acme}\n[globex]\napi_key_variable = "G"\n{globex}\n'
    assert what in str(organizations(tmp_path, text)["acme"])


def test_two_sandboxes_may_have_the_same_key(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    bare.setenv("SAME", "topo_sandbox")
    text = "".join(
        f'[{name}]\napi_key_variable = "SAME"\napi_url = "http://127.0.0.1:{port}/v1"\n'
        for name, port in {"acme": 8100, "globex": 8101}.items()
    )
    assert all(isinstance(found, Settings) for found in organizations(tmp_path, text).values())


@pytest.mark.parametrize(
    ("both", "what"),
    [
        ('warehouse = "one.duckdb"', "warehouse"),
        ('report_dir = "reports"', "report_dir"),
        ('publish_s3 = "s3://bucket/one"', "publish_s3"),
        ('api_key_variable = "SAME"', "the key in SAME"),
    ],
)
def test_two_organizations_cannot_share_a_key_or_a_place(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
    both: str,
    what: str,
) -> None:
    bare.setenv("SAME", "topo_of_both")
    keys = [] if both.startswith("api_key") else ['api_key_variable = "{}"']
    tables = [
        "\n".join([f"[{name}]", both, *(key.format(name.upper()) for key in keys)])
        for name in ("acme", "globex", "initech")
    ]
    tables[2] = '[initech]\napi_key_variable = "INITECH"'
    found = organizations(tmp_path, "\n".join(tables))
    assert str(found["acme"]).endswith(f"[acme]: {what} is also that of globex.")
    assert str(found["globex"]).endswith(f"[globex]: {what} is also that of acme.")
    assert isinstance(found["initech"], Settings)


def test_the_settings_of_the_process_are_those_of_the_chosen_organization(
    bare: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    organizations(tmp_path, '[acme]\napi_key_variable = "A"\n[globex]\napi_key_variable = "G"\n')
    with pytest.raises(OrganizationError, match=r"has the organizations acme, globex\. Choose one\."):
        get_settings()
    bare.setenv("TOPO_ORGANIZATION", "")  # so that the test restores it
    choose("globex")
    assert get_settings().organization == "globex"
    choose("initech")
    with pytest.raises(OrganizationError, match="initech is not one of the organizations: acme, globex"):
        get_settings()


def test_a_file_that_is_named_must_exist(bare: pytest.MonkeyPatch) -> None:  # noqa: F811
    bare.setenv("TOPO_ORGANIZATIONS", "elsewhere.toml")
    with pytest.raises(SettingsError, match="elsewhere.toml can't be read: No such file or directory"):
        get_settings()


@pytest.fixture
def agency(tmp_path: Path) -> Path:
    tables = [f'[{name}]\napi_key_variable = "{name.upper()}_KEY"\n' for name in ("acme", "globex")]
    (tmp_path / "organizations.toml").write_text("".join(tables) + "[initech]\napi_key_variable = 1\n")
    return tmp_path


def test_a_warehouse_that_no_organization_has_is_named(agency: Path) -> None:
    (agency / "data").mkdir()
    (agency / "data" / "topo.duckdb").touch()
    assert "data/topo.duckdb is the warehouse of no organization." in answer(agency, "organizations").stderr
    with (agency / "organizations.toml").open("a") as file:
        file.write('[before]\napi_key_variable = "BEFORE_KEY"\nwarehouse = "data/topo.duckdb"\n')
    assert "of no organization" not in answer(agency, "organizations").stderr


def test_a_command_without_an_organization_says_how_to_choose_one(agency: Path) -> None:
    done = answer(agency, "status")
    assert_one_sentence(done, "has the organizations acme, globex, initech. Choose one.")
    assert "--organization acme" in done.stderr
    assert done.returncode == 2


def test_the_organization_may_come_after_the_command(agency: Path) -> None:
    for words in (
        ("status", "--organization", "acme"),
        ("status", "--json", "--organization=acme"),
        ("explain", "--organization", "acme", "A sequence"),
    ):
        assert_one_sentence(answer(agency, *words), "data/acme.duckdb yet.")


@pytest.mark.parametrize("command", ["status", "doctor", "report", "explain x"])
def test_a_command_for_an_organization_that_cannot_be_used_does_nothing_else(agency: Path, command: str) -> None:
    done = answer(agency, "--organization", "initech", *command.split())
    assert_one_sentence(done, "[initech]: api_key_variable must be the name of a variable")
    assert [path.name for path in agency.iterdir()] == ["organizations.toml"]


def test_the_list_shows_each_and_fails_if_one_cannot_be_used(agency: Path) -> None:
    done = answer(agency, "organizations", "--json", ACME_KEY="topo_of_acme", TOPO_WAREHOUSE="data/topo.duckdb")
    listed = {each["name"]: each for each in json.loads(done.stdout)}
    assert [listed[name]["status"] for name in ("acme", "globex")] == [
        "No day has landed yet.", "GLOBEX_KEY is not set. No day has landed yet."
    ]  # fmt: skip
    assert "[initech]: api_key_variable must be the name of a variable" in listed["initech"]["status"]
    assert done.returncode == 1
    shown = answer(agency, "organizations", ACME_KEY="topo_of_acme")
    assert shown.returncode == 1
    assert "topo_of_acme" not in shown.stdout + shown.stderr + done.stdout


def test_the_list_writes_each_status_for_its_organization(agency: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (agency / "organizations.toml").write_text(
        '[acme]\napi_key_variable = "A"\n'
        '[globex]\napi_key_variable = "G"\nwarehouse = "ducklake:postgres:nonsense"\nlake_data_path = "lake"\n'
        '[initech]\napi_key_variable = "I"\n'
    )
    looked_at = set[str]()

    def exists_once(warehouse: Warehouse) -> bool:
        is_first = warehouse.name not in looked_at
        looked_at.add(warehouse.name)
        return is_first

    monkeypatch.setattr(Warehouse, "exists", exists_once)
    done = answer(agency, "--organization", "acme", "organizations", "--json", TOPO_WAREHOUSE=None)
    listed = {each["name"]: each["status"] for each in json.loads(done.stdout)}
    assert listed["globex"].startswith("warehouse of globex in organizations.toml has no valid connection string")
    for name in ("acme", "initech"):
        assert listed[name].endswith(f"Read a day first: topo-pipeline --organization {name} backfill yesterday.")


@pytest.fixture
def in_paris(agency: Path) -> Path:
    """The warehouse of acme has days of Europe/Paris, and the table says nothing about it."""
    with Warehouse(str(agency / "data" / "acme.duckdb")).transaction() as connection:
        bind_timezone(connection, "Europe/Paris", now=datetime(2026, 3, 1, tzinfo=UTC))
    return agency


def test_doctor_names_the_keys_of_the_table_for_another_time_zone(in_paris: Path) -> None:
    own = {"ACME_KEY": "topo_of_acme", "TOPO_TIMEZONE": None}
    expected = (
        "but timezone of acme in organizations.toml is UTC.",
        "Set timezone = 'Europe/Paris' for acme in organizations.toml, or set warehouse of acme to another file.",
    )
    shown = answer(in_paris, "--organization", "acme", "doctor", **own).stdout
    assert all(words in shown for words in expected), shown
    found = json.loads(answer(in_paris, "--organization", "acme", "doctor", "--json", **own).stdout)["findings"]
    [finding] = [each for each in found if each["check"] == "warehouse"]
    assert (finding["found"].endswith(expected[0]), finding["do"]) == (True, expected[1])
    shown = answer(in_paris, "doctor", TOPO_ORGANIZATION="acme", **own | {"TOPO_TIMEZONE": "UTC"}).stdout
    assert "but TOPO_TIMEZONE is UTC. Set timezone = 'Europe/Paris' for acme in organizations.toml" in shown


def test_an_early_day_names_the_key_of_the_table(agency: Path) -> None:
    with (agency / "organizations.toml").open("a") as file:
        file.write('[late]\napi_key_variable = "L"\nstart_date = 2026-03-01\n')
    done = answer(agency, "--organization", "late", "backfill", "2026-02-01", L="topo_of_late")
    assert_one_sentence(
        done,
        "2026-02-01 is before start_date of late in organizations.toml (2026-03-01).",
        "To read it, set start_date = 2026-02-01 for late.",
    )


def test_in_a_pipe_the_list_is_plain_text_with_a_line_for_each(agency: Path) -> None:
    lines = answer(agency, "organizations").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Organization", "acme", "globex", "initech"]
    assert all(character.isascii() or character == "–" for line in lines for character in line)


def test_write_that_fails_fails(agency: Path) -> None:
    (agency / "workspace.yaml").mkdir()
    done = answer(agency, "organizations", "--write", ACME_KEY="topo_of_acme", GLOBEX_KEY="topo_of_globex")
    assert_one_sentence(done, "workspace.yaml")


def test_write_writes_a_workspace_file_with_a_location_for_each(agency: Path) -> None:
    done = answer(agency, "organizations", "--write", ACME_KEY="topo_of_acme")
    assert done.returncode == 0, done.stderr
    warned = done.stderr.splitlines()
    assert len(warned) == 2
    for warning, name, status in zip(
        warned,
        ("globex", "initech"),
        ("GLOBEX_KEY is not set.", "[initech]: api_key_variable must be the name of a variable"),
        strict=True,
    ):
        assert warning.startswith(f"workspace.yaml lists {name} too, but it can't be read from Topo yet. ")
        assert status in warning
    text = (agency / "workspace.yaml").read_text()
    assert [line.split()[-1] for line in text.splitlines() if "location_name" in line] == [
        '"acme"', '"globex"', '"initech"'
    ]  # fmt: skip
    assert text == (agency / ".dagster" / "workspace.yaml").read_text()


def test_dev_serves_all_and_prints_what_is_wrong_with_one(agency: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = []

    def serve(_port: int, environment: dict[str, str], title: str, **_: bool) -> NoReturn:
        served.extend([environment["TOPO_ORGANIZATIONS"], title])
        raise typer.Exit

    monkeypatch.setattr(dev, "_serve", serve)
    done = answer(agency, "dev", "--port", "3997", ACME_KEY="topo_of_acme", TOPO_ORGANIZATION="acme")
    assert served == [str(agency / "organizations.toml"), "Starting Dagster's UI for acme, globex, initech."]
    assert "GLOBEX_KEY is not set" in done.stderr
    assert "[initech]: api_key_variable must be the name of a variable" in done.stderr


def test_a_command_for_one_prepares_the_locations_of_all(agency: Path) -> None:
    """Otherwise the others would be left out when Dagster's services read the file again."""
    with stamina.set_testing(True, attempts=1):  # nothing answers
        answer(agency, "--organization", "acme", "backfill", "2026-03-01", tables=(), ACME_KEY="topo_of_acme")
    text = (agency / ".dagster" / "workspace.yaml").read_text()
    assert [f'location_name: "{name}"' in text for name in ("acme", "globex", "initech")] == [True] * 3


def test_a_name_that_yaml_would_read_as_a_value_is_text_in_the_workspace_file() -> None:
    for name in ("on", "no", "null", "yes"):
        [entry] = yaml.safe_load(workspace([name]))["load_from"]
        assert entry["python_module"]["location_name"] == name


def test_doctor_does_not_look_at_another_workspace_if_the_environment_is_invalid(agency: Path) -> None:
    done = answer(agency, "--organization", "acme", "doctor", TOPO_LOOKBACK_DAYS="bad")
    assert_one_sentence(done, "TOPO_LOOKBACK_DAYS")


def test_doctor_sends_nobody_with_several_organizations_to_init_or_the_demo(agency: Path) -> None:
    done = answer(agency, "--organization", "globex", "doctor", "--json", TOPO_API_URL="http://127.0.0.1:9/v1")
    [key] = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "key"]
    assert key["found"] == "GLOBEX_KEY is not set."
    assert not {"init", "demo", "Demo"} & set(re.findall(r"\w+", key["do"]))


def test_doctor_knows_the_variables_that_the_file_names(agency: Path) -> None:
    (agency / "organizations.toml").write_text('[acme]\napi_key_variable = "TOPO_ACME_KEY"\n')
    url = {"TOPO_API_URL": "http://127.0.0.1:9/v1"}
    shown = answer(agency, "--organization", "acme", "doctor", TOPO_ACME_KEY="topo_of_acme", **url).stdout
    assert "is not a known setting" not in shown
    assert "organizations.toml, [acme], and for the rest .env and the environment" in shown


def test_without_the_file_the_list_says_where_it_is_documented(tmp_path: Path) -> None:
    assert_one_sentence(answer(tmp_path, "organizations"), "There is no organizations.toml", "docs/scale.md")
