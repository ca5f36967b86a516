"""Shared parts of the schedules and sensors that call the API: skipping ticks and building run requests."""

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import dagster as dg

from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError

if TYPE_CHECKING:
    from topo_pipeline.automation.facts import Decision, Request

_P = ParamSpec("_P")
_T = TypeVar("_T")


def skip_on_error(evaluate: Callable[_P, _T]) -> Callable[_P, _T | dg.SkipReason]:
    """Turn errors such as a missing key or no answer from Topo into a skipped tick. The next tick is the retry."""

    @wraps(evaluate)
    def evaluated(*args: _P.args, **kwargs: _P.kwargs) -> _T | dg.SkipReason:
        try:
            return evaluate(*args, **kwargs)
        except (SettingsError, TopoError) as error:
            return dg.SkipReason(str(error))

    return evaluated


def run_request(
    request: "Request", *others: dg.AssetKey, tags: Mapping[str, str] = MappingProxyType({})
) -> dg.RunRequest:
    """Return a run that reads the requested days and `others`. A sensor builds the tables afterwards."""
    return dg.RunRequest(
        run_key=request.key,
        asset_selection=[ACTIVITIES, *others],
        tags={**range_tags(request.first, request.last), **tags},
    )


def tick_result(decision: "Decision[Any]") -> dg.SensorResult:
    """Return a decision as Dagster's sensor result."""
    from topo_pipeline.automation.cursors import write_cursor

    return dg.SensorResult(
        run_requests=[run_request(request) for request in decision.requests],
        skip_reason=None if decision.requests else decision.reason,
        cursor=write_cursor(decision.state),
    )
