"""The charts of the report and of the previews in Dagster, all in one style.

A chart is as wide as the element that contains it ("container"). A picture needs a width, in pixels:
`chart.properties(width=720)`.
"""

from typing import TYPE_CHECKING, Any

import altair as alt

from topo_pipeline.report.palette import FONT, LIGHT, Palette

if TYPE_CHECKING:
    import pandas as pd

Chart = alt.LayerChart | alt.VConcatChart

DAILY = {"sent": "Messages sent", "replies": "Replies", "meetings": "Meetings booked"}
EXITS = {
    "went_on": "continued",
    "exits_replied": "replied or met",
    "exits_completed": "completed",
    "exits_stopped": "were stopped",
    "exits_active": "still active",
}
AXIS_WIDTH = 44  # of daily_activity, in pixels, the same for all plots so that they are aligned
CELLS = ("weekday", "hour", "sends", "num", "den", "rate")  # of send_times
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MANY_DAYS, MANY_WEEKS = 120, 26  # above these, marks are finer
_DAY = "%a %-d %b %Y"


def daily_activity(days: "pd.DataFrame", palette: Palette = LIGHT, *, width: int = 720) -> Chart:
    """Draw the messages, replies and meetings of each day in three plots, each with its own scale.

    Args:
        days: day, sent, replies, meetings, is_landed. The counts of a day that has not landed are NaN.
        palette: The colours.
        width: The width of the plots without their axes, in pixels.
    """
    base = alt.Chart(_data(days)).properties(width=width, height=84)
    last = list(DAILY)[-1]
    x = alt.X("day:T", timeUnit="yearmonthdate", title=None)
    whole = "datum.value % 1 ? '' : datum.label"
    counts = alt.Axis(tickCount=3, format="~s", labelExpr=whole, minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH)
    views = []
    for measure, title in DAILY.items():
        axis = alt.Axis(labels=measure == last, ticks=measure == last, format="%-d %b", labelOverlap=True, grid=False)
        scale = alt.Scale(domainMin=0) if days[measure].any() else alt.Scale(domain=[0, 1])
        bars = base.mark_bar(color=palette.accent, binSpacing=0.5 if len(days) <= MANY_DAYS else 0).encode(
            x=x.axis(axis),
            y=alt.Y(f"{measure}:Q", title=None, axis=counts, scale=scale),
            tooltip=[_tip("day:T", "Day", _DAY), _tip(f"{measure}:Q", title, ",")],
        )
        views.append(alt.layer(*_never_landed(days, base, x, palette), bars).properties(title=title))
    return _styled(alt.vconcat(*views, spacing=14).resolve_scale(x="shared"), palette)


def weekly_reply_rate(weeks: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the reply rate of each week of first messages or invitations, with its Wilson interval as a band.

    Columns: week_start, num, den, rate, low, high, evidence, is_mature.
    """
    base = alt.Chart(_data(weeks)).encode(
        x=alt.X("week_start:T", title="Week of the first message or invitation (its Monday)", axis=_mondays(weeks)),
        tooltip=[
            _tip("week_start:T", "Week of", "%-d %b %Y"),
            _tip("rate:Q", "Reply rate", ".1%"),
            _tip("low:Q", "At least", ".1%"),
            _tip("high:Q", "At most", ".1%"),
            _tip("num:Q", "Replied", ","),
            _tip("den:Q", "Counted", ","),
        ],
    )
    y = alt.Y("rate:Q", title="Reply rate", axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(zero=True))
    band = base.mark_area(color=palette.soft, opacity=0.45).encode(y=alt.Y("low:Q"), y2="high:Q")
    bars = base.mark_rule(color=palette.soft, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(color=palette.accent, strokeWidth=2).encode(y=y)
    # A point is hollow if the evidence is too small or days are missing.
    fill = alt.when(_HAS_EVIDENCE).then(alt.value(palette.accent)).otherwise(alt.value(palette.card))
    points = base.mark_point(
        size=64 if len(weeks) <= MANY_WEEKS else 16, stroke=palette.accent, strokeWidth=2, opacity=1
    ).encode(y=y, fill=fill)
    return _styled(band + bars + line + points, palette, 260)


def send_times(cells: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the messages of each weekday and hour: darker with a higher reply rate, pale without enough for a rate.

    Columns: those of `CELLS`. The page puts in the cells of the selected sequence.
    """
    base = alt.Chart(_data(cells)).encode(
        x=alt.X("hour:O", title="Hour of sending", axis=alt.Axis(labelAngle=0, labelOverlap=True, grid=False)),
        y=alt.Y("weekday:O", title=None, scale=alt.Scale(domain=list(range(1, 8))),
                axis=alt.Axis(labelExpr=f"{['', *_WEEKDAYS]}[datum.value]", grid=False)),
        tooltip=[_tip("sends:Q", "Messages", ","), _tip("den:Q", "Counted", ","), _tip("num:Q", "With a reply", ","),
                 _tip("rate:Q", "Reply rate", ".1%")],
    )  # fmt: skip
    pale = base.mark_rect(color=palette.missing, stroke=palette.line, opacity=0.5)
    shade = alt.Opacity("rate:Q", scale=alt.Scale(domain=[0, 0.2], range=[0.1, 0.65], clamp=True), legend=None)
    rated = base.transform_filter("datum.rate !== null").mark_rect(color=palette.accent).encode(opacity=shade)
    text = base.mark_text(fontSize=11, color=palette.ink).encode(text="sends:Q")
    return _styled(pale + rated + text, palette, 210)


def step_drop_off(steps: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the runs that reached each step, by whether they continued or ended there.

    Columns: step (its label), runs_reached, went_on, exits_replied, exits_completed, exits_stopped, exits_active.
    """
    colours = [palette.soft, palette.accent, palette.muted, palette.warm, palette.pale]
    names = ", ".join(f"'{kind}': '{what}'" for kind, what in EXITS.items())
    order = ", ".join(f"'{kind}': {nth}" for nth, kind in enumerate(EXITS))
    base = alt.Chart(_data(steps)).encode(y=_labels("step"))
    bars = (
        base.transform_fold(list(EXITS), as_=["kind", "runs"])
        .transform_calculate(outcome=f"({{{names}}})[datum.kind]", nth=f"({{{order}}})[datum.kind]")
        .mark_bar(height={"band": 0.62})
        .encode(
            x=alt.X("runs:Q", title="Runs", stack="zero", axis=_WHOLE),
            color=alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=list(EXITS.values()), range=colours),
                legend=alt.Legend(orient="top", symbolType="square"),
            ),
            order=alt.Order("nth:Q"),
            tooltip=[
                alt.Tooltip("step:N", title="Step"),
                alt.Tooltip("outcome:N", title="Runs that"),
                _tip("runs:Q", "Number", ","),
                _tip("runs_reached:Q", "Of", ","),
            ],
        )
    )
    text = base.mark_text(align="left", dx=6, color=palette.ink).encode(
        x=alt.X("runs_reached:Q"), text=alt.Text("runs_reached:Q", format=",")
    )
    return _styled(bars + text + _room(base, "runs_reached", 1.12), palette, alt.Step(36))


def channel_split(channels: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the messages and invitations sent on each channel, without channels that sent none.

    Columns: channel (its label), touches, share.
    """
    base = alt.Chart(_data(channels[channels["touches"] > 0])).encode(
        y=_labels("channel"),
        x=alt.X("touches:Q", title=None, axis=None),
        tooltip=[
            alt.Tooltip("channel:N", title="Channel"),
            _tip("touches:Q", "Sent", ","),
            _tip("share:Q", "Of all", ".1%"),
        ],
    )
    bars = base.mark_bar(color=palette.accent, height={"band": 0.62})
    text = base.mark_text(align="left", dx=6, color=palette.ink).encode(text="label:N")
    text = text.transform_calculate(label="format(datum.touches, ',') + '  ·  ' + format(datum.share, '.0%')")
    return _styled(bars + text + _room(base, "touches", 1.4), palette, alt.Step(40))


def funnel(stages: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the runs that reached each stage: enrolled, messaged or invited, replied, positive reply, meeting.

    Columns: stage (its label), runs, share (of the runs with a message or invitation, or NaN).
    """
    base = alt.Chart(_data(stages)).encode(
        y=_labels("stage"),
        x=alt.X("runs:Q", title=None, axis=None),
        tooltip=[
            alt.Tooltip("stage:N", title="Stage"),
            _tip("runs:Q", "Runs", ","),
            _tip("share:Q", "Of those messaged or invited", ".1%"),
        ],
    )
    bars = base.mark_bar(color=palette.accent, height={"band": 0.7})
    text = base.mark_text(align="left", dx=6, color=palette.ink).encode(text="label:N")
    text = text.transform_calculate(
        label="format(datum.runs, ',') + (datum.share == null ? '' : '  ·  ' + format(datum.share, '.1%'))"
    )
    return _styled(bars + text + _room(base, "runs", 1.4), palette, alt.Step(38))


def intervals(board: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw a rate of each sequence with its interval.

    Columns: name, value, low, high (NaN if unknown), is_highlighted.
    """
    colour = alt.when("datum.is_highlighted").then(alt.value(palette.accent)).otherwise(alt.value(palette.pale))
    base = alt.Chart(_data(board)).encode(y=_labels("name", limit=250), color=colour)
    axis = alt.Axis(format="~%", tickCount=6)
    bars = base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=alt.X("low:Q", title=None, axis=axis), x2="high:Q")
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(x="value:Q")
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=palette.muted).encode(x="zero:Q")
    return _styled(zero + bars + dots, palette, alt.Step(24))


def active_runs(days: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the active runs at the end of each day. Columns: day, active."""
    base = alt.Chart(_data(days)).encode(
        x=alt.X("day:T", title=None, axis=alt.Axis(format="%-d %b", labelOverlap=True, grid=False)),
        y=alt.Y("active:Q", title=None, axis=_WHOLE),
    )
    area = base.mark_area(color=palette.soft, opacity=0.45, line={"color": palette.accent, "strokeWidth": 2})
    dots = base.mark_point(filled=True, color=palette.accent, size=14, opacity=1)
    return _styled(area + dots, palette, 200)


def weekly_messages(weeks: "pd.DataFrame", palette: Palette = LIGHT) -> Chart:
    """Draw the messages of each week. Unusual weeks stand out. Columns: week_start, sent, is_highlighted."""
    colour = alt.when(alt.datum.is_highlighted).then(alt.value(palette.warm)).otherwise(alt.value(palette.accent))
    bars = (
        alt.Chart(_data(weeks))
        .mark_bar(width={"band": 0.8})
        .encode(
            x=alt.X("week_start:O", timeUnit="yearmonthdate", title="Week (its Monday)", axis=_mondays(weeks)),
            y=alt.Y("sent:Q", title="Messages", axis=_WHOLE),
            color=colour,
        )
    )
    return _styled(alt.layer(bars), palette, 200)


_WHOLE = alt.Axis(format="~s", tickMinStep=1, tickCount=5)
_HAS_EVIDENCE = (alt.datum.evidence != "none") & (alt.datum.evidence != "too_small") & alt.datum.is_mature


def _never_landed(days: "pd.DataFrame", base: alt.Chart, x: alt.X, palette: Palette) -> list[alt.Chart]:
    """Return a shade for the days that have not landed, if there are any."""
    if days["is_landed"].all():
        return []
    shade: alt.Chart = base.transform_filter("!datum.is_landed").transform_calculate(note="'never read'")
    tips = [_tip("day:T", "Day", _DAY), alt.Tooltip("note:N", title="Was")]
    return [shade.mark_rect(color=palette.missing).encode(x=x, tooltip=tips)]


def _labels(field: str, limit: int = 150) -> alt.Y:
    """Return an axis of names, in the order of the frame."""
    axis = alt.Axis(ticks=False, domain=False, grid=False, labelPadding=8, labelLimit=limit)
    return alt.Y(f"{field}:N", title=None, sort=None, axis=axis)


def _room(base: alt.Chart, field: str, times: float) -> alt.Chart:
    """Return invisible points beyond the bars, which leave room for the text at the end of the longest one."""
    room: alt.Chart = base.transform_calculate(room=f"datum.{field} * {times}").mark_point(opacity=0)
    return room.encode(x="room:Q", tooltip=[])


def _mondays(weeks: "pd.DataFrame") -> alt.Axis:
    days = [alt.DateTime(year=day.year, month=day.month, date=day.day) for day in weeks["week_start"]]
    return alt.Axis(values=days, format="%-d %b", labelOverlap=True, labelSeparation=12, grid=False)


def _tip(field: str, title: str, form: str) -> alt.Tooltip:
    return alt.Tooltip(field, title=title, format=form)


def _data(frame: "pd.DataFrame") -> alt.InlineData:
    """Return the rows as data of the chart. Days have no zone, so that every browser shows the same day."""
    days = {str(name): frame[name].dt.strftime("%Y-%m-%dT00:00:00") for name in frame.select_dtypes("datetime")}
    shown = frame.assign(**days)
    rows = shown.astype(object).where(shown.notna(), None).to_dict("records")
    return alt.InlineData(values=[{str(name): value for name, value in row.items()} for row in rows])


def _styled(chart: Any, palette: Palette, height: int | alt.Step | None = None) -> Chart:
    """Return the chart in the style of the report. With a height, it is as wide as its container."""
    if height is not None:
        autosize = alt.AutoSizeParams(type="fit-x", contains="padding")
        chart = chart.properties(width="container", height=height, autosize=autosize)
    styled: Chart = chart.configure(
        background="transparent" if palette.paper.startswith("var") else palette.card,
        font=FONT,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor=palette.muted,
            titleColor=palette.muted,
            titleFontWeight="normal",
            titleFontSize=12,
            labelFontSize=12,
            titlePadding=10,
            gridColor=palette.line,
            domainColor=palette.line,
            tickColor=palette.line,
        ),
        axisY=alt.AxisConfig(domain=False, ticks=False),
        title=alt.TitleConfig(anchor="start", frame="bounds", color=palette.ink, fontSize=13, fontWeight=600, offset=6),
        legend=alt.LegendConfig(columns=3, labelColor=palette.ink, labelFontSize=12, symbolSize=110, offset=8),
        text=alt.MarkConfig(fontSize=13),
        padding=2,
    )
    return styled
