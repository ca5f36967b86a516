"""Measure an import and print a line of JSON: `python -m bench.loading MODULE`."""

import importlib
import json
import sys
import time

if __name__ == "__main__":
    began, used = time.perf_counter(), time.process_time()
    importlib.import_module(sys.argv[1])
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}))
