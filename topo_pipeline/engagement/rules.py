"""The rules that a company can change: reply classes, outcome windows, evidence thresholds.

A TOML file sets rules by their names in `Rules`. A rule that the file leaves out keeps its default.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

# Upper case, as in topo.activities.
Categories = tuple[Annotated[str, Field(pattern=r"^[^a-z]+$")], ...]
Days = Annotated[int, Field(strict=True, ge=0, le=3650)]
# The tables compute a share for each day of this window.
ReplyWindow = Annotated[int, Field(strict=True, ge=0, le=365)]
Ratio = Annotated[float, Field(strict=True, ge=1.05, le=10)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]

# The rules that sort replies into classes. A category is in one of them at most.
REPLY_RULES = (
    "positive_replies",
    "neutral_replies",
    "negative_replies",
    "opt_out_replies",
    "out_of_office_replies",
    "bounced_replies",
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rules:
    """The settings of the metric tables. Their SQL can use every field as a parameter of the same name.

    Attributes:
        positive_replies: Reply categories that mean interest.
        neutral_replies: Categories of replies that are neither interest nor a refusal.
        negative_replies: Categories of replies that refuse.
        opt_out_replies: Categories of replies that ask for no more messages.
        out_of_office_replies: Categories of automatic replies of people who are away. Not valid replies.
        bounced_replies: Categories of replies by a mail server that did not deliver the message. Not valid replies.
            All other replies are valid. A reply without a category is pending; one in no rule is of unknown class.
        reply_window_days: Outcome window: days after a run's start in which a reply counts, at most 365.
        message_reply_window_days: Days after a message in which a reply to it counts.
        open_window_days: Days after an email in which its opens and clicks count.
        acceptance_window_days: Days after an invitation in which its acceptance counts.
        instant_open_seconds: An open at most this many seconds after the send is attributed to a machine.
        tracking_off_sends: Tracking counts as off from this many emails in 28 days without an open or a click.
        censored_days: A run without an enrolment whose first activity is less than this many days after the first
            landed day is left-censored. 0 turns the rule off.
        evidence_small: Denominator below which a rate is `too_small`.
        evidence_usable: Smallest denominator of a `usable` rate.
        evidence_events: Smallest numerator of a `usable` rate.
        quantile_repliers: Smallest number of repliers for a median or 90th percentile of the hours to a reply.
        detectable_ratio: A comparison has enough contacts when it detects a reply rate this many times as high as the
            other one, or as low, in 4 of 5 cases.
        silent_business_days: A sequence is silent after this many business days (Monday to Friday) without a send, or
            later if its pauses are usually longer.
    """

    positive_replies: Categories = ("MEETING", "INTERESTED")
    neutral_replies: Categories = ("BAD_TIMING", "REFERRAL", "WRONG_PERSON", "LEFT_COMPANY")
    negative_replies: Categories = ("NOT_INTERESTED",)
    opt_out_replies: Categories = ("UNSUBSCRIBED",)
    out_of_office_replies: Categories = ("OUT_OF_OFFICE",)
    bounced_replies: Categories = ("BOUNCED", "SPAM_FILTER")
    reply_window_days: ReplyWindow = 30
    message_reply_window_days: Days = 14
    open_window_days: Days = 7
    acceptance_window_days: Days = 30
    instant_open_seconds: Count = 10
    tracking_off_sends: Count = 50
    censored_days: Days = 30
    evidence_small: Count = 30
    evidence_usable: Count = 100
    evidence_events: Count = 5
    quantile_repliers: Count = 5
    detectable_ratio: Ratio = 2.0
    silent_business_days: Count = 3

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for one, other in combinations(REPLY_RULES, 2):
            if both := sorted({*getattr(self, one)} & {*getattr(self, other)}):
                raise ValueError(f"{', '.join(both)} cannot be in both {one} and {other}")
        if self.evidence_usable < self.evidence_small:
            raise ValueError("evidence_usable cannot be below evidence_small")
        return self


DEFAULT_RULES = Rules()

# Rules of earlier versions, with what to write instead.
_FIXED = "no longer a rule: what makes a volume unusual is fixed. Remove it from the file"
REPLACED = {
    "not_human_replies": "replaced by out_of_office_replies and bounced_replies",
    **dict.fromkeys(("anomaly_weeks", "anomaly_weeks_known", "anomaly_mads"), _FIXED),
}


@cache
def read_rules(path: Path) -> Rules:
    """Read a TOML file of rules. The result is cached for the life of the process.

    Raises:
        ValueError: The file cannot be read, names an unknown rule or has an invalid value. The message is one line.
    """
    try:
        return _checked(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        problems = ("; ".join(_sentence(dict(problem)) for problem in error.errors())).replace("\n", " ")
        raise ValueError(f"{path}: {problems}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(values: Mapping[str, Any]) -> Rules:
    if replaced := sorted(values.keys() & REPLACED.keys()):
        raise ValueError("; ".join(f"{name}: {REPLACED[name]}" for name in replaced))
    known = [field.name for field in fields(Rules)]
    if unknown := sorted(values.keys() - {*known}):
        raise ValueError(f"{', '.join(unknown)}: unknown rule. The rules are {', '.join(known)}")
    # A category that the file puts into one class leaves the class in which it is by default.
    moved = {category for name in REPLY_RULES for category in _texts(values.get(name))}
    defaults = {
        name: tuple(category for category in getattr(DEFAULT_RULES, name) if category not in moved)
        for name in REPLY_RULES
    }
    return Rules(**{**defaults, **values})


def _texts(value: object) -> set[str]:
    return {text for text in value if isinstance(text, str)} if isinstance(value, list) else set()


def _sentence(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return f"{name}: {problem['msg']}" if name else str(problem["msg"]).removeprefix("Value error, ")
