"""What the metrics take for granted and a company may see otherwise: reply classes, windows, lines of evidence.

The rules are fields of `Rules`, the numbers of a company a TOML file of their names: what it leaves out stays as it is.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

# As landing writes them: in upper case.
Categories = tuple[Annotated[str, Field(pattern=r"^[^a-z]+$")], ...]
Days = Annotated[int, Field(strict=True, ge=0, le=3650)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rules:
    """The settings of the metric tables; every field can be used in their SQL as a parameter of its name.

    Attributes:
        positive_replies: reply categories that mean interest.
        not_human_replies: categories of replies that no person wrote; all others are valid, pending ones too.
        reply_window_days: days from the first message within which a run's reply counts (its outcome window).
        message_reply_window_days: days from a message within which a reply to it counts.
        open_window_days: days from an email within which its opens and clicks count.
        acceptance_window_days: days from an invitation within which its acceptance counts.
        instant_open_seconds: an open so soon after its send is a machine's.
        tracking_off_sends: so many emails in 28 days without an open or a click mean that nothing tracks them.
        censored_days: a run without its enrolment whose first activity falls within so many days of the first
            landed day may have begun before it; 0 turns the rule off.
        evidence_small: below so many runs a rate says nothing.
        evidence_usable: from so many runs on a rate can be used, if also
        evidence_events: it rests on so many events.
        quantile_repliers: below so many repliers the hours to a reply have no median.
        anomaly_weeks: a day's messages are held against the same weekday of so many weeks before,
        anomaly_weeks_known: of which so many have to be known.
        anomaly_mads: so many median absolute deviations from their median are an anomaly.
        silent_business_days: without a message for so many days (Monday to Friday) a sequence is silent.
    """

    positive_replies: Categories = ("MEETING", "INTERESTED")
    not_human_replies: Categories = ("OUT_OF_OFFICE", "BOUNCED", "SPAM_FILTER")
    reply_window_days: Days = 30
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
    anomaly_weeks: Count = 8
    anomaly_weeks_known: Count = 4
    anomaly_mads: float = Field(default=3.0, gt=0)
    silent_business_days: Count = 3

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if both := sorted({*self.positive_replies} & {*self.not_human_replies}):
            raise ValueError(f"{', '.join(both)} can't be both positive and not human")
        if self.evidence_usable < self.evidence_small:
            raise ValueError("evidence_usable can't be below evidence_small")
        return self


DEFAULT_RULES = Rules()


@cache
def read_rules(path: Path) -> Rules:
    """Read a TOML file of rules, once in a process.

    Raises:
        ValueError: the file can't be read, or names what is no rule, or a value can't be used; in one sentence.
    """
    try:
        return _checked(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    except ValidationError as error:
        problems = ("; ".join(_sentence(dict(problem)) for problem in error.errors())).replace("\n", " ")
        raise ValueError(f"{path}: {problems}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(values: Mapping[str, Any]) -> Rules:
    known = [field.name for field in fields(Rules)]
    if unknown := sorted(values.keys() - {*known}):
        raise ValueError(f"{', '.join(unknown)}: no such rule; there are {', '.join(known)}")
    return Rules(**values)


def _sentence(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return f"{name}: {problem['msg']}" if name else str(problem["msg"]).removeprefix("Value error, ")
