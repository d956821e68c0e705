"""Count how many small faults in the package its tests catch.

Usage: ``python tools/mutants.py [MODULE ...] [--sample N] [--fresh]``

A mutant is a module with one change: another operator, a number off by one, a
statement left out. Its tests run in a copy of the package under _build, in a fork of
one process that has MXNet imported already, and stop at the first failure. Results
are kept in _build/mutants.json, so that a later run goes on where this one stopped;
after new tests only the survivors run again. Mutants that change nothing a caller
could see stand with the reason in tools/equivalent_mutants.yml.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import yaml
from mutations import mutants_of

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.yml"

#: Tests of each module besides its own examples, the quickest first.
TESTS = {
    "clipping": ["test_clipping", "test_bad_input"],
    "metrics": ["test_metrics", "test_bad_input"],
    "sampling": ["test_sampling", "test_bad_input"],
    "decoding": ["test_decoding", "test_bad_input"],
    "ngrams": ["test_ngrams", "test_bad_input"],
    "cells": ["test_gated_cells", "test_cells", "test_bad_input"],
    "training": ["test_training", "test_bad_input", "test_checkpoint"],
}
#: Of every module at least this share of mutants must be caught.
GOAL = 0.9

#: In a fork: nothing is written but bytecode, and only the plugins that are needed.
PYTEST = [*"-x -q --noconftest --assert=plain --doctest-modules".split()]
PYTEST += [*"-p no:cacheprovider -p no:faulthandler".split()]


class Copy:
    """A copy of the package in which one module at a time is replaced."""

    def __init__(self, root, folder, package):
        self.root, self.folder, self.package = root, folder, package
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in root.iterdir():
            if path.name in (package, "tests"):
                leave = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, folder / path.name, ignore=leave)
            elif path.name in ("pyproject.toml", "data", "book", "tools"):
                (folder / path.name).symlink_to(path)

    def run(self, module, source, tests, seconds):
        """Return what the tests say of a module with this source, and CPU seconds."""
        place = self.folder / self.package / f"{module}.py"
        for old in place.parent.glob(f"__pycache__/{module}.*"):
            old.unlink()  # it goes by whole seconds
        place.write_text(source, "utf-8")
        targets = [str(place), *(f"tests/{name}.py" for name in tests)]
        log, deadline = self.folder / "log.txt", time.monotonic() + 60 + 40 * seconds
        child = os.fork()
        if not child:
            test_in_fork(self.folder, targets, log, seconds)
        while True:
            done, status, usage = os.wait4(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:  # it waits for something
                os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
        place.write_bytes((self.root / self.package / place.name).read_bytes())
        return verdict(status, log), usage.ru_utime + usage.ru_stime


def test_in_fork(folder, targets, log, seconds):
    """Run pytest and end the process with its exit code."""
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        os.chdir(folder)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        import pytest

        os._exit(int(pytest.main([*PYTEST, "--rootdir=.", *targets])))
    except BaseException:
        os._exit(99)


def verdict(status, log):
    """Translate a wait status: pytest's exit code, or the signal that ended it."""
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) in (signal.SIGINT, signal.SIGTERM):
            raise KeyboardInterrupt
        stopped = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return "timed out" if stopped else "caught"
    code = os.WEXITSTATUS(status)
    if code in (0, 1, 2):  # 2: the module cannot be imported
        return "caught" if code else "survived"
    raise RuntimeError(f"pytest ended with {code}:\n{log.read_text('utf-8')[-2000:]}")


def prepare(folder):
    """Import once what every fork would; let Hypothesis draw the same each time."""
    os.environ |= {"PYTHONPATH": str(folder), "D2L_RNN_PROGRESS": "0"}
    sys.path[:0] = [str(folder), str(folder / "tests")]
    import d2l_rnn  # noqa: F401, I001
    import hypothesis.extra.numpy
    import mxnet  # noqa: F401
    import pytest  # noqa: F401

    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # no shrinking
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=phases
    )
    hypothesis.settings.load_profile("mutants")


def measure(module, mutants, names, tests, where, known, note=print):
    """Yield {name: verdict} again and again, until all of ``names`` have one."""
    found = {name: known[name] for name in names if name in known}
    if len(found) < len(names):
        source = (where.root / where.package / f"{module}.py").read_text("utf-8")
        state, seconds = where.run(module, source, tests, 3600)
        if state != "survived":
            log = (where.folder / "log.txt").read_text("utf-8")
            raise SystemExit(f"{module}: red without any mutant\n{log[-3000:]}")
        note(
            f"{module}: {len(names) - len(found)} to run, {seconds:.1f} s each at most"
        )
    for name in names:
        if name not in found:
            changed = mutants[name][1]
            found[name], _ = where.run(module, changed, tests, 4 * seconds + 10)
            note(f"{found[name]:<9}  {module}.{name}")
            yield found
    yield found


def digest(*paths):
    """Return a hash of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def remembered(kept, source, tests):
    """Return the verdicts that still hold: a new test can only catch more."""
    if kept.get("source") != source:
        return {}
    same = kept.get("tests") == tests
    return {k: v for k, v in kept["found"].items() if same or v == "caught"}


def summary(module, mutants, found, equivalent):
    """Return a line on one module, a line for each survivor, and the share caught."""
    counted = {k: v for k, v in found.items() if k not in equivalent}
    counts = Counter(counted.values())
    caught = len(counted) - counts["survived"]
    share = caught / max(len(counted), 1)
    part = "" if len(found) == len(mutants) else f" of {len(mutants)}"
    lines = [
        f"{module}: {len(found)}{part} mutants, {len(found) - len(counted)} of them "
        f"equivalent; {counts['caught']} caught, {counts['timed out']} timed out, "
        f"{counts['survived']} survived: {share:.1%}"
    ]
    lines += [
        f"    d2l_rnn/{module}.py:{mutants[name][0]}: {name}"
        for name, state in counted.items()
        if state == "survived"
    ]
    return lines, share


def run(modules, *, sample=None, seed=0, fresh=False):
    """Run the mutants of some modules; return the summary's lines and the shares."""
    results = ROOT / "_build" / "mutants.json"
    exists = results.exists() and not fresh
    kept = json.loads(results.read_text("utf-8")) if exists else {}
    judged = yaml.safe_load(EQUIVALENT.read_text("utf-8"))
    where = Copy(ROOT, ROOT / "_build" / "mutants", "d2l_rnn")
    prepare(where.folder)
    report, shares = [], []
    for module in modules:
        path, tests = ROOT / "d2l_rnn" / f"{module}.py", TESTS[module]
        mutants, equivalent = (
            mutants_of(path.read_text("utf-8")),
            judged.get(module, {}),
        )
        stale = sorted(set(equivalent) - set(mutants))
        if stale:
            raise SystemExit(f"{EQUIVALENT.name} has no mutant of {module}: {stale[0]}")
        names = list(mutants)
        if sample and sample < len(names):
            drawn = set(random.Random(seed).sample(names, sample))
            names = [name for name in names if name in drawn]
        source = digest(path)
        tested = digest(*(ROOT / "tests" / f"{name}.py" for name in tests))
        known = remembered(kept.get(module, {}), source, tested)
        for found in measure(module, mutants, names, tests, where, known):
            kept[module] = {"source": source, "tests": tested, "found": known | found}
            results.write_text(json.dumps(kept, ensure_ascii=False, indent=1), "utf-8")
        lines, share = summary(module, mutants, found, equivalent)
        report += lines
        shares.append(share)
    return report, shares


def main():
    """Read the command line; return 1 where a module stays below the goal."""
    parser = argparse.ArgumentParser(description="Count the faults that tests catch.")
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--sample", type=int, help="so many mutants of a module only")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--fresh", action="store_true", help="forget former results")
    options = parser.parse_args()
    unknown = [name for name in options.modules if name not in TESTS]
    if unknown:
        parser.error(f"no module {unknown[0]!r}: choose of {', '.join(TESTS)}")
    report, shares = run(**vars(options))
    print(*report, sep="\n")
    return 0 if min(shares) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
