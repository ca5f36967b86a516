"""Run a command as a process of its own in a folder: `python -m bench.commands FOLDER COMMAND…`.

Prints a line of JSON: its seconds and its CPU seconds, those of its own processes included.
"""

import json
import resource
import subprocess
import sys
import time


def main(folder: str, command: list[str]) -> None:
    """Run the command and print the results."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)  # noqa: S603
    seconds, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
