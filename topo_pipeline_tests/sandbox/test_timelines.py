"""Rules that hold for every simulated sequence run, such as the order of events."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from statistics import median

import pytest

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.sequences import FORMER_CUSTOMERS
from topo_pipeline.sandbox.world import World

Run = list[Activity]
FIRST, ENROLLED_UNTIL = date(2025, 12, 1), date(2026, 2, 1)
AUTOMATIC = {"OUT_OF_OFFICE", "BOUNCED", "SPAM_FILTER"}


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@pytest.fixture(scope="module")
def world() -> World:
    """Return a world that is large enough for rare events."""
    return World()


@pytest.fixture(scope="module")
def runs(world: World) -> list[Run]:
    """Return complete runs: those that were enrolled long enough before the last activity that was read."""
    by_run: dict[str, Run] = defaultdict(list)
    for activity in world.activities(None, midnight(ENROLLED_UNTIL + timedelta(days=60))):
        by_run[activity.sequence_id].append(activity)
    return [run for run in by_run.values() if run[0].created_at < midnight(ENROLLED_UNTIL)]


@pytest.fixture(scope="module")
def named_runs(world: World, runs: list[Run]) -> dict[str, list[Run]]:
    names = {template.id: template.name for template in world.templates(midnight(ENROLLED_UNTIL))}
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_name[names[templates_of(run)[0]] or ""].append(run)
    return by_name


def templates_of(run: Run) -> list[str]:
    """Return the run's sequence, and the one to which it was moved."""
    return list(dict.fromkeys(activity.sequence_template_id for activity in run if activity.sequence_template_id))


def of_type(run: Run, *types: str) -> Iterator[Activity]:
    return (activity for activity in run if activity.type in types)


def is_human(reply: Activity) -> bool:
    return reply.reply_category not in AUTOMATIC


def replies_to_messages(run: Run) -> list[Activity]:
    """Return the contact's replies to messages. A reply to an invitation has an id that no sent message has."""
    sent = {message.message_id for message in of_type(run, "message.sent")}
    return [reply for reply in of_type(run, "message.replied") if is_human(reply) and reply.message_id in sent]


def replies_to_invitations(run: Run) -> list[Activity]:
    sent = {message.message_id for message in of_type(run, "message.sent")}
    return [reply for reply in of_type(run, "message.replied") if reply.message_id not in sent]


def share(part: int, whole: int) -> float:
    assert whole > 0
    return part / whole


def test_a_run_starts_with_its_enrolment_and_ends_within_45_days(runs: list[Run]) -> None:
    for run in runs:
        assert [activity.type for activity in run].count("sequence.created") == 1
        assert run[0].type == "sequence.created"
        assert run[-1].created_at < midnight(run[0].created_at.date()) + timedelta(days=45)


def test_a_run_has_one_person(runs: list[Run]) -> None:
    for run in runs:
        assert len({activity.person_id for activity in run}) == 1


def test_a_few_runs_are_moved_to_another_sequence_after_their_first_step(world: World, runs: list[Run]) -> None:
    [target] = [t.id for t in world.templates(midnight(ENROLLED_UNTIL)) if t.name == FORMER_CUSTOMERS.name]
    moved = 0
    for run in runs:
        first, *later = templates_of(run)
        assert later in ([], [target])
        steps = [a for a in of_type(run, "message.sent", "invitation.sent", "task.created") if a.sequence_template_id]
        assert [a for a in steps if a.sequence_template_id == first][1:] == [] or not later
        assert steps == sorted(steps, key=lambda step: step.sequence_template_id in later)
        moved += bool(later)
    assert 0.003 < share(moved, len(runs)) < 0.02


def test_a_few_activities_have_no_template(runs: list[Run]) -> None:
    without = Counter(activity.type for run in runs for activity in run if activity.sequence_template_id is None)
    assert 0.002 < share(without.total(), sum(map(len, runs))) < 0.01
    assert {"sequence.created", "message.sent", "message.replied"} <= without.keys()


def test_activity_ids_are_unique(runs: list[Run]) -> None:
    ids = [activity.id for run in runs for activity in run]
    assert len(ids) == len(set(ids))


def test_opens_clicks_and_replies_come_after_their_message(runs: list[Run]) -> None:
    answers = ("message.opened", "message.link_clicked", "message.replied")
    for run in runs:
        sent = {activity.message_id: activity for activity in of_type(run, "message.sent")}
        for activity in of_type(run, *answers):
            if activity.type == "message.replied" and activity.message_id not in sent:
                continue  # to an invitation
            cause = sent[activity.message_id]
            assert cause.created_at < activity.created_at
            assert (cause.channel, cause.step_number) == (activity.channel, activity.step_number)


def test_only_emails_are_opened_and_clicks_come_after_opens(runs: list[Run]) -> None:
    for run in runs:
        opened: dict[str | None, datetime] = {}
        for activity in of_type(run, "message.opened"):
            assert activity.channel == "EMAIL"
            opened.setdefault(activity.message_id, activity.created_at)
        for click in of_type(run, "message.link_clicked"):
            assert opened[click.message_id] < click.created_at


def test_no_touch_follows_a_human_reply_to_a_message(runs: list[Run]) -> None:
    repliers = 0
    for run in runs:
        replies = [reply.created_at for reply in replies_to_messages(run)]
        touches = [a.created_at for a in of_type(run, "message.sent", "invitation.sent", "task.created")]
        if replies:
            repliers += 1
            assert max(touches) < min(replies)
    assert repliers > 100


def test_a_run_ends_once(runs: list[Run]) -> None:
    for run in runs:
        ends = [activity.type for activity in of_type(run, "sequence.stopped", "sequence.completed")]
        assert len(ends) == 1, ends


def test_no_touch_or_pause_follows_the_end_of_a_run(runs: list[Run]) -> None:
    later = ("message.sent", "invitation.sent", "task.created", "sequence.paused", "sequence.resumed")
    for run in runs:
        (end,) = of_type(run, "sequence.stopped", "sequence.completed")
        assert all(activity.created_at <= end.created_at for activity in of_type(run, *later))


def test_a_reply_stops_the_run_within_seconds(runs: list[Run]) -> None:
    gaps = []
    for run in runs:
        human = [reply.created_at for reply in replies_to_messages(run)]
        for stop in of_type(run, "sequence.stopped"):
            gaps.extend([stop.created_at - min(human)] if human else [])
    assert len(gaps) > 100
    assert all(timedelta() < gap < timedelta(seconds=5) for gap in gaps)


def test_a_bounce_answers_the_first_email_within_minutes_and_stops_the_run(runs: list[Run]) -> None:
    bounced: Counter[str | None] = Counter()
    for run in runs:
        for bounce in of_type(run, "message.replied"):
            if bounce.reply_category in ("BOUNCED", "SPAM_FILTER"):
                bounced[bounce.reply_category] += 1
                *_, last_sent = of_type(run, "message.sent")
                assert last_sent is next(of_type(run, "message.sent"))
                assert last_sent.channel == "EMAIL"
                assert timedelta() < bounce.created_at - last_sent.created_at < timedelta(minutes=6)
                (stop,) = of_type(run, "sequence.stopped")
                assert timedelta() < stop.created_at - bounce.created_at < timedelta(seconds=5)
    assert bounced["BOUNCED"] > bounced["SPAM_FILTER"] > 0
    assert 0.003 < share(bounced.total(), len(runs)) < 0.015


def test_no_reply_to_a_message_follows_an_opt_out(runs: list[Run]) -> None:
    opt_outs = 0
    for run in runs:
        categories = [reply.reply_category for reply in replies_to_messages(run)]
        assert "UNSUBSCRIBED" not in categories[:-1]
        opt_outs += categories[-1:] == ["UNSUBSCRIBED"]
    assert opt_outs > 10


def test_some_replies_follow_an_out_of_office_reply_to_the_same_message(runs: list[Run]) -> None:
    away = answered = 0
    for run in runs:
        replied = {reply.message_id: reply.created_at for reply in reversed(replies_to_messages(run))}
        for automatic in of_type(run, "message.replied"):
            if automatic.reply_category == "OUT_OF_OFFICE":
                away += 1
                answered += automatic.message_id in replied
                assert automatic.created_at < replied.get(automatic.message_id, midnight(date.max))
    assert 0.05 < share(answered, away) < 0.5


def test_some_neutral_replies_are_followed_by_a_positive_one(runs: list[Run]) -> None:
    turned: Counter[tuple[str | None, str | None]] = Counter()
    for run in runs:
        first, second = ([reply.reply_category for reply in replies_to_messages(run)] + [None, None])[:2]
        if second and second != first:
            turned[first, second] += 1
    assert {second for _, second in turned} == {"INTERESTED", "MEETING"}
    assert {first for first, _ in turned} == {"BAD_TIMING", "REFERRAL"}
    assert turned.total() > 10


def test_some_contacts_accept_and_reply_before_their_first_message(runs: list[Run]) -> None:
    answered = replied_again = 0
    for run in runs:
        for reply in replies_to_invitations(run):
            (accepted,) = of_type(run, "invitation.accepted")
            assert (reply.channel, reply.step_number) == ("LINKEDIN", accepted.step_number)
            assert accepted.created_at < reply.created_at
            sent = next(of_type(run, "message.sent"), None)
            if sent and reply.created_at < sent.created_at:
                answered += 1
                replied_again += bool(replies_to_messages(run))
    assert answered > 10
    assert 0.25 < share(replied_again, answered) < 0.9


def test_a_pause_is_resumed_and_nothing_is_sent_during_it(runs: list[Run]) -> None:
    pauses = 0
    for run in runs:
        marks = list(of_type(run, "sequence.paused", "sequence.resumed"))
        assert [mark.type for mark in marks] in ([], ["sequence.paused", "sequence.resumed"])
        if marks:
            pauses += 1
            paused, resumed = (mark.created_at for mark in marks)
            sent = [activity.created_at for activity in of_type(run, "message.sent", "task.created")]
            assert not [at for at in sent if paused < at < resumed]
    assert pauses > 50


def test_a_task_is_closed_at_most_once_after_it_was_created(runs: list[Run]) -> None:
    outcomes: Counter[str] = Counter()
    for run in runs:
        made = {task.task_id: task.created_at for task in of_type(run, "task.created")}
        closed = list(of_type(run, "task.completed", "task.skipped"))
        assert len({task.task_id for task in closed}) == len(closed)
        assert all(made[task.task_id] < task.created_at for task in closed)
        outcomes.update(task.type for task in closed)
        outcomes["open"] += len(made) - len(closed)
    assert outcomes["task.completed"] > outcomes["task.skipped"] > 0 < outcomes["open"]


def test_an_invitation_comes_before_its_acceptance(runs: list[Run]) -> None:
    accepted = 0
    for run in runs:
        for acceptance in of_type(run, "invitation.accepted"):
            (invitation,) = of_type(run, "invitation.sent")
            assert invitation.created_at < acceptance.created_at
            accepted += 1
    assert accepted > 100


def test_invited_contacts_get_linkedin_messages_only_after_accepting(runs: list[Run]) -> None:
    for run in runs:
        if any(of_type(run, "invitation.sent")):
            accepted = [a.created_at for a in of_type(run, "invitation.accepted")]
            for sent in of_type(run, "message.sent"):
                assert sent.channel == "EMAIL" or (accepted and accepted[0] <= sent.created_at)


def test_meetings_follow_positive_replies(runs: list[Run]) -> None:
    meetings = 0
    for run in runs:
        positive = [
            reply.created_at
            for reply in of_type(run, "message.replied")
            if reply.reply_category in ("MEETING", "INTERESTED")
        ]
        for meeting in of_type(run, "meeting.created"):
            meetings += 1
            assert min(positive) < meeting.created_at
            assert meeting.calendar_event_id
    assert meetings > 20


def test_hot_leads_are_rare_and_follow_at_least_two_responses(runs: list[Run]) -> None:
    hot = 0
    for run in runs:
        leads = list(of_type(run, "hot_lead.created"))
        assert len(leads) <= 1
        for lead in leads:
            hot += 1
            engaged = ("message.opened", "message.link_clicked", "message.replied", "invitation.accepted")
            assert sum(a.created_at < lead.created_at for a in of_type(run, *engaged)) >= 2
    assert 0.02 < share(hot, len(runs)) < 0.3


def test_every_touch_completes_its_step(runs: list[Run]) -> None:
    for run in runs:
        done = {(step.step_number, step.created_at) for step in of_type(run, "sequence_step.completed")}
        for touch in of_type(run, "message.sent", "invitation.sent", "task.completed"):
            assert (touch.step_number, touch.created_at) in done


def test_replies_are_classified_after_2_minutes_to_36_hours(runs: list[Run]) -> None:
    delays = []
    for run in runs:
        for activity in run:
            if activity.type == "message.replied":
                assert activity.reply_category
                assert activity.classified_at
                delays.append(activity.classified_at - activity.created_at)
            else:
                assert activity.reply_category is None
    assert timedelta(minutes=2) <= min(delays) < timedelta(minutes=10)
    assert timedelta(hours=20) < max(delays) <= timedelta(hours=36)


def test_some_opens_are_instant_and_most_are_later(runs: list[Run]) -> None:
    instant = later = 0
    for run in runs:
        sent = {activity.message_id: activity.created_at for activity in of_type(run, "message.sent")}
        for opened in of_type(run, "message.opened"):
            if opened.created_at - sent[opened.message_id] <= timedelta(seconds=10):
                instant += 1
            else:
                later += 1
    assert 0.05 < share(instant, instant + later) < 0.4


def test_replies_come_within_hours_or_days(runs: list[Run]) -> None:
    waits = []
    for run in runs:
        sent = {activity.message_id: activity.created_at for activity in of_type(run, "message.sent")}
        waits += [
            (reply.created_at - sent[reply.message_id]) / timedelta(hours=1) for reply in replies_to_messages(run)
        ]
    assert 6 < median(waits) < 48
    assert max(waits) > 72


def test_weekends_have_few_activities(runs: list[Run]) -> None:
    weekday = Counter(activity.created_at.weekday() for run in runs for activity in run)
    assert weekday[5] + weekday[6] < 0.03 * weekday.total()
    assert weekday[5] > 0 < weekday[6]


def reply_rate(runs: list[Run]) -> float:
    contacted = [run for run in runs if any(of_type(run, "message.sent"))]
    replied = [run for run in contacted if any(is_human(r) for r in of_type(run, "message.replied"))]
    return share(len(replied), len(contacted))


def test_reply_rates_differ_between_sequences(named_runs: dict[str, list[Run]]) -> None:
    rates = {name: reply_rate(runs) for name, runs in named_runs.items() if len(runs) >= 100}
    assert len(rates) >= 9
    assert 0.005 < rates["HR directors Nordics - payroll switch"] < 0.04
    assert 0.10 < rates["Founders UK - seed round closed"] < 0.21
    assert max(rates.values()) < 0.21
    assert len({round(rate, 2) for rate in rates.values()}) >= 5


def test_sequences_match_their_names_and_summaries(named_runs: dict[str, list[Run]]) -> None:
    def channels(name: str) -> set[str | None]:
        return {a.channel for run in named_runs[name] for a in of_type(run, "message.sent") if is_not_moved(run)}

    def is_not_moved(run: Run) -> bool:
        return len(templates_of(run)) == 1

    assert channels("Design leaders Europe - LinkedIn only") == {"LINKEDIN"}
    assert channels("CFOs Benelux - audit season") == {"EMAIL"}
    invited = named_runs["Heads of Sales DACH - hiring signal"]
    touches = [[touch.type for touch in of_type(run, "invitation.sent", "message.sent")] for run in invited]
    assert {types[0] for types in touches if types} == {"invitation.sent"}
    assert any(any(of_type(run, "task.created")) for run in named_runs["RevOps US East - CRM clean-up"])
    untracked = filter(is_not_moved, named_runs["Plant managers Iberia - energy costs"])
    assert not any(any(of_type(run, "message.opened", "message.link_clicked")) for run in untracked)


def test_one_sequence_has_too_few_contacts(named_runs: dict[str, list[Run]]) -> None:
    pilot = named_runs["General counsel - contract backlog pilot"]
    assert 5 < sum(any(of_type(run, "message.sent")) for run in pilot) < 30
