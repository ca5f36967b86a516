"""The form of each sentence that the report, the Monday message and `status` can say, and how it is judged."""

# ruff: noqa: E501 - a form is on one line, like its sentence

from typing import Any

_REPLIED = "replied within 30 days"
_FROM_FEW = "[ From so few contacts, this says little.]"
_SENT = "first messaged or invited"
_NOT_CLEAR = "Not known, because with so few contacts even a fall to half would usually go unnoticed"
# What somebody can read, by how it is judged. A value is the name of a method of `Judge` and what it is called with.
# None is judged elsewhere on the page, or claims nothing.
FORMS: dict[str, str | tuple[str, dict[str, Any]] | None] = {
    # Do this week: claims, evidence, actions.
    "{number:n} day<|s> of the last 30 <was|were> not read in full.": "unknown_days",
    "{days:days}. Contacts whose 30 days contain such a day are in no rate.": None,
    "Read the days again: topo-pipeline backfill {t:t}-{a:n}-{b:n} {u:t}-{c:n}-{d:n}": None,
    "Replies to {sequence:q} have gone {way:w}: {came:n} where about {expected:n} were expected.": "changed",
    "{more:w} replies than usual: {came:n} so far, in all sequences together, where about {expected:n} were expected.": "changed_all",
    "From {n:n} contact<|s> of the four weeks before {monday:d}.": "changed_evidence",
    "What is expected comes from the eight weeks before[ and from what the other sequences did], and chance alone rarely"
    " brings such a gap.": None,
    "{sequence:q} very likely does {word:w} than the others: {rate:p} against {others:p}.": "compared",
    f"{{came:n}} of {{n:n}} contact<|s> {_REPLIED}, likely range {{likely:r}}. Of the others, {{others:n}} of {{of:n}}.": "compared_evidence",
    "Early read of its newest {n:n} contact<|s>: {rate:p}, likely range {likely:r}.": "newest_evidence",
    "{sequence:q} is silent, and {waiting:n} contact<|s> <is|are> waiting in it.": "silent",
    "It last sent something on {day:d}. A sequence is silent after {n:n} business day<|s> without a message, or later if"
    " its pauses are usually longer.": "last_sent",
    "The last step of {sequence:q} brings almost nothing: {came:n} repl<y|ies> from {n:n} contact<|s>.": "last_step",
    "The earlier steps together: {came:n} from {n:n}. Replies within 14 days, of contacts who had not replied before.": "earlier_steps",
    "{sequence:q} got no new contact in two weeks.": "no_new_contacts",
    "First messages and invitations of the 14 days to {day:d}.": None,
    "Email tracking seems to be off for {sequence:q}.": "tracking_off",
    "{n:n} email<|s> in 28 days without one open or click.": "untracked_evidence",
    "<{sequence:q}|All sequences together> sent <nothing|{n:n} message<|s>> in the week {days:days}, usually about"
    " {usual:n}.": "unusual_week",
    "Usually: the mean of the last four of the eight weeks before it that were read in full and had no day on which nothing"
    " at all was sent.": "usual_weeks",
    "<{sequence:q}|All sequences together> sent <nothing|{n:n} message<|s>> on {day:t}, usually about {usual:n}.": "unusual_day",
    "Usually: on the same weekday of the weeks before.": None,
    "Find out what changed in the last month before you add contacts: replies to it have gone down.": "went_down",
    **dict.fromkeys(
        (
            "Look for a common cause: a holiday, slower replies, the senders' reputation, a new kind of contact.",
            "Look for what changed in the last month: its text, its contacts, its sender.",
            "Add contacts to it first. Find out what it does differently, and test that in another sequence.",
            "Find out what it does differently, and test that in another sequence. Before you add many contacts to it, wait"
            " for the final rate of its newest ones on {day:d}.",
            "Check its list and its messages before you add contacts.",
            "Find out what changed, and keep it.",
            "Find out what the sequences have in common, and keep it.",
            "Rewrite step {step:n}, or end the sequence before it.",
            "Add contacts, or close it.",
            "Check the setting in Topo if you want opens and clicks. Reply rates don't need it.",
            "Check in Topo whether its sender is paused or a task is open.",
            "Check whether that was intended.",
            "Check whether it was a holiday.",
            "Look at the sequence[: Sequence {n:n}]",
        )
    ),
    "Nothing to do: no difference is large enough to act on.": "nothing",
    "Nothing to do: it is too early to compare the sequences.": "too_early",
    # How many reply.
    "<No clear change|{verdict:w}>: {came:n} repl<y|ies> so far from the contacts of the last four weeks, where about"
    " {expected:n} were expected. This compares {n:n} sequence<|s>[ together].[ Reason: {reason:t}.]": "change_of_all",
    "Whether replies have changed is not known: {reason:t}.": None,
    f"Early read of the newest contacts: {{rate:p}}, likely range {{likely:r}}. {{came:n}} of {{n:n}} contact<|s> {_SENT}"
    " {days:days} have replied so far.": "early",
    f"Likely range {{likely:r}}. {{came:n}} of {{n:n}} contact<|s> {_SENT} {{days:days}} have replied so far.": "early",
    "The early read allows for the replies still to come, if they come as fast as usual.": None,
    "{n:n} of the replies are not classified yet; automatic ones will not count.": "pending",
    "[Early read of the newest contacts: none, |None: ]needs 60 replies to know how fast they come; {learned:n} so far.": "lacks",
    "[Early read of the newest contacts: none, |None: ]no contact in the last 28 days.": None,
    "[Early read of the newest contacts: none, |None: ]its contacts are too new.": None,
    "Within {days:n} days, {came:n} of {n:n} contact<|s> replied: {rate:p}, likely range {likely:r}.": "window",
    f"Latest final rate: {{rate:p}}, likely range {{likely:r}}. {{came:n}} of {{n:n}} contact<|s> {_SENT} {{days:days}}"
    f" {_REPLIED}, {{positive:n}} of them positively; {{met:n}} booked a meeting.": "final_week",
    f"Likely range {{likely:r}}. {{came:n}} of {{n:n}} contact<|s> {_SENT} {{days:days}} {_REPLIED}, {{positive:n}} of them"
    " positively; {met:n} booked a meeting.": "final_week",
    "The next week that is not due yet, {days:days}, is final on {day:d} at the earliest.": "next_final",
    f"A week is final once everyone {_SENT} in it has had 30 days to reply. The first week, {{days:days}}, is final on"
    " {day:d} at the earliest.": "not_yet",
    "{outcome:w} from contacts already messaged or invited, if they reply as others did before: {parts:t} days<| ({note:t})>.": "forecast",
    "{outcome:w}: not known, needs 60 {of:w} to know how fast they come; {learned:n} so far.": "lacks",
    "{outcome:w}: none expected, {reason:t}.": "none_to_come",
    # Since the last report.
    "New in the data, {days:days}: {sent:n} <message or invitation|messages and invitations>, {touched:n} new contact<|s>,"
    " {replies:n} repl<y|ies>[ ({positive:n} positive)] and {met:n} meeting<|s>.": "new_days",
    "Correction: {t:t}.": "corrected",
    "The findings are the same as in that report.": "same_findings",
    "No longer found: {claim:t}.": "gone",
    "New: {claim:t}.": "new",
    "Now with a rank: {named:t}.": "rank_gained",
    "Without a rank now: {named:t}.": "rank_lost",
    "Change, as in the list of sequences: {named:t}.": "change_moved",
    "{n:n} <more|other> finding<s are| is> <new|gone too>.": None,
    "No kept report is at least 5 days older, so there is nothing to compare with yet.": "no_earlier",
    # One sequence.
    "Not known yet: no contact's 30 days are over.": "no_rate_yet",
    f"{{came:n}} of {{n:n}} contact<|s> {_REPLIED}: {{rate:p}}, likely range {{likely:r}}.{_FROM_FEW}": "final",
    f"This counts contacts {_SENT} between {{first:d}} and {{last:d}}.": "counted_days",
    "None: needs 30 contacts whose 30 days are over; {n:n} so far.": "no_rank",
    "None: the status is {n:t}.": ("no_rank", {"n": None}),
    "The only sequence with enough contacts for a rank.": None,
    "{place:n} of {n:n} ranked sequences, by reply rate adjusted for the number of contacts.": "ranked",
    "The chance that it is the best is at least 80%.": "best",
    "It is {step:s} {word:w} the <next|first>, {other:q}[, but not clearly the best].": "placed",
    "It leads, but is not clearly above the next, {other:q}.": None,
    "It is not clearly below the first, {other:q}.": None,
    f"{{came:n}} of the {{n:n}} contact<|s> {_SENT} since {{since:d}} ha<s|ve> replied so far. Allowing for the replies"
    f" still to come, if they come as fast as usual: {{rate:p}}, likely range {{likely:r}}.{_FROM_FEW}": "early",
    "All sequences together: {p:p}.": None,
    "Topo has not classified {n:n} of the replies yet. Automatic ones will not count.": "pending",
    "The contacts of {n:n} day<|s> are left out, because a day since then was not read in full.": None,
    "Not judged: {t:t}.": None,
    f"<Replies have gone {{verdict:w}}|No clear change|{_NOT_CLEAR}>: {{came:n}} repl<y|ies> so far from the contacts of"
    " the four weeks before {monday:d}. About {expected:n} were expected, given its eight weeks before and the other"
    " sequences.": "change",
    "Nothing: no contact is in flight.": "nothing_to_come",
    "Nothing until more contacts are messaged or invited: 30 days after that, the reply rate counts them.": "nothing_to_come",
    "By {day:d}, {n:n} more contact<|s> will have had their 30 days.": "more_to_come",
    "The next contacts are counted on {day:d}.": "next_counted",
    "On {day:d} enough are counted for a rank.": "ranked_on",
    "To detect a difference from the other sequences in 4 of 5 cases if you look once, it needs <{twice:n} contact<|s> if its reply rate is twice theirs"
    "|{half:n} contact<|s> if its reply rate is half theirs>[, or {half2:n} contact<|s> if its reply rate is half theirs]."
    " It has {has:n} (new contacts count in part).": "needs",
    "How many contacts it takes is not known: the other sequences have too few contacts, or no reply.": None,
    # The message.
    "Engagement report, {day:d}": None,
    "As of the end of {day:d}.": "as_of",
    "{n:n} day<|s> missing since {day:d}.": "days_missing",
    "Contacts of {n:n} day<|s> are in no rate: a day in their time to reply was not read in full.": "left_out",
    "Report: {t:t}.html": None,
    "The report has {n:n} more thing<|s> to look at.": "more_things",
    **dict.fromkeys(("Do this week", "How many reply", "Since the report of {day:d}")),
}


LISTED: dict[str, str | tuple[str, dict[str, Any]] | None] = {
    "As of the end of {day:d}": "as_of",
    "Every day since {day:d} was read": "all_read",
    "Every day proved complete": None,
    "Every reply is classified": "all_classified",
    "{n:n} day<|s> missing since {day:d}": "days_missing",
    "{n:n} of {of:n} repl<y|ies> not classified yet": "unclassified",
    "Contacts of {n:n} day<|s> are in no rate: a day in their time to reply was not read in full": "left_out",
    "{status:w} · {n:n} contact<|s> in progress · {tasks:n} open task<|s> · {touched:n} new contact<|s> in the last two"
    " weeks": "at_a_glance",
    "{p:p}": None,
}
