"""Topo: whether it is reached and how fast, whose key this is and what it may read, clocks, and the pace."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoError, TopoUnavailable
from topo_pipeline.topo_api.wire import ActivityQuery, Heard, Me, one_line

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings

# Nobody waits for a doctor: what does not answer at once is told.
_ONE_TRY = Retries(attempts=1, read_timeout=10, attempt_timeout=15)
# Without a key it can still be told whether there is an API: it answers that this one is wrong.
_NO_KEY = "topo_none"
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
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
    refusals: list[TopoError] = field(default_factory=list)
    may_read: bool | None = None
    """Whether an activity was had; None where it was not asked for or the answer does not tell."""


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
    answers = asyncio.run(_ask(client))
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


async def _ask(client: TopoClient) -> _Answers:
    answers = _Answers()
    async with client:
        try:
            answers.me = await client.identity()
        except TopoError as error:
            answers.refusals.append(error)
        if client.heard is not None:
            try:
                await client.activities(ActivityQuery(size=1))
                answers.may_read = True
            except TopoError as error:
                answers.refusals.append(error)
                if isinstance(error, RequestRefused) and error.status == _FORBIDDEN:
                    answers.may_read = False
        answers.heard = client.heard
    return answers


def _reached(host: str, answers: _Answers) -> Finding:
    if answers.heard is None:
        return problem("topo", f"{answers.refusals[0]}.", "Look at the network, a proxy's settings and TOPO_API_URL.")
    took = f"{host} answers, in {answers.heard.seconds:.2f} s"
    refusal = answers.refusals[-1] if answers.refusals else None
    if refusal is not None and not isinstance(refusal, RequestRefused):
        return problem("topo", f"{took}, but: {refusal}.", "Try again later; see whether TOPO_API_URL is the API's.")
    if isinstance(refusal, RequestRefused) and refusal.status not in {_UNAUTHORIZED, _FORBIDDEN}:
        return problem("topo", f"{took}, but: {refusal}.", "Check TOPO_API_URL: this is not the API that we know.")
    if answers.heard.seconds > _SLOW:
        return warning("topo", f"{took}: that is slow.", "A backfill will take long; look at the way to Topo.")
    return ok("topo", f"{took}.")


def _key(answers: _Answers) -> Finding:
    refused = {error.status: error for error in answers.refusals if isinstance(error, RequestRefused)}
    if _UNAUTHORIZED in refused:
        do = "Put a valid key behind TOPO_API_KEY (in Topo: Settings, API)."
        return problem("key", f"{refused[_UNAUTHORIZED]}.", do)
    me = answers.me
    scopes = set(me.scopes) if me and me.scopes is not None else None
    if answers.may_read is False or (scopes is not None and "activities:read" not in scopes):
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
    if any(isinstance(error, TopoUnavailable) and error.status == _TOO_MANY for error in answers.refusals):
        return warning("rate", f"Topo asks to slow down; ours is {ours}.", "Set TOPO_REQUESTS_PER_SECOND to less.")
    limits = ", ".join(f"{name}: {value}" for name, value in answers.heard.limits.items()) if answers.heard else ""
    return ok("rate", f"{ours}; Topo tells {limits or 'no limit'}.")
