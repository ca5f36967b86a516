"""The contract check: test the pipeline's assumptions about Topo's API against a real workspace.

Each assumption is one decorated function over the facts that `contract_facts` gathers. The essential ones come first.
The results contain nothing from the workspace: no ids, no names, no numbers of activities.
"""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from topo_pipeline.common.text import one_line
from topo_pipeline.days import SETTLING, Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.contract_facts import Facts, Missing, Row, Sample, gather
from topo_pipeline.topo_api.resolution import format_duration
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityPage, Channel

Outcome = Literal["holds", "differs", "unknown"]

LISTED_TYPES = {
    *("message.sent", "message.opened", "message.link_clicked", "message.replied"),
    *("invitation.sent", "invitation.accepted", "hot_lead.created", "meeting.created"),
    *("sequence.created", "sequence.paused", "sequence.resumed", "sequence.stopped", "sequence.completed"),
    *("sequence_step.completed", "sequence_step.skipped", "task.created", "task.completed", "task.skipped"),
}
LISTED_CATEGORIES = {
    *("MEETING", "INTERESTED", "BAD_TIMING", "REFERRAL", "WRONG_PERSON", "LEFT_COMPANY", "OUT_OF_OFFICE"),
    *("SPAM_FILTER", "UNKNOWN", "NOT_INTERESTED", "UNSUBSCRIBED", "BOUNCED"),
}

ESSENTIAL = 6
"""Number of essential assumptions, which come first. If one differs and is not handled, no day is proved."""
_SLOW = 2.0  # seconds
_CLOCKS_APART = 15 * 60  # seconds; `ingest` refuses days from here on
_WORD = re.compile(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9][0-9 ,;=w]*")
_WORDS_SHOWN, _WORD_LENGTH = 5, 40
_DAYS_REFUSED = "Days are refused until topo-pipeline handles this. Send this result to Topo's support and to us."


@dataclass(frozen=True)
class ContractResult:
    """The result for one assumption."""

    assumption: str
    outcome: Outcome
    """Unknown if the workspace's activities don't show it."""
    seen: str
    """The observation, without anything from the workspace."""
    consequence: str
    """The effect on the pipeline."""
    refuses_days: bool
    """Whether days are refused because of it."""


@dataclass(frozen=True)
class _Verdict:
    outcome: Outcome
    seen: str
    refuses_days: bool = False


_Judge = Callable[[Facts], _Verdict]
_holds = partial(_Verdict, "holds")
_differs = partial(_Verdict, "differs")
_unknown = partial(_Verdict, "unknown")


@dataclass(frozen=True)
class _Assumption:
    name: str
    judge: _Judge
    if_differs: str
    refuses_days: bool


ASSUMPTIONS: list[_Assumption] = []
"""In the order of this module and of the results."""


def _about_api(name: str, if_differs: str, *, refuses_days: bool = False) -> Callable[[_Judge], _Judge]:
    """Add an assumption that is judged by the decorated function."""

    def add(judge: _Judge) -> _Judge:
        ASSUMPTIONS.append(_Assumption(name, judge, if_differs, refuses_days))
        return judge

    return add


def _about_activities(
    name: str, if_differs: str, *, refuses_days: bool = False
) -> Callable[[Callable[[Facts, Sample], _Verdict]], _Judge]:
    """Do the same for an assumption that is unknown without activities."""
    add = _about_api(name, if_differs, refuses_days=refuses_days)
    return lambda judge: add(
        lambda facts: _unknown(facts.sample.reason) if isinstance(facts.sample, Missing) else judge(facts, facts.sample)
    )


def _missing(answer: Missing, path: str = "") -> _Verdict:
    """A refused request shows that an assumption differs. Without any answer it is unknown."""
    return _Verdict("differs" if answer.status else "unknown", f"{path}{answer.reason}")


async def check_contract(
    client: TopoClient, windows: Sequence[Window], clock: Callable[[], datetime]
) -> list[ContractResult]:
    """Test each assumption with at most 40 small requests. The client must send nothing else at the same time.

    The sample is taken from `windows`, preferably from the first, without the time that is not over yet.

    Raises:
        TopoError: Topo can't be reached, or does not accept the key.
        ValueError: `windows` is empty.
    """
    if not windows:
        raise ValueError("The contract check needs at least one window to take its sample from.")
    now = clock()
    return judge(await gather(client, [window.readable(now) for window in windows]))


def has_sample(results: Iterable[ContractResult]) -> bool:
    """Return whether the check found any activity."""
    return any(result.outcome != "unknown" for result in list(results)[:ESSENTIAL])


def judge(facts: Facts) -> list[ContractResult]:
    """Return the result for each assumption."""
    return [_result(assumption, assumption.judge(facts)) for assumption in ASSUMPTIONS]


def _result(assumption: _Assumption, verdict: _Verdict) -> ContractResult:
    consequences: dict[Outcome, str] = {
        "holds": "Nothing to do.",
        "differs": assumption.if_differs,
        "unknown": "Nothing changes: each day is proved complete or refused.",
    }
    refuses_days = verdict.refuses_days or (verdict.outcome == "differs" and assumption.refuses_days)
    return ContractResult(assumption.name, verdict.outcome, verdict.seen, consequences[verdict.outcome], refuses_days)


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


# Time


@_about_activities("the time filter uses the times that are shown", _DAYS_REFUSED, refuses_days=True)
def _zone(facts: Facts, sample: Sample) -> _Verdict:
    after, before = sample.query.bounds
    outside = max(max(after - row.created_at, row.created_at - before) for row in sample.rows)
    if outside > facts.margin:
        return _differs(f"rows show times up to {format_duration(outside)} outside the requested bounds")
    if any(probe.around is False for probe in facts.probes):
        return _differs(f"a row is not found within {format_duration(facts.margin)} of the time it shows")
    if any(probe.around is None for probe in facts.probes):
        return _unknown("the seconds around a row could not be read")
    return _holds("rows are found by the times they show")


@_about_activities(
    "time bounds are exclusive",
    "Handled: a row on a bound is counted, and lands only in the day it belongs to.",
)
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
    bound = "either" if probe.after and probe.before else "the lower" if probe.after else "the upper"
    return _differs(f"a row on {bound} bound is included")


@_about_activities(
    "times are to the second",
    "Handled: each day is read again with bounds that are wider by two of these units on each side.",
)
def _resolution(facts: Facts, _: Sample) -> _Verdict:
    if facts.unit:
        return _differs(f"all times are multiples of {format_duration(timedelta(seconds=facts.unit))}")
    return _holds("times are to the second or finer")


# Counts and pages


@_about_activities("the count is exact", _DAYS_REFUSED, refuses_days=True)
def _count(facts: Facts, sample: Sample) -> _Verdict:
    if _has_uncounted_rows(facts, sample):
        is_capped = isinstance(facts.uncounted, int) and facts.uncounted > 0
        return (_unknown if is_capped else _differs)("more rows follow the last counted page")
    if not sample.is_whole:
        return _unknown("the sample has more pages than the check reads")
    if _moved(facts, sample):
        return _unknown("the count changed while the sample was read")
    received = len(sample.types) + sum(len(page.rejects) for page in sample.pages)
    difference = sample.first.total_count - received
    if difference:
        return _differs(f"the count is {abs(difference)} too {'high' if difference > 0 else 'low'}")
    return _holds("distinct rows equal the count")


def _moved(facts: Facts, sample: Sample) -> bool:
    again = [facts.again] if isinstance(facts.again, ActivityPage) else []
    return len({page.total_count for page in (*sample.pages, *again)}) > 1


@_about_activities(
    "counts add up",
    "Handled: a day is split until the count of each part is proved, or refused if that fails. The estimate of "
    "--dry-run may be too low.",
)
def _additive(facts: Facts, _: Sample) -> _Verdict:
    if isinstance(facts.uncounted, Missing):
        return _unknown(facts.uncounted.reason)
    if _count(facts).outcome == "differs":
        return _unknown("the sample's count is not exact")
    if not facts.uncounted:
        return _holds("a window's count equals the sum of its halves")
    return _differs(f"a window's count is {'lower' if facts.uncounted > 0 else 'higher'} than the sum of its halves")


@_about_activities(
    "rows come in ascending order",
    "Handled: a day lands if its pages together contain every counted row. Otherwise it is refused.",
)
def _order(_: Facts, sample: Sample) -> _Verdict:
    moments = [row.created_at for row in sample.rows]
    if len(set(moments)) == 1:
        return _unknown("all rows of the sample have the same time")
    if moments == sorted(moments):
        return _holds("ascending within and across pages")
    return _differs("descending" if moments == sorted(moments, reverse=True) else "neither ascending nor descending")


@_about_activities(
    "rows with the same time keep their order",
    "A day whose pages disagree is read again, then read in parts that fit on one page.",
)
def _ties(facts: Facts, sample: Sample) -> _Verdict:
    if isinstance(facts.again, Missing):
        return _unknown(facts.again.reason)
    once, twice = ([row.id for row in page.activities] for page in (sample.first, facts.again))
    if once != twice and _moved(facts, sample):
        return _unknown("rows were added or removed while the sample was read")
    if once != twice:
        return _differs("the order of a page changes from request to request")
    if len({row.created_at for row in sample.first.activities}) == len(once):
        return _unknown("no two rows of the page have the same time")
    return _holds("the order of a page stays the same")


@_about_activities(
    f"a page holds {MAX_PAGE_SIZE} rows",
    "The length of the first page is used as the page size. Reading takes more requests.",
)
def _page_size(_: Facts, sample: Sample) -> _Verdict:
    length, total = sample.first.length, sample.first.total_count
    if length == MAX_PAGE_SIZE:
        return _holds(f"{MAX_PAGE_SIZE} rows on a page")
    if len(sample.pages) > 1:
        return _differs(f"{length} rows on a page, although {MAX_PAGE_SIZE} were requested")
    return _unknown("the sample fits on one page" if length >= total else "the first page is shorter than the count")


@_about_activities(
    "a page after the last is empty",
    "Repeated rows are counted once. An error on that page does not refuse a day whose count is proved.",
)
def _after_the_last(facts: Facts, sample: Sample) -> _Verdict:
    if isinstance(facts.beyond, Missing):
        return _missing(facts.beyond)
    if not facts.beyond.activities:
        return _holds("an empty page")
    if _has_uncounted_rows(facts, sample):  # a finding about the count
        return _unknown("rows that are not counted")
    return _differs("rows that were on earlier pages")


def _has_uncounted_rows(facts: Facts, sample: Sample) -> bool:
    """Return whether the page after the last one has rows that no page of the sample has."""
    known = {row.id for row in sample.rows}
    return isinstance(facts.beyond, ActivityPage) and any(row.id not in known for row in facts.beyond.activities)


@_about_activities("has_more is right", "The count decides. One more page is requested where has_more contradicts it.")
def _has_more(facts: Facts, sample: Sample) -> _Verdict:
    *earlier, last = sample.pages
    if any(not page.has_more for page in earlier):
        return _differs("has_more is false on a page before the last")
    if _has_uncounted_rows(facts, sample):
        return _unknown("rows that are not counted follow")
    if not sample.is_whole:
        return _unknown("the last page was not read")
    return _differs("has_more is true on the last page") if last.has_more else _holds("false only on the last page")


# Filters


@_about_activities(
    "the resource filter works",
    "Days are split only by time. A part with rows of another type is refused. Channels may stay unknown.",
)
def _resource_filter(facts: Facts, sample: Sample) -> _Verdict:
    return _partition(facts, sample, facts.by_resource, 0)


@_about_activities(
    "the event filter works",
    "Days are split only by time. A part with rows of another type is refused. Late replies are found by reading "
    "days again.",
)
def _event_filter(facts: Facts, sample: Sample) -> _Verdict:
    return _partition(facts, sample, facts.by_event, 1)


def _partition(facts: Facts, sample: Sample, counts: dict[str, int], part: int) -> _Verdict:
    """Compare a filter's counts with the rows. A row of an unlisted type may have any value."""
    why_not = _why_not_compared(facts, counts)
    if why_not:
        return _unknown(why_not)
    shown = Counter(type_.upper().split(".")[part] for type_ in sample.types if type_ in LISTED_TYPES)
    unlisted = sum(type_ not in LISTED_TYPES for type_ in sample.types)
    wrong = sorted(value for value, count in counts.items() if not shown[value] <= count <= shown[value] + unlisted)
    if wrong:
        return _differs(f"the counts for {', '.join(wrong)} are wrong")
    return _holds(f"the counts for {', '.join(sorted(counts))} are right")


def _why_not_compared(facts: Facts, counts: dict[str, int]) -> str:
    if not counts:
        return "no filter was tested: the sample has no listed type, or the request limit was reached"
    return "" if _count(facts).outcome == "holds" else "the sample's count is not exact"


@_about_activities(
    "the channel filter works",
    "Channels come from the payloads. If those have none, the channel stays unknown.",
)
def _channel_filter(facts: Facts, sample: Sample) -> _Verdict:
    why_not = _why_not_compared(facts, facts.by_channel)
    if why_not or len(facts.by_channel) < len(Channel):
        return _unknown(why_not or "not every channel was counted")
    if _resource_filter(facts).outcome == "differs":
        return _unknown("the channel counts need the resource filter, which does not work")
    messages = sum(type_.startswith("message.") for type_ in sample.types)
    unlisted = sum(type_ not in LISTED_TYPES for type_ in sample.types)
    if not messages:
        return _unknown("the sample has no messages")
    if messages <= sum(facts.by_channel.values()) <= messages + unlisted:
        return _holds("each message has one channel")
    return _differs("the channels' counts do not add up to the messages")


# Payloads


@_about_activities(
    "payload fields have a known spelling",
    "Rows land with their payloads but without ids. The tables can't use them until topo-pipeline knows the spelling.",
)
def _spelling(_: Facts, sample: Sample) -> _Verdict:
    keys = {key for row in sample.rows for key in row.payload}
    spellings = {"snake_case": "person_id" in keys, "camelCase": "personId" in keys}
    found = [name for name, is_used in spellings.items() if is_used]
    return _holds(" and ".join(found)) if found else _differs("neither camelCase nor snake_case")


@_about_activities("every type is listed", "Rows of unlisted types land, but no metric counts them.")
def _types(_: Facts, sample: Sample) -> _Verdict:
    return _listed([row.payload.get("type") for row in sample.rows], LISTED_TYPES, "type")


@_about_activities("every channel is listed", "Rows of unlisted channels land and appear under that name.")
def _channels(_: Facts, sample: Sample) -> _Verdict:
    return _listed([row.get("channel", "channel") for row in sample.rows], set(Channel), "channel")


@_about_activities(
    "every reply category is listed",
    "Such replies land and count as replies. Add the category to a class in TOPO_RULES.",
)
def _categories(facts: Facts, _: Sample) -> _Verdict:
    found = [row.get("reply_category", "replyCategory") for row in facts.replies]
    return _listed(found, LISTED_CATEGORIES, "reply category")


def _listed(values: Iterable[Any], listed: set[str], what: str) -> _Verdict:
    found = {str(value) for value in values if value is not None}
    if not found:
        return _unknown(f"no payload in the sample has a {what}")
    unlisted = sorted(found - listed)
    if not unlisted:
        return _holds(f"every {what} in the sample is listed")
    # Text that does not look like an API word may contain anything, so it is counted and not shown.
    shown = [value for value in unlisted if _WORD.fullmatch(value) and len(value) <= _WORD_LENGTH][:_WORDS_SHOWN]
    rest = len(unlisted) - len(shown)
    return _differs(f"not listed: {', '.join([*shown, f'{rest} more'] if rest else shown)}")


@_about_activities("sends carry a step number", "The table of steps leaves out sends without a step number.")
def _step_numbers(_: Facts, sample: Sample) -> _Verdict:
    sends = [row for row in sample.rows if row.type == "message.sent"]
    return _carried(sends, ("step_number", "stepNumber"), "sends", "a step number")


@_about_activities(
    "replies carry a message id",
    "A reply without one is assigned to its sequence run, but not to a message.",
)
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


@_about_api("the organization is readable", "The organization is taken from the payloads.")
def _organization(facts: Facts) -> _Verdict:
    if isinstance(facts.me, Missing):
        return _missing(facts.me, "/me: ")
    return _holds("/me returns it") if facts.me.organization_id else _differs("/me does not return it")


@_about_api(
    "sequence names are readable",
    "Tables and report show ids instead of names. Give the key the scope sequences:read.",
)
def _names(facts: Facts) -> _Verdict:
    found = facts.templates
    if isinstance(found, Missing):
        return _missing(found, "/sequence-templates: ")
    return _holds("/sequence-templates lists them") if found else _unknown("there are no sequences yet")


@_about_api(
    "the clocks agree",
    "The more cautious of the two clocks decides whether a day is over. If they are 15 minutes apart or more, days "
    "are refused. Set this machine's clock (NTP).",
)
def _clock(facts: Facts) -> _Verdict:
    ahead = facts.response.clock_ahead if facts.response else None
    if ahead is None:
        return _unknown("responses have no Date header")
    if abs(ahead) > SETTLING.total_seconds():
        which = "ahead of" if ahead > 0 else "behind"
        seen = f"this machine's clock is {format_duration(timedelta(seconds=abs(ahead)))} {which} Topo's"
        return _differs(seen, refuses_days=abs(ahead) >= _CLOCKS_APART)
    return _holds("the two clocks agree")


@_about_api("no rate limit is announced", "Set TOPO_REQUESTS_PER_SECOND below this limit. Retry-After is obeyed.")
def _limits(facts: Facts) -> _Verdict:
    limits = facts.response.limits if facts.response else {}
    if not limits:
        return _holds("none")
    shown = [
        one_line(name, _WORD_LENGTH) + (f": {text}" if _NUMBERS.fullmatch(text) and len(text) <= _WORD_LENGTH else "")
        for name, text in sorted(limits.items())
    ]
    return _differs(", ".join(shown))


@_about_api(f"a request takes less than {_SLOW:g} s", "Backfills are slow. Nothing else changes.")
def _speed(facts: Facts) -> _Verdict:
    if not facts.seconds:
        return _unknown("nothing was measured")
    usual, longest = statistics.median(facts.seconds), max(facts.seconds)
    seen = f"median {usual:.2f} s, maximum {longest:.2f} s"
    return _holds(seen) if usual <= _SLOW else _differs(seen)
