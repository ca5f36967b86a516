"""The contract check: test the pipeline's assumptions about Topo's API against a real workspace.

Each assumption is one function over the facts that `contract_facts` gathered, and one entry in `ASSUMPTIONS`.
The results contain nothing from the workspace: no ids, no names, no numbers of activities.
"""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from topo_pipeline.common.text import one_line
from topo_pipeline.days import SETTLING, Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.contract_facts import (
    REQUEST_LIMIT,
    Additivity,
    Budget,
    Facts,
    Missing,
    Probe,
    Row,
    Sample,
    gather,
    rows_of,
)
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityPage, Channel

Outcome = Literal["holds", "differs", "unknown"]

LISTED_TYPES = frozenset(
    {
        *("message.sent", "message.opened", "message.link_clicked", "message.replied"),
        *("invitation.sent", "invitation.accepted", "hot_lead.created", "meeting.created"),
        *("sequence.created", "sequence.paused", "sequence.resumed", "sequence.stopped", "sequence.completed"),
        *("sequence_step.completed", "sequence_step.skipped", "task.created", "task.completed", "task.skipped"),
    }
)
LISTED_CATEGORIES = frozenset(
    {
        *("MEETING", "INTERESTED", "BAD_TIMING", "REFERRAL", "WRONG_PERSON", "LEFT_COMPANY", "OUT_OF_OFFICE"),
        *("SPAM_FILTER", "UNKNOWN", "NOT_INTERESTED", "UNSUBSCRIBED", "BOUNCED"),
    }
)

ESSENTIAL = 6
"""Number of essential assumptions, which come first. If one differs and is not handled, no day is proved."""
_SLOW = 2.0  # seconds
_CLOCKS_APART = 15 * 60  # seconds; `ingest` refuses days from here on
_WORD = re.compile(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9][0-9 ,;=w]*")
_WORDS_SHOWN, _WORD_LENGTH = 5, 40


@dataclass(frozen=True)
class ContractResult:
    """The result for one assumption.

    Attributes:
        assumption: its name.
        outcome: holds, differs, or unknown if the workspace's activities don't show it.
        seen: the observation, without anything from the workspace.
        consequence: the effect on the pipeline.
        refuses_days: whether days are refused because of it.
    """

    assumption: str
    outcome: Outcome
    seen: str
    consequence: str
    refuses_days: bool


@dataclass(frozen=True)
class _Verdict:
    outcome: Outcome
    seen: str
    refuses_days: bool = False


@dataclass(frozen=True)
class _Assumption:
    name: str
    judge: Callable[[Facts], _Verdict]
    if_differs: str
    refuses_days: bool = False


async def check_contract(
    client: TopoClient, windows: Sequence[Window], clock: Callable[[], datetime]
) -> list[ContractResult]:
    """Test each assumption with at most 40 small requests.

    Args:
        client: The client. It must send nothing else at the same time.
        windows: Days to take the sample from, the preferred one first. The time that is not over yet is left out.
        clock: Now, with a time zone.

    Returns:
        One result for each assumption, the essential ones first.

    Raises:
        TopoError: Topo can't be reached, or does not accept the key.
        ValueError: `windows` is empty.
    """
    if not windows:
        raise ValueError("The contract check needs at least one window to take its sample from.")
    now = clock()
    return judge(await gather(client, [window.readable(now) for window in windows], Budget(client)))


def has_sample(results: Iterable[ContractResult]) -> bool:
    """Return whether the check found any activity."""
    return any(result.outcome != "unknown" for result in list(results)[:ESSENTIAL])


def judge(facts: Facts) -> list[ContractResult]:
    """Return the result for each assumption."""
    return [_result(assumption, assumption.judge(facts)) for assumption in ASSUMPTIONS]


def summary(results: Iterable[ContractResult]) -> str:
    """Return how many assumptions hold, differ and are unknown, and the names of those that differ."""
    results = list(results)
    counts = Counter(result.outcome for result in results)
    differing = [result.assumption for result in results if result.outcome == "differs"]
    named = f" ({', '.join(differing)})" if differing else ""
    return (
        f"{counts['holds']} of {len(results)} assumptions hold,"
        f" {counts['differs']} {'differs' if len(differing) == 1 else 'differ'}{named},"
        f" {counts['unknown']} {'is' if counts['unknown'] == 1 else 'are'} unknown"
    )


def as_text(results: Iterable[ContractResult], *, checked_at: datetime, version: str) -> str:
    """Return the results as text for Topo's support. It contains nothing from the workspace."""
    lines = [f"Contract check of topo-pipeline {version}, {checked_at:%Y-%m-%d %H:%M} UTC"]
    for result in results:
        lines += ["", f"{result.outcome}: {result.assumption}", f"  Seen: {result.seen}", f"  {result.consequence}"]
    return "\n".join([*lines, ""])


def _result(assumption: _Assumption, verdict: _Verdict) -> ContractResult:
    consequences: dict[Outcome, str] = {
        "holds": "Nothing to do.",
        "differs": assumption.if_differs,
        "unknown": "Nothing changes: each day is proved complete or refused.",
    }
    return ContractResult(
        assumption=assumption.name,
        outcome=verdict.outcome,
        seen=verdict.seen,
        consequence=consequences[verdict.outcome],
        refuses_days=verdict.refuses_days or (verdict.outcome == "differs" and assumption.refuses_days),
    )


def _holds(seen: str) -> _Verdict:
    return _Verdict("holds", seen)


def _differs(seen: str) -> _Verdict:
    return _Verdict("differs", seen)


def _unknown(why: str) -> _Verdict:
    return _Verdict("unknown", why)


def _of_sample(judge_sample: Callable[[Facts, Sample], _Verdict]) -> Callable[[Facts], _Verdict]:
    """Wrap a judge that needs activities."""

    def judge_facts(facts: Facts) -> _Verdict:
        if isinstance(facts.sample, Missing):
            return _unknown(facts.sample.reason)
        return judge_sample(facts, facts.sample)

    return judge_facts


# Time


def _zone(facts: Facts, sample: Sample) -> _Verdict:
    after, before = sample.query.created_at_after, sample.query.created_at_before
    assert after is not None  # noqa: S101 - the sample's query has bounds
    assert before is not None  # noqa: S101 - as above
    outside = max(max(after - row.created_at, row.created_at - before) for row in sample.rows)
    if outside > facts.margin:
        return _differs(f"rows show times up to {_duration(outside)} outside the requested bounds")
    if any(probe.around is False for probe in facts.probes):
        return _differs(f"a row is not found within {_duration(facts.margin)} of the time it shows")
    if any(probe.around is None for probe in facts.probes):
        return _unknown("the seconds around a row could not be read")
    return _holds("rows are found by the times they show")


def _bounds(facts: Facts, _: Sample) -> _Verdict:
    probe = facts.probes[0]
    if not all(probe.around for probe in facts.probes):
        return _unknown("rows are not found by the times they show")
    if probe.after is None or probe.before is None:
        return _unknown("the seconds right before or after a row could not be read")
    if not (probe.after or probe.before):
        return _holds("a row on either bound is excluded")
    if probe.just_after or probe.just_before:
        return _unknown("the filter uses finer times than the ones shown")
    return _differs(f"a row on {_which_bound(probe)} is included")


def _which_bound(probe: Probe) -> str:
    if probe.after and probe.before:
        return "either bound"
    return "the lower bound" if probe.after else "the upper bound"


def _resolution(facts: Facts, _: Sample) -> _Verdict:
    if facts.unit:
        return _differs(f"all times are multiples of {_duration(timedelta(seconds=facts.unit))}")
    return _holds("times are to the second or finer")


# Counts and pages


def _count(facts: Facts, sample: Sample) -> _Verdict:
    ids = {row.id for row in sample.rows}
    rejects = sum(len(page.rejects) for page in sample.pages)
    if isinstance(facts.beyond, ActivityPage) and _new_rows(facts.beyond, ids):
        is_capped = isinstance(facts.additivity, Additivity) and facts.additivity.lacking > 0
        return (_unknown if is_capped else _differs)("more rows follow the last counted page")
    if not sample.is_whole:
        return _unknown("the sample has more pages than the check reads")
    if _moved(facts, sample):
        return _unknown("the count changed while the sample was read")
    difference = sample.first.total_count - len(ids) - rejects
    if difference:
        return _differs(f"the count is {abs(difference)} too {'high' if difference > 0 else 'low'}")
    return _holds("distinct rows equal the count")


def _moved(facts: Facts, sample: Sample) -> bool:
    again = [facts.again] if isinstance(facts.again, ActivityPage) else []
    return len({page.total_count for page in (*sample.pages, *again)}) > 1


def _additive(facts: Facts, sample: Sample) -> _Verdict:
    found = facts.additivity
    if isinstance(found, Missing):
        return _unknown(found.reason)
    if _count(facts, sample).outcome == "differs":
        return _unknown("the sample's count is not exact")
    if not found.lacking:
        return _holds("a window's count equals the sum of its halves")
    return _differs(f"a window's count is {'lower' if found.lacking > 0 else 'higher'} than the sum of its halves")


def _order(_: Facts, sample: Sample) -> _Verdict:
    moments = [row.created_at for row in sample.rows]
    if len(set(moments)) == 1:
        return _unknown("all rows of the sample have the same time")
    if moments == sorted(moments):
        return _holds("ascending within and across pages")
    return _differs("descending" if moments == sorted(moments, reverse=True) else "neither ascending nor descending")


def _ties(facts: Facts, sample: Sample) -> _Verdict:
    if isinstance(facts.again, Missing):
        return _unknown(facts.again.reason)
    once, twice = ([row.id for row in rows_of(page)] for page in (sample.first, facts.again))
    if once != twice and _moved(facts, sample):
        return _unknown("rows were added or removed while the sample was read")
    if once != twice:
        return _differs("the order of a page changes from request to request")
    moments = [row.created_at for row in rows_of(sample.first)]
    if len(moments) == len(set(moments)):
        return _unknown("no two rows of the page have the same time")
    return _holds("the order of a page stays the same")


def _page_size(_: Facts, sample: Sample) -> _Verdict:
    length, total = (len(sample.first.activities) + len(sample.first.rejects)), sample.first.total_count
    if length == MAX_PAGE_SIZE:
        return _holds(f"{MAX_PAGE_SIZE} rows on a page")
    if len(sample.pages) > 1:
        return _differs(f"{length} rows on a page, although {MAX_PAGE_SIZE} were requested")
    return _unknown("the sample fits on one page" if length >= total else "the first page is shorter than the count")


def _after_the_last(facts: Facts, sample: Sample) -> _Verdict:
    if isinstance(facts.beyond, Missing):
        return (_differs if facts.beyond.status else _unknown)(facts.beyond.reason)
    if not rows_of(facts.beyond):
        return _holds("an empty page")
    is_new = _new_rows(facts.beyond, {row.id for row in sample.rows})
    # Rows beyond the count are a finding about the count.
    return _unknown("rows that are not counted") if is_new else _differs("rows that were on earlier pages")


def _new_rows(page: ActivityPage, known: set[str]) -> bool:
    return any(row.id not in known for row in rows_of(page))


def _has_more(facts: Facts, sample: Sample) -> _Verdict:
    *earlier, last = sample.pages
    if any(not page.has_more for page in earlier):
        return _differs("has_more is false on a page before the last")
    if isinstance(facts.beyond, ActivityPage) and _new_rows(facts.beyond, {row.id for row in sample.rows}):
        return _unknown("rows that are not counted follow")
    if not sample.is_whole:
        return _unknown("the last page was not read")
    return _differs("has_more is true on the last page") if last.has_more else _holds("false only on the last page")


# Filters


def _resource_filter(facts: Facts, sample: Sample) -> _Verdict:
    return _partition(facts, sample, facts.by_resource, 0)


def _event_filter(facts: Facts, sample: Sample) -> _Verdict:
    return _partition(facts, sample, facts.by_event, 1)


def _partition(facts: Facts, sample: Sample, counts: dict[str, int], part: int) -> _Verdict:
    """Compare a filter's counts with the rows. A row of an unlisted type may have any value."""
    why_not = _why_not_compared(facts, sample, counts)
    if why_not:
        return _unknown(why_not)
    types = {row.id: row.type for row in sample.rows}.values()
    shown = Counter((type_ or "").upper().split(".")[part] for type_ in types if type_ in LISTED_TYPES)
    unlisted = sum(type_ not in LISTED_TYPES for type_ in types)
    wrong = sorted(value for value, count in counts.items() if not shown[value] <= count <= shown[value] + unlisted)
    if wrong:
        return _differs(f"the counts for {', '.join(wrong)} are wrong")
    return _holds(f"the counts for {', '.join(sorted(counts))} are right")


def _why_not_compared(facts: Facts, sample: Sample, counts: dict[str, int]) -> str:
    if not counts:
        return "no filter was tested: the sample has no listed type, or the request limit was reached"
    return "" if _count(facts, sample).outcome == "holds" else "the sample's count is not exact"


def _channel_filter(facts: Facts, sample: Sample) -> _Verdict:
    why_not = _why_not_compared(facts, sample, facts.by_channel)
    if why_not or len(facts.by_channel) < len(Channel):
        return _unknown(why_not or "not every channel was counted")
    if _resource_filter(facts, sample).outcome == "differs":
        return _unknown("the channel counts need the resource filter, which does not work")
    types = {row.id: row.type or "" for row in sample.rows}.values()
    messages = sum(type_.startswith("message.") for type_ in types)
    unlisted = sum(type_ not in LISTED_TYPES for type_ in types)
    if not messages:
        return _unknown("the sample has no message")
    if messages <= sum(facts.by_channel.values()) <= messages + unlisted:
        return _holds("each message has one channel")
    return _differs("the channels' counts do not add up to the messages")


# Payloads


def _spelling(_: Facts, sample: Sample) -> _Verdict:
    keys = {key for row in sample.rows for key in row.payload}
    spellings = {"snake_case": "person_id" in keys, "camelCase": "personId" in keys}
    found = [name for name, is_used in spellings.items() if is_used]
    return _holds(" and ".join(found)) if found else _differs("neither camelCase nor snake_case")


def _types(_: Facts, sample: Sample) -> _Verdict:
    return _listed([row.payload.get("type") for row in sample.rows], LISTED_TYPES, "type")


def _channels(_: Facts, sample: Sample) -> _Verdict:
    return _listed([row.get("channel", "channel") for row in sample.rows], frozenset(Channel), "channel")


def _categories(facts: Facts, _: Sample) -> _Verdict:
    found = [row.get("reply_category", "replyCategory") for row in facts.replies]
    return _listed(found, LISTED_CATEGORIES, "reply category")


def _listed(values: Iterable[Any], listed: frozenset[str], what: str) -> _Verdict:
    found = {str(value) for value in values if value is not None}
    if not found:
        return _unknown(f"no payload in the sample has a {what}")
    unlisted = sorted(found - listed)
    return _differs(f"not listed: {_words(unlisted)}") if unlisted else _holds(f"every {what} in the sample is listed")


def _words(values: Sequence[str]) -> str:
    """Return the values that look like API words, and the number of the others, which may contain anything."""
    shown = [value for value in values if _WORD.fullmatch(value) and len(value) <= _WORD_LENGTH][:_WORDS_SHOWN]
    rest = len(values) - len(shown)
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _step_numbers(_: Facts, sample: Sample) -> _Verdict:
    sends = [row for row in sample.rows if row.type == "message.sent"]
    return _carried(sends, ("step_number", "stepNumber"), "sends", "a step number")


def _message_ids(facts: Facts, _: Sample) -> _Verdict:
    return _carried(facts.replies, ("message_id", "messageId"), "replies", "a message id")


def _carried(rows: Sequence[Row], names: tuple[str, str], which: str, what: str) -> _Verdict:
    if not rows:
        return _unknown(f"there are no {which} in the sample")
    carrying = sum(row.get(*names) is not None for row in rows)
    if carrying == len(rows):
        return _holds(f"all {which} have {what}")
    return _differs(f"{'some' if carrying else 'no'} {which} have {what}")


# The rest of the API


def _organization(facts: Facts) -> _Verdict:
    if isinstance(facts.me, Missing):
        return (_differs if facts.me.status else _unknown)(f"/me: {facts.me.reason}")
    return _holds("/me returns it") if facts.me.organization_id else _differs("/me does not return it")


def _names(facts: Facts) -> _Verdict:
    found = facts.templates
    if isinstance(found, Missing):
        return (_differs if found.status else _unknown)(f"/sequence-templates: {found.reason}")
    return _holds("/sequence-templates lists them") if found else _unknown("there is no sequence yet")


def _clock(facts: Facts) -> _Verdict:
    ahead = facts.response.clock_ahead if facts.response else None
    if ahead is None:
        return _unknown("responses have no Date header")
    if abs(ahead) > SETTLING.total_seconds():
        which = "ahead of" if ahead > 0 else "behind"
        seen = f"this machine's clock is {_duration(timedelta(seconds=abs(ahead)))} {which} Topo's"
        return _Verdict("differs", seen, refuses_days=abs(ahead) >= _CLOCKS_APART)
    return _holds("the two clocks agree")


def _limits(facts: Facts) -> _Verdict:
    limits = facts.response.limits if facts.response else {}
    if not limits:
        return _holds("none")
    shown = [f"{one_line(name, _WORD_LENGTH)}{_number(text)}" for name, text in sorted(limits.items())]
    return _differs(", ".join(shown))


def _number(text: str) -> str:
    return f": {text}" if _NUMBERS.fullmatch(text) and len(text) <= _WORD_LENGTH else ""


def _speed(facts: Facts) -> _Verdict:
    if not facts.seconds:
        return _unknown("nothing was measured")
    usual, longest = statistics.median(facts.seconds), max(facts.seconds)
    seen = f"median {usual:.2f} s, maximum {longest:.2f} s"
    return _holds(seen) if usual <= _SLOW else _differs(seen)


def _duration(span: timedelta) -> str:
    """Return a span such as `2:00:00`, or in seconds if it is less than a minute."""
    seconds = span.total_seconds()
    return f"{seconds:g} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))  # noqa: PLR2004 - a minute


_DAYS_REFUSED = "Days are refused until topo-pipeline handles this. Send this result to Topo's support and to us."

ASSUMPTIONS = (
    # Essential: if one of these differs and the pipeline does not handle it, no day is proved.
    _Assumption("the time filter uses the times that are shown", _of_sample(_zone), _DAYS_REFUSED, refuses_days=True),
    _Assumption(
        "time bounds are exclusive",
        _of_sample(_bounds),
        "Handled: a row on a bound is counted, and lands only in the day it belongs to.",
    ),
    _Assumption(
        "times are to the second",
        _of_sample(_resolution),
        "Handled: each day is read again with bounds that are two such units wider on both sides.",
    ),
    _Assumption("the count is exact", _of_sample(_count), _DAYS_REFUSED, refuses_days=True),
    _Assumption(
        "counts add up",
        _of_sample(_additive),
        "Handled: a day is split until the count of each part is proved, or refused if that fails. The estimate of "
        "--dry-run may be too low.",
    ),
    _Assumption(
        "rows come in ascending order",
        _of_sample(_order),
        "Handled: a day lands if its pages together contain every counted row. Otherwise it is refused.",
    ),
    # The others affect how a day is read or how its rows can be used.
    _Assumption(
        "rows with the same time keep their order",
        _of_sample(_ties),
        "A day whose pages disagree is read again, then read in parts that fit on one page.",
    ),
    _Assumption(
        f"a page holds {MAX_PAGE_SIZE} rows",
        _of_sample(_page_size),
        "The length of the first page is used as the page size. Reading takes more requests.",
    ),
    _Assumption(
        "a page after the last is empty",
        _of_sample(_after_the_last),
        "Repeated rows are counted once. An error on that page does not refuse a day whose count is proved.",
    ),
    _Assumption(
        "has_more is right",
        _of_sample(_has_more),
        "The count decides. One more page is requested where has_more contradicts it.",
    ),
    _Assumption(
        "the resource filter works",
        _of_sample(_resource_filter),
        "Days are split only by time. A part with rows of another type is refused. Channels may stay unknown.",
    ),
    _Assumption(
        "the event filter works",
        _of_sample(_event_filter),
        "Days are split only by time. A part with rows of another type is refused. Late replies are found by "
        "reading days again.",
    ),
    _Assumption(
        "the channel filter works",
        _of_sample(_channel_filter),
        "Channels come from the payloads. If those have none, the channel stays unknown.",
    ),
    _Assumption(
        "payload fields have a known spelling",
        _of_sample(_spelling),
        "Rows land with their payloads but without ids. The tables can't use them until topo-pipeline knows the "
        "spelling.",
    ),
    _Assumption(
        "every type is listed",
        _of_sample(_types),
        "Rows of unlisted types land, but no metric counts them.",
    ),
    _Assumption(
        "every channel is listed",
        _of_sample(_channels),
        "Rows of unlisted channels land and appear under that name.",
    ),
    _Assumption(
        "every reply category is listed",
        _of_sample(_categories),
        "Such replies land and count as replies. Add the category to a class in TOPO_RULES.",
    ),
    _Assumption(
        "sends carry a step number",
        _of_sample(_step_numbers),
        "The table of steps leaves out sends without a step number.",
    ),
    _Assumption(
        "replies carry a message id",
        _of_sample(_message_ids),
        "A reply without one is assigned to its sequence run, but not to a message.",
    ),
    _Assumption(
        "the organization is readable",
        _organization,
        "The organization is taken from the payloads.",
    ),
    _Assumption(
        "sequence names are readable",
        _names,
        "Tables and report show ids instead of names. Give the key the scope sequences:read.",
    ),
    _Assumption(
        "the clocks agree",
        _clock,
        "The more cautious of the two clocks decides whether a day is over. If they are 15 minutes apart or more, days "
        "are refused. Set this machine's clock (NTP).",
    ),
    _Assumption(
        "no rate limit is announced",
        _limits,
        "Set TOPO_REQUESTS_PER_SECOND below this limit. Retry-After is obeyed.",
    ),
    _Assumption(
        f"a request takes less than {_SLOW:g} s",
        _speed,
        "Backfills are slow. Nothing else changes.",
    ),
)
__all__ = [
    "ASSUMPTIONS",
    "REQUEST_LIMIT",
    "ContractResult",
    "as_text",
    "check_contract",
    "has_sample",
    "judge",
    "summary",
]
