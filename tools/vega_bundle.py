"""Write the JavaScript that draws the charts in the report: `python -m tools.vega_bundle`, or `make bundle`."""

import gzip
from pathlib import Path

import vl_convert

from topo_pipeline.report import charts

FILE = Path(charts.__file__).with_name("vega.js.gz")


def bundle() -> bytes:
    """Return Vega, Vega-Lite and Vega-Embed in the version that the charts are written for."""
    version = charts.specifications()["$schema"].rpartition("/v")[2].removesuffix(".json")
    major, minor, _ = version.split(".")
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return script.encode()


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(bundle(), mtime=0))
