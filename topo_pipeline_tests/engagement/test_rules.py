"""The rules that a company may see otherwise, from a file."""

from dataclasses import fields
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules, read_rules
from topo_pipeline.engagement.tables import tables


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_file_leaves_out_stays_as_it_is(tmp_path: Path) -> None:
    rules = read_rules(
        written(tmp_path, 'reply_window_days = 21\nnegative_replies = ["NOT_INTERESTED", "WRONG_CHANNEL"]')
    )
    assert rules == Rules(reply_window_days=21, negative_replies=("NOT_INTERESTED", "WRONG_CHANNEL"))


def test_a_category_leaves_the_class_in_which_it_is_by_default(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, 'positive_replies = ["MEETING", "REFERRAL", "BOUNCED"]'))
    assert rules.positive_replies == ("MEETING", "REFERRAL", "BOUNCED")
    assert {*rules.neutral_replies} == {*DEFAULT_RULES.neutral_replies} - {"REFERRAL"}
    assert {*rules.bounced_replies} == {*DEFAULT_RULES.bounced_replies} - {"BOUNCED"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reply_window = 21", "reply_window: unknown rule. The rules are positive_replies, neutral_replies"),
        ("reply_window_days = -1", "reply_window_days: Input should be greater than or equal to 0"),
        ("reply_window_days = 366", "reply_window_days: Input should be less than or equal to 365"),
        ("detectable_ratio = 1", "detectable_ratio: Input should be greater than or equal to 1.05"),
        ('detectable_ratio = "2"', "detectable_ratio: Input should be a valid number"),
        ("reply_window_days = 1.5", "reply_window_days: Input should be a valid integer"),
        ("reply_window_days = true", "reply_window_days: Input should be a valid integer"),
        ('censored_days = "ten"', "censored_days: Input should be a valid integer"),
        ('positive_replies = "MEETING"', "positive_replies: "),
        ('positive_replies = ["meeting"]', "positive_replies: "),
        (
            'positive_replies = ["BOUNCED"]\nbounced_replies = ["BOUNCED"]',
            "BOUNCED cannot be in both positive_replies and bounced_replies",
        ),
        ("positive_replies = [1]", "positive_replies: "),
        ("not_human_replies = []", "not_human_replies: replaced by out_of_office_replies and bounced_replies"),
        *(
            (f"{name} = 3", f"{name}: no longer a rule: what makes a volume unusual is fixed. Remove it from the file")
            for name in ("anomaly_weeks", "anomaly_weeks_known", "anomaly_mads")
        ),
        ("evidence_usable = 20", "evidence_usable cannot be below evidence_small"),
        ("reply_window_days = 21, 5", "rules.toml: Expected newline"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match="rules.toml: ") as raised:
        read_rules(written(tmp_path, text))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_rule_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="censored_days: .*; evidence_small: "):
        read_rules(written(tmp_path, "censored_days = -1\nevidence_small = -1"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rules.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rules\.toml") as raised:
        read_rules(path)
    assert "\n" not in str(raised.value)


def test_every_rule_is_used_by_some_table_and_is_described() -> None:
    sql = " ".join(table.sql for table in tables().values())
    for field in fields(Rules):
        assert f"${field.name}" in sql, field.name
        assert f"        {field.name}: " in str(Rules.__doc__), field.name
