"""Authentication: one bearer key with scopes."""

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from topo_pipeline.sandbox.errors import UNAUTHORIZED, Refusal

_bearer = HTTPBearer(auto_error=False)


@dataclass(frozen=True)
class Gate:
    """The accepted key and its scopes."""

    api_key: str = field(repr=False)
    scopes: Collection[str]

    def needs(self, scope: str | None = None) -> Callable[..., None]:
        """Return the check for one operation. It refuses with 401 (key) or 403 (scope)."""

        def check(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
            if "Authorization" not in request.headers:
                raise Refusal(401, UNAUTHORIZED, "the Authorization header is missing")
            if given is None:
                raise Refusal(401, UNAUTHORIZED, "the Authorization header must have the form: Bearer <key>")
            if not hmac.compare_digest(given.credentials.encode(), self.api_key.encode()):
                raise Refusal(401, UNAUTHORIZED, "the API key is invalid")
            if scope is not None and scope not in self.scopes:
                raise Refusal(403, UNAUTHORIZED, f"the API key lacks the scope {scope}")

        return check

    @property
    def key_prefix(self) -> str:
        """The part of the key that may be shown."""
        return self.api_key[: min(9, len(self.api_key) // 2)]
