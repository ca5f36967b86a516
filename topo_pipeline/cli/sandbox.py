"""The command `sandbox`, which runs until a signal ends it."""

import errno
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from topo_pipeline.cli.console import STOP_SIGNALS, err, fail, now, out, report_errors

if TYPE_CHECKING:
    from topo_pipeline.sandbox.quirks import Quirks


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 picks a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="Each seed gives another workspace.")] = 7,
    quirk: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="A difference from the documented API. Can be repeated."),
    ] = None,
) -> None:
    """Serve a simulated Topo API until Ctrl-C.

    Prints its address and key as lines for .env.

    \b
    Examples:
      topo-pipeline sandbox
      topo-pipeline sandbox --port 0 --seed 11
      topo-pipeline sandbox --quirk bounds_inclusive --quirk max_page_size=50
    """
    with report_errors():
        from topo_pipeline.sandbox import demo as simulated

        with ExitStack() as stack:
            try:
                served = simulated.sandbox(now, port=port, seed=seed, quirks=_quirks(quirk or []))
                api_url = stack.enter_context(served)
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
                fail(f"Port {port} {why}. To use a free one: topo-pipeline sandbox --port 0")
            out.print(f"TOPO_API_URL={api_url}\nTOPO_API_KEY={simulated.API_KEY}")
            err.print("The sandbox is running. Press Ctrl-C to stop it.")
            _wait_for_signal()


def _quirks(switches: list[str]) -> "Quirks":
    from topo_pipeline.sandbox.quirks import parse

    try:
        return parse(switches)
    except ValueError as error:
        fail(str(error), 2)


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
