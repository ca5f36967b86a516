"""Publish an export to S3: a folder per export below the address, and `latest.json`, which names the newest one.

`latest.json` is the manifest with `folder`. It is written last and in one request, so an upload that fails leaves the
previous export in place.
"""

import json
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import S3Store

from topo_pipeline.common.text import first_line
from topo_pipeline.exports.parquet import MANIFEST, Manifest, is_name, unused_name
from topo_pipeline.warehouse.errors import WarehouseError

LATEST = "latest.json"
# The variables that AWS's own programs read, by their names in obstore. The last one that is set applies.
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_DEFAULT_REGION": "aws_region",
    "AWS_REGION": "aws_region",
    "AWS_ENDPOINT_URL": "aws_endpoint",
    "AWS_ENDPOINT_URL_S3": "aws_endpoint",
}
_CODE = re.compile(r"<Code>(\w+)</Code>")


@dataclass(frozen=True)
class Bucket:
    """A folder of a bucket."""

    address: str  # `s3://BUCKET/FOLDER`
    variables: Mapping[str, str] = field(repr=False)  # those of AWS, with secrets

    @property
    def place(self) -> str:
        """The target, as it is named in messages."""
        return self.address

    def check(self) -> None:
        """List the folder, and write and delete an object in it.

        Raises:
            WarehouseError: S3 can't be reached or refuses a request.
        """
        name = f"topo-pipeline-check-{uuid.uuid4()}"
        try:
            store = self._store(retry_config={"max_retries": 1})
            store.list_with_delimiter()
            store.put(name, b"")
            store.delete(name)
        except (BaseError, OSError, ValueError) as error:
            raise WarehouseError(f"Nothing can be published to {self.address}: {_reason(error)}") from None

    def publish(self, folder: Path, manifest: Manifest, *, keep_last: bool) -> None:
        """Upload the export in `folder`, and remove those that are older than the previous one.

        Raises:
            WarehouseError: S3 can't be reached or refuses a request. `latest.json` is unchanged.
        """
        try:
            self._publish(folder, manifest, keep_last=keep_last)
        except (BaseError, OSError, ValueError) as error:
            raise WarehouseError(f"The export to {self.address} can't be written: {_reason(error)}") from None

    def _publish(self, folder: Path, manifest: Manifest, *, keep_last: bool) -> None:
        store = self._store()
        last = _last(store)
        known = [Path(prefix).name for prefix in store.list_with_delimiter()["common_prefixes"]]
        name = unused_name(known, datetime.fromisoformat(manifest["written_at"]))
        files = [file["path"] for table in manifest["tables"].values() for file in table["files"]]
        for path in (*files, MANIFEST):
            store.put(f"{name}/{path}", folder / path)
        store.put(LATEST, json.dumps({"folder": name, **manifest}, indent=1, ensure_ascii=False).encode())
        for old in known:
            if is_name(old) and not (keep_last and old == last):
                store.delete([found["path"] for page in store.list(f"{old}/") for found in page])

    def _store(self, **options: Any) -> S3Store:
        bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        config: Any = {_VARIABLES[name]: self.variables[name] for name in _VARIABLES if name in self.variables}
        is_plain = config.get("aws_endpoint", "").startswith("http://")
        client: Any = {"allow_http": is_plain}
        return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, **options)


def _reason(error: Exception) -> str:
    """Return the first line of the message, without S3's XML but with its code. Internals of obstore follow it."""
    reason, code = first_line(error).partition(": <?xml")[0], _CODE.search(str(error))
    return f"{reason} ({code[1]})" if code else reason


def _last(store: S3Store) -> str | None:
    with suppress(FileNotFoundError, ValueError):
        return str(json.loads(bytes(store.get(LATEST).bytes()))["folder"])
    return None
