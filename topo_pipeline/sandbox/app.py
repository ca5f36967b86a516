"""The sandbox API: a FastAPI app over a simulated workspace."""

import itertools
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Query, Request, Response

from topo_pipeline.sandbox import wire
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.errors import NOT_FOUND, Refusal, answer_errors
from topo_pipeline.sandbox.faults import Fault
from topo_pipeline.sandbox.gate import Gate
from topo_pipeline.sandbox.headers import WithHeaders
from topo_pipeline.sandbox.openapi import DescribedApp, responses
from topo_pipeline.sandbox.plan import FaultMiddleware, Plan, add_plan_routes, apply_row_faults
from topo_pipeline.sandbox.query import ActivityQuery, Paging, TemplateQuery
from topo_pipeline.sandbox.quirks import NO_QUIRKS, Quirks
from topo_pipeline.sandbox.wire import CamelActivity, SnakeActivity, Spelling
from topo_pipeline.sandbox.world import World

ACTIVITIES_READ, SEQUENCES_READ = "activities:read", "sequences:read"
ALL_SCOPES = (ACTIVITIES_READ, SEQUENCES_READ)

_NEXT_INSTANT = timedelta(microseconds=1)

Row = TypeVar("Row")
Clock = Callable[[], datetime]


def create_app(
    world: World,
    *,
    api_key: str,
    now: Clock,
    spelling: Spelling = "snake",
    scopes: Collection[str] = ALL_SCOPES,
    faults: Sequence[Fault] = (),
    quirks: Quirks = NO_QUIRKS,
    date_clock: Clock | None = None,
) -> FastAPI:
    """Build the API over `world` for one key. Nothing later than `now()` is visible.

    `faults` are in force until others are set. `date_clock` is the clock of the Date header, by default `now`. Only the
    spelling "snake" includes channels, steps and reply categories.
    """
    app = DescribedApp(title="Topo sandbox", docs_url=None, redoc_url=None, redirect_slashes=False)
    answer_errors(app)
    gate = Gate(api_key, scopes)
    _serve_activities(app, world, gate, now, spelling=spelling, quirks=quirks)
    if not quirks.no_templates:
        _serve_sequence_templates(app, world, gate, now)
    if not quirks.no_me:
        _serve_me(app, world, gate, now)
    plan = Plan(faults)
    add_plan_routes(app, plan)
    app.add_middleware(FaultMiddleware, plan=plan)
    clock = date_clock or now
    app.add_middleware(WithHeaders, headers=lambda: quirks.headers(clock()))
    return app


def _serve_activities(
    app: FastAPI, world: World, gate: Gate, now: Clock, *, spelling: Spelling, quirks: Quirks
) -> None:
    spell = _speller(spelling, quirks)
    turns = itertools.count()

    @app.get(
        "/v1/activities",
        response_class=Response,
        responses=responses(wire.ACTIVITY_PAGES[spelling], 400, 401, 403),
        dependencies=[Depends(gate.needs(ACTIVITIES_READ))],
    )
    async def activities(request: Request, query: Annotated[ActivityQuery, Query()]) -> Response:
        """List activities."""
        present = now()
        end = present + _NEXT_INSTANT
        query = quirks.applied(query)
        found = world.activities(query.created_at_after, min(query.created_at_before or end, end))
        selects = query.selects()
        if selects is not None:
            found = [activity for activity in found if selects(activity)]
        found = apply_row_faults(request, found, query)
        found = quirks.arranged(found, query, next(turns))
        return _page(found, query, lambda activity: spell(world.organization_id, activity, present), quirks)


def _speller(spelling: Spelling, quirks: Quirks) -> wire.ActivitySpeller:
    spell = wire.SPELLERS[spelling]
    if quirks == NO_QUIRKS:  # keeps benchmarks fast
        return spell

    def spelled(organization_id: str, activity: Activity, now: datetime) -> CamelActivity | SnakeActivity:
        shown = msgspec.structs.replace(activity, created_at=quirks.shown(activity.created_at))
        return quirks.spelled(spell(organization_id, shown, now))

    return spelled


def _serve_sequence_templates(app: FastAPI, world: World, gate: Gate, now: Clock) -> None:
    @app.get(
        "/v1/sequence-templates",
        response_class=Response,
        responses=responses(wire.Page[wire.SequenceTemplate], 400, 401, 403),
        dependencies=[Depends(gate.needs(SEQUENCES_READ))],
    )
    async def sequence_templates(query: Annotated[TemplateQuery, Query()]) -> Response:
        """List sequence templates."""
        found = [template for template in world.templates(now()) if query.wants(template)]
        found.sort(key=query.sort_key, reverse=query.sort_order == "desc")
        return _page(found, query, lambda template: template)


def _serve_me(app: FastAPI, world: World, gate: Gate, now: Clock) -> None:
    @app.get(
        "/v1/me",
        response_class=Response,
        responses=responses(wire.ApiKey, 401),
        dependencies=[Depends(gate.needs())],
    )
    async def me() -> Response:
        """Describe the key."""
        body = wire.ApiKey(
            id=world.make_id("api key"),
            organization_id=world.organization_id,
            name="Sandbox key",
            key_prefix=gate.key_prefix,
            scopes=sorted(gate.scopes),
            last_used_at=wire.moment(now()),
            created_at=wire.moment(datetime.combine(world.starts, time(), UTC)),
        )
        return _json(body)


def _page(rows: Sequence[Row], query: Paging, spell: Callable[[Row], object], quirks: Quirks = NO_QUIRKS) -> Response:
    """Return one page of `rows`. A page past the end is empty unless a quirk changes that."""
    size = min(query.size, quirks.max_page_size or query.size)
    last, number = -(-len(rows) // size), query.page
    if number > last > 0 and quirks.after_last_page != "empty":
        if quirks.after_last_page == "error":
            raise Refusal(404, NOT_FOUND, f"there is no page {number}")
        number = last
    total_count = quirks.count(len(rows))
    body = wire.Page(
        items=[spell(row) for row in rows[(number - 1) * size : number * size]],
        total_count=total_count,
        total_pages=-(-total_count // size),
        has_more=quirks.follows(number, last),
    )
    return _json(body)


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
