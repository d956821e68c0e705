"""Measure the package's speed, side by side with d2lzh and PyTorch.

Usage: ``python benchmarks/run.py [GROUP ...]``; without a name, all groups run.
What is measured goes into results.json, and from there into results.md and
results.svg; groups that were not asked for keep what they had.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "_build" / "peers"


def main(arguments=None):
    """Run the groups asked for."""
    parser = argparse.ArgumentParser(description="Measure the package's speed.")
    parser.add_argument("groups", metavar="GROUP", nargs="*")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a test")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results")
    options = parser.parse_args(arguments)
    sys.path.append(str(PEERS))

    import groups
    import report
    from measure import machine

    unknown = [name for name in options.groups if name not in groups.GROUPS]
    if unknown:
        known = ", ".join(groups.GROUPS)
        parser.error(f"no group is called {unknown[0]!r}: choose of {known}")
    chosen = [n for n in groups.GROUPS if n in options.groups or not options.groups]
    sizes = groups.TINY if options.tiny else groups.FULL
    path = options.into / "results.json"
    stored = json.loads(path.read_text("utf-8")) if path.exists() else {}
    described = machine()
    for name in chosen:
        start = time.perf_counter()
        try:
            rows = groups.GROUPS[name](sizes)
        except groups.Skipped as reason:
            print(f"{name:<9} skipped: {reason}", flush=True)
            continue
        stored[name] = {"machine": described, "sizes": sizes, "rows": rows}
        path.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
        print(f"{name:<9} {time.perf_counter() - start:6.1f} s", flush=True)
    report.write(stored, options.into)
    print(f"The tables are in {os.path.relpath(options.into / 'results.md')}.")


if __name__ == "__main__":
    main()
