"""The .sql files of the metric tables, as Jinja renders them. What a script says of its table is for `tables`."""

import importlib.util
import pickle
import sys
from contextlib import suppress
from pathlib import Path

import jinja2


class CompiledScripts(jinja2.FileSystemBytecodeCache):
    """What Jinja compiled, kept where Python keeps what it compiles: to do it anew takes most of a script's loading.

    What can't be kept, or was cut short, costs that time and nothing else.
    """

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Take what was kept, if it is whole and of the same script."""
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep it, unless Python is told to keep nothing."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


def scripts() -> dict[str, str]:
    """Every script by its file's name without `.sql`, in the order of the names."""
    beside_python = str(Path(importlib.util.cache_from_source(__file__)).parent)
    files = jinja2.Environment(
        loader=jinja2.PackageLoader("topo_pipeline", "engagement"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - SQL of our own, no HTML
        optimized=False,  # it would take longer than what it saves: each is rendered once
        bytecode_cache=CompiledScripts(beside_python),
    )
    names = sorted(name.removesuffix(".sql") for name in files.list_templates(["sql"]))
    return {name: files.get_template(f"{name}.sql").render() for name in names}
