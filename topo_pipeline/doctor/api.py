"""Check Topo: reachability and response time, the key and its scopes, clocks, and request rate."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from topo_pipeline.common.text import one_line
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery, Me, ResponseInfo

# The doctor doesn't retry: a slow answer is a finding.
_ONE_TRY = Retries(attempts=1, read_timeout=10, attempt_timeout=15)
# Shows without a real key whether there is an API: the API rejects this key.
_NO_KEY = "topo_none"
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_KEY_STATUSES = {_UNAUTHORIZED, _FORBIDDEN}
# Seconds by which the clocks may differ: an open day is read up to two minutes before now.
_WARN_APART, _MAX_APART = 30, 120
_SLOW = 2.0  # seconds
CHECK_ADDRESS = "Check the network, the proxy settings and TOPO_API_URL."
"""What to do if no response comes from Topo's address."""


@dataclass
class Known:
    """What Topo reported and other checks need."""

    organization_id: str | None = None


@dataclass
class _Answers:
    me: Me | None = None
    response: ResponseInfo | None = None
    identity_error: TopoError | None = None  # why the key's owner is unknown
    activities_error: TopoError | None = None  # why the activities could not be read


def look(settings: Settings, clock: Callable[[], datetime], known: Known) -> Iterator[Finding]:
    """Send Topo two small requests and yield findings about the responses."""
    key = settings.api_key.get_secret_value() if settings.api_key else _NO_KEY
    try:
        client = TopoClient(
            settings.api_url,
            key,
            requests_per_second=1000,
            concurrency=1,
            retries=_ONE_TRY,
            clock=clock,
            key_variable=settings.key_variable,
        )
    except ValueError as error:
        yield problem("topo", f"{error}.", "Correct it in .env or the environment.")
        yield from (unknown(check, "no request could be sent to Topo") for check in ("key", "clock", "rate"))
        return
    answers = asyncio.run(_ask(client, clock()))
    known.organization_id = answers.me.organization_id if answers.me else None
    host = urlsplit(settings.api_url).netloc
    if settings.api_key is None:
        yield problem("key", f"{settings.key_variable} is not set.", settings.key_advice)
    yield _reached(host, answers)
    if answers.response is None:
        missing = ("clock", "rate") if settings.api_key is None else ("key", "clock", "rate")
        yield from (unknown(check, f"{host} was not reached") for check in missing)
        return
    if settings.api_key is not None:
        yield _key(settings, answers)
    yield _clock(answers.response)
    yield _rate(settings, answers.response, (answers.activities_error, answers.identity_error))


async def _ask(client: TopoClient, now: datetime) -> _Answers:
    answers = _Answers()
    recent = ActivityQuery(size=1, created_at_after=now - timedelta(hours=1), created_at_before=now)
    async with client:
        try:
            answers.me = await client.identity()
        except TopoError as error:
            answers.identity_error = error
        if client.last_response is not None:
            try:
                await client.activities(recent)
            except TopoError as error:
                answers.activities_error = error
        answers.response = client.last_response
    return answers


def _reached(host: str, answers: _Answers) -> Finding:
    if answers.response is None:
        return problem("topo", f"{answers.identity_error}.", CHECK_ADDRESS)
    took = f"{host} answered in {answers.response.seconds:.2f} s"
    if answers.activities_error is not None and _status(answers.activities_error) not in _KEY_STATUSES:
        do = "Check that TOPO_API_URL is the API's address."
        return problem("topo", f"{took}, but with an error: {answers.activities_error}.", do)
    if answers.response.seconds > _SLOW:
        return warning("topo", f"{took}, which is slow.", "Backfills will take long. Check the network connection.")
    return ok("topo", f"{took}.")


def _status(error: TopoError | None) -> int | None:
    """Return the status of a refusal. A temporary error says nothing about the key or the address."""
    return error.status if isinstance(error, RequestRefused) else None


def _key(settings: Settings, answers: _Answers) -> Finding:
    me, status = answers.me, _status(answers.activities_error)
    scopes = set(me.scopes) if me and me.scopes is not None else None
    if _UNAUTHORIZED in {status, _status(answers.identity_error)}:
        do = f"Set {settings.key_variable} to a valid key (in Topo: Settings, API)."
        return problem("key", f"Topo does not accept {settings.key_variable}.", do)
    if status == _FORBIDDEN or (scopes is not None and "activities:read" not in scopes):
        return problem("key", "The key may not read activities.", "Give it the scope activities:read in Topo.")
    if me is None:
        do = "No action needed: the organization is taken from the activities."
        return warning("key", "Topo did not report which organization the key belongs to.", do)
    if scopes is not None and "sequences:read" not in scopes:
        do = "Give it the scope sequences:read in Topo. Without it, sequences have ids instead of names."
        return warning("key", f"{_key_name(me)} may not read sequences.", do)
    return ok("key", f"{_key_name(me)} may read {'activities and sequences' if scopes else 'activities'}.")


def _key_name(me: Me) -> str:
    name, prefix, whose = (one_line(text or "?", 60) for text in (me.name, me.key_prefix, me.organization_id))
    return f"“{name}” ({prefix}…) of organization {whose}"


def _clock(response: ResponseInfo) -> Finding:
    if response.clock_ahead is None:
        do = "Check that this machine's clock is synchronized (NTP)."
        return warning("clock", "Topo's responses carry no date, so the clocks were not compared.", do)
    seconds, do = abs(response.clock_ahead), "Synchronize this machine's clock (NTP)."
    apart = f"This machine's clock is {seconds:.0f} s {'ahead of' if response.clock_ahead > 0 else 'behind'} Topo's"
    if seconds > _MAX_APART:
        return problem("clock", f"{apart}. Days would be read before they are over, or late.", do)
    if seconds > _WARN_APART:
        return warning("clock", f"{apart}.", do)
    return ok("clock", "This machine's clock agrees with Topo's.")


def _rate(settings: Settings, response: ResponseInfo, errors: Iterable[TopoError | None]) -> Finding:
    ours = f"{settings.requests_per_second:g} requests per second, {settings.concurrency} at a time"
    if any(isinstance(error, TopoUnavailable) and error.is_rate_limit for error in errors):
        return warning("rate", f"Topo asks to slow down. The setting is {ours}.", "Lower TOPO_REQUESTS_PER_SECOND.")
    limits = ", ".join(f"{name}: {value}" for name, value in response.limits.items())
    return ok("rate", f"The setting is {ours}. " + (f"Topo reports {limits}." if limits else "Topo reports no limit."))
