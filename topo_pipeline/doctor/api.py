"""Topo: whether it is reached and how fast, whose key this is and what it may read, clocks, and the pace."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.text import one_line
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery, Heard, Me

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings

# Nobody waits for a doctor: what does not answer at once is told.
_ONE_TRY = Retries(attempts=1, read_timeout=10, attempt_timeout=15)
# Without a key it can still be told whether there is an API: it answers that this one is wrong.
_NO_KEY = "topo_none"
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_OF_THE_KEY = {_UNAUTHORIZED, _FORBIDDEN}
# Seconds that clocks may differ: a day that is not over is read up to two minutes before now.
_WORTH_TELLING, _TOO_MUCH = 30, 120
_SLOW = 2.0  # seconds


@dataclass
class Known:
    """What Topo told and others need."""

    organization_id: str | None = None


@dataclass
class _Answers:
    me: Me | None = None
    heard: Heard | None = None
    unnamed: TopoError | None = None
    """Why it is not told whose key it is."""
    unread: TopoError | None = None
    """Why no activity was had."""


def look(settings: "Settings", clock: Callable[[], datetime], known: Known) -> Iterator[Finding]:
    """Ask Topo two small questions, and tell what the answers are worth."""
    key = settings.api_key.get_secret_value() if settings.api_key else _NO_KEY
    try:
        client = TopoClient(
            settings.api_url, key, requests_per_second=1000, concurrency=1, retries=_ONE_TRY, clock=clock
        )
    except ValueError as error:
        yield problem("topo", f"{error}.", "Correct it in the environment or in .env.")
        yield from (unknown(check, "Topo can't be asked") for check in ("key", "clock", "rate"))
        return
    answers = asyncio.run(_ask(client, clock()))
    known.organization_id = answers.me.organization_id if answers.me else None
    host = urlsplit(settings.api_url).netloc
    yield _reached(host, answers)
    if settings.api_key is None:
        do = "Put a key into .env or the environment; make demo needs none."
        yield problem("key", "TOPO_API_KEY is not set.", do)
    elif answers.heard is None:
        yield unknown("key", f"{host} was not reached")
    else:
        yield _key(answers)
    if answers.heard is None:
        yield from (unknown(check, f"{host} was not reached") for check in ("clock", "rate"))
        return
    yield _clock(answers.heard)
    yield _rate(settings, answers)


async def _ask(client: TopoClient, now: datetime) -> _Answers:
    answers = _Answers()
    lately = ActivityQuery(size=1, created_at_after=now - timedelta(hours=1), created_at_before=now)
    async with client:
        try:
            answers.me = await client.identity()
        except TopoError as error:
            answers.unnamed = error
        if client.heard is not None:
            try:
                await client.activities(lately)
            except TopoError as error:
                answers.unread = error
        answers.heard = client.heard
    return answers


def _reached(host: str, answers: _Answers) -> Finding:
    if answers.heard is None:
        return problem("topo", f"{answers.unnamed}.", "Look at the network, a proxy's settings and TOPO_API_URL.")
    took = f"{host} answers, in {answers.heard.seconds:.2f} s"
    if answers.unread is not None and _status(answers.unread) not in _OF_THE_KEY:
        return problem("topo", f"{took}, but: {answers.unread}.", "Check that TOPO_API_URL is the API's address.")
    if answers.heard.seconds > _SLOW:
        return warning("topo", f"{took}: that is slow.", "A backfill will take long; look at the way to Topo.")
    return ok("topo", f"{took}.")


def _status(error: TopoError | None) -> int | None:
    """Of a refusal; of a fault that may pass it says nothing about the key or the address."""
    return error.status if isinstance(error, RequestRefused) else None


def _is_rate_limit(error: TopoError | None) -> bool:
    return isinstance(error, TopoUnavailable) and error.is_rate_limit


def _key(answers: _Answers) -> Finding:
    me, status = answers.me, _status(answers.unread)
    scopes = set(me.scopes) if me and me.scopes is not None else None
    if _UNAUTHORIZED in {status, _status(answers.unnamed)}:
        do = "Put a valid key behind TOPO_API_KEY (in Topo: Settings, API)."
        return problem("key", "Topo does not accept TOPO_API_KEY.", do)
    if status == _FORBIDDEN or (scopes is not None and "activities:read" not in scopes):
        return problem("key", "The key may not read activities.", "Give it the scope activities:read in Topo.")
    if me is None:
        do = "Nothing: the organization is taken from what is read."
        return warning("key", "Topo does not tell whose key this is.", do)
    if scopes is not None and "sequences:read" not in scopes:
        do = "Give it the scope sequences:read in Topo, or see ids for names."
        return warning("key", f"{_called(me)} may not read sequences.", do)
    return ok("key", f"{_called(me)} may read {'activities and sequences' if scopes else 'activities'}.")


def _called(me: Me) -> str:
    name, prefix, whose = (one_line(text or "?", 60) for text in (me.name, me.key_prefix, me.organization_id))
    return f"The key {name} ({prefix}…) of organization {whose}"


def _clock(heard: Heard) -> Finding:
    if heard.clock_ahead is None:
        return warning("clock", "Topo's answers tell no time.", "See that this machine's clock is set (NTP).")
    seconds = abs(heard.clock_ahead)
    told = f"This machine's clock is {seconds:.0f} s {'ahead of' if heard.clock_ahead > 0 else 'behind'} Topo's"
    if seconds > _TOO_MUCH:
        return problem("clock", f"{told}: days would be read before they are over, or late.", "Set the clock (NTP).")
    if seconds > _WORTH_TELLING:
        return warning("clock", f"{told}.", "Set the clock (NTP).")
    return ok("clock", "This machine's clock agrees with Topo's.")


def _rate(settings: "Settings", answers: _Answers) -> Finding:
    ours = f"{settings.requests_per_second:g} requests a second, {settings.concurrency} at once"
    if _is_rate_limit(answers.unread) or _is_rate_limit(answers.unnamed):
        return warning("rate", f"Topo asks to slow down; ours is {ours}.", "Set TOPO_REQUESTS_PER_SECOND to less.")
    limits = ", ".join(f"{name}: {value}" for name, value in answers.heard.limits.items()) if answers.heard else ""
    return ok("rate", f"{ours}; Topo tells {limits or 'no limit'}.")
