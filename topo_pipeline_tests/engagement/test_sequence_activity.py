"""`sequence_activity`: every activity of a day is counted once, and the rows depend on that day alone."""

from collections import Counter
from datetime import date

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, canonical, enrolled, march, replied, sent, uid
from topo_pipeline_tests.engagement.oracle import DAY_ONLY, TYPES, World, sequence_activity

DAY_1 = date(2026, 3, 1)
CLASSES = ("pending", "neutral", "negative", "opt_out", "out_of_office", "bounced", "unknown")
# Part of total_replies.
PARTS = {"total_valid_replies", "total_positive_replies", "replies_not_human", *(f"replies_{it}" for it in CLASSES)}
# In upper case, as the warehouse stores categories.
HOSTILE = ("INTERESTED') OR ('1' = '1", "'; DROP TABLE ENGAGEMENT.SEQUENCE_ACTIVITY; --", "$POSITIVE_REPLIES")
NOT_COUNTS = {"sequence_template_id", "sequence_id", "channel", "day", "persons_messaged"}


def counted(workspace: Workspace) -> Counter[str]:
    """Return the sum of every count over the table."""
    sums: Counter[str] = Counter()
    for row in workspace.rows("sequence_activity"):
        sums.update({name: value for name, value in row.items() if name not in NOT_COUNTS})
    return sums


def test_every_known_type_has_its_column(workspace: Workspace) -> None:
    columns = {f"total_{kind}": type_ for kind, type_ in TYPES.items()} | DAY_ONLY
    times = {name: count for count, name in enumerate(columns, start=1)}  # so that a mix-up of two columns shows
    workspace.land_all(Activity(columns[name], march(1, 9, i)) for name in columns for i in range(times[name]))
    workspace.build("sequence_activity")
    found = counted(workspace)
    assert {name: found[name] for name in columns} == times
    assert (found["orphans"], found["other"]) == (0, 0)


def test_an_unknown_type_is_counted_as_other_and_nowhere_else(workspace: Workspace) -> None:
    types = ["message.bounced", "orphan", "none", "MESSAGE.SENT", "message", "'; DROP TABLE x; --", "", None]
    workspace.land_all(Activity(type_, march(1), run=str(type_)) for type_ in types)
    workspace.build("sequence_activity", "sequence_runs")
    assert +counted(workspace) == Counter(other=len(types))
    assert len(workspace.rows("sequence_runs")) == len(types)


def test_every_activity_is_counted_in_exactly_one_column(workspace: Workspace) -> None:
    types = [*TYPES.values(), *DAY_ONLY.values(), "message.bounced", None]
    activities = [Activity(type_, march(1, 9, i), run) for i, type_ in enumerate(types) for run in ("A", None)]
    workspace.land_all(activities)
    workspace.build("sequence_activity")
    found = counted(workspace)
    assert sum(count for name, count in found.items() if name not in PARTS) == len(activities)
    assert found["orphans"] == len(types)


def test_the_channel_is_reduced_to_the_known_ones(workspace: Workspace) -> None:
    expected = {
        ("EMAIL", "message.sent"): "EMAIL",
        ("LINKEDIN", "message.sent"): "LINKEDIN",
        ("MANUAL", "task.created"): "MANUAL",
        ("SMS", "message.sent"): "OTHER",
        ("NONE", "message.sent"): "OTHER",
        (None, "message.sent"): "NONE",
        (None, "message.opened"): "EMAIL",
        (None, "message.link_clicked"): "EMAIL",
        (None, "invitation.sent"): "LINKEDIN",
        (None, "sequence.created"): "NONE",
    }
    cases = [Activity(type_, march(1), channel=channel, sequence=f"{channel} {type_}") for channel, type_ in expected]
    workspace.land_all(cases)
    workspace.build("sequence_activity")
    found = {row["sequence_template_id"]: row["channel"] for row in workspace.rows("sequence_activity")}
    assert found == {uid(f"{channel} {type_}"): group for (channel, type_), group in expected.items()}


def test_the_category_of_a_reply_decides_its_class(workspace: Workspace) -> None:
    expected: dict[str | None, set[str]] = {
        **dict.fromkeys(("INTERESTED", "MEETING", "interested"), {"total_valid_replies", "total_positive_replies"}),
        **dict.fromkeys(
            ("BAD_TIMING", "REFERRAL", "WRONG_PERSON", "LEFT_COMPANY"), {"total_valid_replies", "replies_neutral"}
        ),
        "NOT_INTERESTED": {"total_valid_replies", "replies_negative"},
        "UNSUBSCRIBED": {"total_valid_replies", "replies_opt_out"},
        **dict.fromkeys(("UNKNOWN", "ADDED BY TOPO", *HOSTILE), {"total_valid_replies", "replies_unknown"}),
        "OUT_OF_OFFICE": {"replies_not_human", "replies_out_of_office"},
        **dict.fromkeys(("BOUNCED", "SPAM_FILTER"), {"replies_not_human", "replies_bounced"}),
        **dict.fromkeys((None, ""), {"total_valid_replies", "replies_pending"}),
    }
    workspace.land_all(replied(march(1), str(name), sequence=str(name), category=name) for name in expected)
    workspace.build("sequence_activity", "sequence_runs")
    rows = {row["sequence_template_id"]: row for row in workspace.rows("sequence_activity")}
    runs = {row["sequence_template_id"]: row for row in workspace.rows("sequence_runs")}
    for category, columns in expected.items():
        row, run = rows[uid(str(category))], runs[uid(str(category))]
        assert {name for name in PARTS if row[name]} == columns, category
        assert row["total_replies"] == 1
        assert (run["first_valid_reply_at"] is not None) == ("total_valid_replies" in columns), category
        assert (run["first_positive_reply_at"] is not None) == ("total_positive_replies" in columns), category


def test_a_rule_can_name_a_category_that_looks_like_sql(workspace: Workspace) -> None:
    workspace.land_all(replied(march(1, 9, i), category=name) for i, name in enumerate((*HOSTILE, "INTERESTED")))
    workspace.build("sequence_activity", rules=Rules(positive_replies=HOSTILE[:1], bounced_replies=HOSTILE[1:2]))
    found = counted(workspace)
    names = ("total_replies", "total_positive_replies", "replies_bounced", "replies_not_human", "replies_unknown")
    assert [found[name] for name in names] == [4, 1, 1, 1, 2]


def test_only_the_category_of_a_reply_counts(workspace: Workspace) -> None:
    workspace.land_all([sent(march(1), category="INTERESTED"), enrolled(march(1), category="BOUNCED")])
    workspace.build("sequence_activity")
    assert +counted(workspace) == Counter(total_sent=1, total_found=1)


def test_persons_messaged_are_distinct_within_a_row(workspace: Workspace) -> None:
    workspace.land_all(
        [
            sent(march(1, 9), person="Ada"),
            sent(march(1, 10), person="Ada"),
            sent(march(1, 11), "B", person="Bob"),
            sent(march(1, 12), person=None),
            sent(march(1, 13), person="Ada", channel="LINKEDIN"),
            Activity("message.replied", march(1, 14), person="Cyd", channel="EMAIL"),
        ]
    )
    workspace.build("sequence_activity")
    assert {row["channel"]: row["persons_messaged"] for row in workspace.rows("sequence_activity")} == {
        "EMAIL": 2,
        "LINKEDIN": 1,
    }


def test_the_rows_of_a_day_depend_on_that_day_alone(workspace: Workspace) -> None:
    workspace.land(DAY_1, [sent(march(1), sequence=None)])
    workspace.build("sequence_activity")
    alone = workspace.rows("sequence_activity")
    workspace.land(date(2026, 3, 2), [sent(march(2)), replied(march(2))])
    workspace.build("sequence_activity")
    assert [row for row in workspace.rows("sequence_activity") if row["day"] == DAY_1] == alone


def test_an_activity_missing_from_a_reload_is_no_longer_counted(workspace: Workspace) -> None:
    kept = [sent(march(1, 9)), sent(march(1, 10), "B")]
    workspace.land(DAY_1, [*kept, sent(march(1, 11), "C", channel="LINKEDIN")])
    workspace.build("sequence_activity")
    workspace.land(DAY_1, kept)
    workspace.build("sequence_activity")
    expected = sequence_activity(World({DAY_1: kept}))
    assert canonical(workspace.rows("sequence_activity")) == canonical(expected)


def test_rows_name_their_run_only_where_the_activity_names_no_sequence(workspace: Workspace) -> None:
    workspace.land_all(
        [
            *(sent(march(1), run) for run in "AB"),
            *(sent(march(1, hour), "C", sequence=None) for hour in (9, 10)),
            sent(march(1), "D", sequence=None),
            *(sent(march(1), None, sequence=sequence) for sequence in ("outbound", None)),
        ]
    )
    workspace.build("sequence_activity")
    rows = workspace.rows("sequence_activity")
    found = {(row["sequence_template_id"], row["sequence_id"]): (row["total_sent"], row["orphans"]) for row in rows}
    assert len(rows) == len(found)
    assert found == {
        (uid("outbound"), None): (2, 1),
        (None, uid("C")): (2, 0),
        (None, uid("D")): (1, 0),
        (None, None): (0, 1),
    }
