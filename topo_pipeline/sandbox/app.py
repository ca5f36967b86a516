"""The stand-in Topo API: a FastAPI app over a simulated world."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Query, Request, Response

from topo_pipeline.sandbox import wire
from topo_pipeline.sandbox.errors import answer_errors
from topo_pipeline.sandbox.faults import Fault
from topo_pipeline.sandbox.gate import Gate
from topo_pipeline.sandbox.openapi import DescribedApp, responses
from topo_pipeline.sandbox.plan import Faulty, Plan, bend, take_plans
from topo_pipeline.sandbox.query import ActivityQuery, Paging, TemplateQuery
from topo_pipeline.sandbox.wire import Spelling
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
) -> FastAPI:
    """Build the API over `world`, for one key; nothing later than `now()` can be seen.

    The default spelling is the one that tells channels, steps and reply categories. `faults` strike its answers
    until others are set.
    """
    app = DescribedApp(title="Topo sandbox", docs_url=None, redoc_url=None, redirect_slashes=False)
    answer_errors(app)
    gate = Gate(api_key, scopes)
    _serve_activities(app, world, gate, now, spelling)
    _serve_sequence_templates(app, world, gate, now)
    _serve_me(app, world, gate, now)
    plan = Plan(faults)
    take_plans(app, plan)
    app.add_middleware(Faulty, plan=plan)
    return app


def _serve_activities(app: FastAPI, world: World, gate: Gate, now: Clock, spelling: Spelling) -> None:
    spell = wire.SPELLERS[spelling]

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
        found = world.activities(query.created_at_after, min(query.created_at_before or end, end))
        selects = query.selects()
        if selects is not None:
            found = [activity for activity in found if selects(activity)]
        found = bend(request, found, query)
        if query.sort_order == "desc":
            found.reverse()
        return _page(found, query, lambda activity: spell(world.organization_id, activity, present))


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
        return _page(found, query, wire.sequence_template)


def _serve_me(app: FastAPI, world: World, gate: Gate, now: Clock) -> None:
    @app.get(
        "/v1/me",
        response_class=Response,
        responses=responses(wire.ApiKey, 401),
        dependencies=[Depends(gate.needs())],
    )
    async def me() -> Response:
        """Tell what the key is."""
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


def _page(rows: Sequence[Row], query: Paging, spell: Callable[[Row], object]) -> Response:
    """Answer one page of `rows`; a page past the end is empty."""
    total_pages = -(-len(rows) // query.size)
    start = (query.page - 1) * query.size
    body = wire.Page(
        items=[spell(row) for row in rows[start : start + query.size]],
        total_count=len(rows),
        total_pages=total_pages,
        has_more=query.page < total_pages,
    )
    return _json(body)


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
