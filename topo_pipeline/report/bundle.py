"""The JavaScript that draws the report's charts: Vega, Vega-Lite and Vega-Embed, from the package vl-convert.

Making it takes seconds, so it is a file next to this module. It is not in the repository: as a module, this writes it
(`make bundle`), which `make install` and `make release` do. Without the file, it is made when it is needed.
"""

import gzip
from functools import cache
from pathlib import Path

from topo_pipeline.report import charts
from topo_pipeline.warehouse.files import replacing

FILE = Path(__file__).with_name("vega.js.gz")


def make() -> bytes:
    """Return the JavaScript in the version that the charts are written for, compressed."""
    import vl_convert  # noqa: PLC0415 - only needed without the file

    version = charts.specifications()["$schema"].rpartition("/v")[2].removesuffix(".json")
    major, minor, _ = version.split(".")
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return gzip.compress(script.encode(), mtime=0)


@cache
def packed() -> bytes:
    """Return the compressed JavaScript."""
    return FILE.read_bytes() if FILE.exists() else make()


if __name__ == "__main__":
    with replacing(FILE) as new:
        new.write_bytes(make())
