"""Doctor's checks of settings, the key, Topo, the clock and request limits."""

from datetime import timedelta
from pathlib import Path

import pytest

from topo_pipeline.sandbox.faults import Answer as AnswerFault
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.doctor.conftest import Examine, now, serving
from topo_pipeline_tests.topo_api.helpers import Answer, Request, Scripted, page_of, problem_of

EVERY_CHECK = {
    "settings", "topo", "key", "clock", "rate", "warehouse", "days", "heartbeat", "message",
    "dagster home", "permissions", "automation",
}  # fmt: skip
UNREACHABLE = "http://127.0.0.1:9/v1"


def test_a_fresh_checkout_with_a_valid_key_has_no_problem_and_is_not_changed(finds: Examine, tmp_path: Path) -> None:
    found = finds()
    assert found.keys() == EVERY_CHECK
    assert {check for check, finding in found.items() if finding.level != "ok"} == {
        "warehouse", "days", "dagster home", "automation",
    }  # fmt: skip
    assert not [finding for finding in found.values() if finding.level == "problem"]
    assert "may read activities and sequences" in found["key"].found
    assert list(tmp_path.iterdir()) == []


def test_without_a_key_doctor_still_checks_whether_topo_is_reachable(finds: Examine) -> None:
    found = finds(TOPO_API_KEY=None)
    assert (found["key"].level, found["key"].found) == ("problem", "TOPO_API_KEY is not set.")
    assert found["topo"].level == "ok"
    assert found["clock"].level == "ok"


def test_a_missing_key_and_an_unreachable_topo_are_both_reported(finds: Examine) -> None:
    found = finds(TOPO_API_KEY=None, TOPO_API_URL=UNREACHABLE)
    assert [found[check].level for check in ("topo", "key")] == ["problem", "problem"]
    assert "127.0.0.1:9" in found["topo"].found


def test_if_topo_is_unreachable_only_the_checks_that_need_it_are_skipped(finds: Examine) -> None:
    found = finds(TOPO_API_URL=UNREACHABLE)
    assert found.keys() == EVERY_CHECK
    assert found["topo"].level == "problem"
    assert {found[check].found for check in ("key", "clock", "rate")} == {"Not checked: 127.0.0.1:9 was not reached."}


def test_a_wrong_key_is_reported_without_showing_it(finds: Examine) -> None:
    found = finds(TOPO_API_KEY="topo_wrong_0123456789")
    assert found["key"].level == "problem"
    assert found["topo"].level == "ok"
    assert "topo_wrong" not in str(found)


@pytest.mark.parametrize(
    ("scopes", "level", "scope"),
    [(["sequences:read"], "problem", "activities:read"), (["activities:read"], "warning", "sequences:read")],
)
def test_a_missing_scope_is_named(finds: Examine, world: World, scopes: list[str], level: str, scope: str) -> None:
    with serving(world, scopes=scopes) as address:
        key = finds(TOPO_API_URL=address)["key"]
    assert key.level == level
    assert scope in key.do


class _WithoutMe(Scripted):
    """A Topo API without the endpoint `/me`."""

    async def answer(self, request: Request) -> Answer:
        unknown = Answer(problem_of(404, "NotFoundIssue"), 404)
        return unknown if request.path.endswith("/me") else self.answers[0]


def test_a_missing_me_endpoint_is_a_warning(finds: Examine) -> None:
    with serve(_WithoutMe(Answer(page_of([])))) as address:
        found = finds(TOPO_API_URL=f"{address}/v1")
    assert [found[check].level for check in ("topo", "key")] == ["ok", "warning"]


@pytest.mark.parametrize("answer", [Answer(b"<html>Welcome</html>"), Answer(problem_of(400, "ValidationIssue"), 400)])
def test_the_url_of_another_site_is_a_problem(finds: Examine, answer: Answer) -> None:
    with serve(Scripted(answer)) as address:
        topo = finds(TOPO_API_URL=f"{address}/v1")["topo"]
    assert topo.level == "problem"
    assert "TOPO_API_URL" in topo.do


def test_topos_rate_limit_headers_are_shown_with_our_limit(finds: Examine) -> None:
    answer = Answer(page_of([]), headers={"X-RateLimit-Remaining": "17", "Retry-After": "0"})
    with serve(_WithoutMe(answer)) as address:
        rate = finds(TOPO_API_URL=f"{address}/v1", TOPO_REQUESTS_PER_SECOND="7")["rate"]
    assert rate.level == "ok"
    assert "7 requests per second" in rate.found
    assert "x-ratelimit-remaining: 17" in rate.found


@pytest.mark.parametrize("status", [429, 403, 400])
def test_a_rate_limit_response_is_a_warning_to_send_fewer_requests(finds: Examine, world: World, status: int) -> None:
    limited = AnswerFault(status=status, body='{"message": "API rate limit exceeded"}')
    with serving(world, faults=[limited]) as address:
        found = finds(TOPO_API_URL=address)
    assert found["rate"].level == "warning"
    assert "TOPO_REQUESTS_PER_SECOND" in found["rate"].do
    assert found["key"].level == "ok"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"HTTPS_PROXY": "http://corp:hunter2#pw@127.0.0.1:9"}, "HTTPS_PROXY"),
        ({"SSL_CERT_FILE": "/nowhere/hunter2"}, "SSL_CERT_FILE"),
        ({"TOPO_API_URL": "https://xn--a/hunter2"}, "TOPO_API_URL"),
    ],
)
def test_a_network_variable_that_blocks_requests_is_named_without_its_value(
    finds: Examine, variables: dict[str, str], says: str
) -> None:
    found = finds(**({"TOPO_API_URL": "https://topo.invalid/v1"} | variables))
    assert found.keys() == EVERY_CHECK
    assert found["topo"].level == "problem"
    assert says in found["topo"].found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [(0, "ok", "agrees"), (60, "warning", "ahead of"), (600, "problem", "ahead of"), (-600, "problem", "behind")],
)
def test_a_clock_difference_is_reported(finds: Examine, ahead: int, level: str, says: str) -> None:
    clock = finds(clock=lambda: now() + timedelta(seconds=ahead))["clock"]
    assert clock.level == level
    assert says in clock.found


def test_invalid_settings_are_named_and_the_other_checks_still_run(finds: Examine) -> None:
    found = finds(TOPO_TIMEZONE="Mars/Olympus", TOPO_RULES="nowhere.toml", TOPO_LOOKBACK_DAYS="soon")
    assert found.keys() == EVERY_CHECK
    assert found["settings"].level == "problem"
    assert all(name in found["settings"].found for name in ("TOPO_TIMEZONE", "TOPO_RULES", "TOPO_LOOKBACK_DAYS"))
    assert found["key"].level == "ok"


def test_a_slack_token_without_a_channel_is_a_problem(finds: Examine) -> None:
    found = finds(**{"TOPO_ALERT_SLACK_TOKEN": "xoxb-secret"})
    assert found["settings"].level == "problem"
    assert "TOPO_ALERT_SLACK_CHANNEL" in found["settings"].found
    assert found["key"].level == "ok"
    assert "xoxb-secret" not in str(found)


def test_a_binary_dotenv_file_is_a_problem(finds: Examine, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"TOPO_TIMEZONE=\xff\xfe\x00")
    found = finds()
    assert found.keys() == EVERY_CHECK
    assert found["settings"].level == "problem"
    assert ".env" in found["settings"].found


def test_settings_from_dotenv_are_listed_without_secrets(finds: Examine, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOPO_LOOKBACK_DAYS=5\nTOPO_API_KEY=topo_of_the_file\n")
    settings = finds()["settings"]
    assert settings.level == "ok"
    assert "TOPO_LOOKBACK_DAYS from .env" in settings.found
    assert "TOPO_API_KEY" in settings.found.split("from .env")[1]
    assert "topo_of_the_file" not in settings.found


def test_a_misspelled_variable_is_reported_with_a_suggestion(finds: Examine) -> None:
    settings = finds(TOPO_TIMEZOEN="Europe/Paris")["settings"]
    assert settings.level == "warning"
    assert "TOPO_TIMEZOEN" in settings.found
    assert "TOPO_TIMEZONE" in settings.do


@pytest.mark.parametrize(("address", "says"), [(None, "is not set"), ("http://127.0.0.1:9/T0PRIVATE", "is set")])
def test_doctor_says_whether_a_heartbeat_url_is_set_without_showing_it(
    finds: Examine, address: str | None, says: str
) -> None:
    found = finds(TOPO_HEARTBEAT_URL=address)
    assert (found["heartbeat"].level, f"TOPO_HEARTBEAT_URL {says}" in found["heartbeat"].found) == ("ok", True)
    assert "T0PRIVATE" not in str(found)
