"""Timing side by side, and what the times were measured on."""

import os
import platform
import statistics
import time
from importlib import metadata

from d2l_rnn._numerics import PINS

from mxnet import nd


def side_by_side(actions, *, rounds, per=1):
    """Time several actions in turn, round by round, so that noise hits all alike.

    Parameters
    ----------
    actions : dict of callables
        Each is run once before the first round, to warm up.
    rounds : int
    per : int
        How many steps one call takes: times are given per step.

    Returns
    -------
    dict
        For each name: median and quartiles of the processor time, which other
        programs hardly disturb, and the median of the wall-clock time, in
        milliseconds a step; and what the first call returned.
    """
    walls = {name: [] for name in actions}
    processor = {name: [] for name in actions}
    returned = {name: action() for name, action in actions.items()}
    for _ in range(rounds):
        for name, action in actions.items():
            nd.waitall()
            wall, cpu = time.perf_counter(), time.process_time()
            action()
            nd.waitall()
            walls[name].append((time.perf_counter() - wall) * 1000 / per)
            processor[name].append((time.process_time() - cpu) * 1000 / per)
    return {
        name: spread(processor[name])
        | {"wall": round(statistics.median(walls[name]), 3)}
        | {"returned": returned[name]}
        for name in actions
    }


def spread(values):
    """Return median and quartiles.

    >>> spread([3, 1, 2])
    {'median': 2.0, 'low': 1.5, 'high': 2.5}
    """
    if len(values) == 1:
        values = values * 2
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    named = {"median": median, "low": low, "high": high}
    return {name: round(value, 3) for name, value in named.items()}


def machine():
    """Describe the machine: processor, instruction sets, versions, pins."""
    info = _cpuinfo()
    flags = info.get("flags", "").split()
    wanted = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile")
    packages = ("mxnet", "numpy", "torch", "d2lzh")
    return {
        "processor": info.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "instruction sets": [flag for flag in wanted if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in packages},
        "pins": {name: os.environ.get(name) for name in PINS},
    }


def version(name):
    """Return the version of a package, or None if it isn't there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo():
    """Return what Linux says of the first processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            first = file.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
