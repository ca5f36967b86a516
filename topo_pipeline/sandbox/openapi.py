"""The sandbox's OpenAPI schema. Responses are described by the structs that are encoded."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from topo_pipeline.sandbox import wire

BODIES = (*wire.ACTIVITY_PAGES.values(), wire.Page[wire.SequenceTemplate], wire.ApiKey, wire.Error)
_REFS, _COMPONENTS = msgspec.json.schema_components(BODIES, ref_template="#/components/schemas/{name}")


def responses(body: Any, *refusals: int) -> dict[int | str, dict[str, Any]]:
    """Return an operation's responses: `body`, and Topo's error body for each of these status codes."""
    return {200: _json(body, "Done"), **{status: _json(wire.Error, "Refused") for status in refusals}}


def _json(body: Any, description: str) -> dict[str, Any]:
    schema = _REFS[BODIES.index(body)]
    return {"description": description, "content": {"application/json": {"schema": schema}}}


class DescribedApp(FastAPI):
    """An app whose schema uses the wire structs and has no 422, because bad parameters get 400."""

    def openapi(self) -> dict[str, Any]:
        """Return the schema, built once."""
        if self.openapi_schema is None:
            schema = get_openapi(title=self.title, version=self.version, routes=self.routes)
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            schema["components"]["schemas"] = _COMPONENTS
            self.openapi_schema = schema
        return self.openapi_schema
