"""What a stored notebook output may be, and where two lists of outputs differ.

An output is a dictionary as the notebook format describes it. `notebooks.py`
writes outputs by these rules and `nbval_strict.py` checks them.
"""

import json
import math
import operator
import re
from itertools import zip_longest

#: What can be compared as text, and shown on a page without a kernel.
COMPARABLE = {
    "image/svg+xml",
    "text/html",
    "text/latex",
    "text/markdown",
    "text/plain",
}

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")
NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


def merge_streams(outputs):
    """Join neighboring pieces of one stream: where they split is chance.

    >>> piece = {"output_type": "stream", "name": "stdout", "text": "a"}
    >>> merge_streams([piece, {**piece, "text": "b"}])[0]["text"]
    'ab'
    """
    merged = []
    for output in outputs:
        previous = merged[-1] if merged else {}
        same = all(previous.get(k) == output.get(k) for k in ("output_type", "name"))
        if output["output_type"] == "stream" and same:
            previous["text"] += output["text"]
        else:
            merged.append(type(output)(output))
    return merged


def parts(outputs):
    """List what there is to compare, in order, as pairs of a label and a value."""
    found = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            found.append((output["name"], output["text"]))
        elif kind == "error":
            found.append(("error", f"{output['ename']}: {output['evalue']}"))
        else:
            data = sorted(output["data"].items())
            found += [(f"{kind} of {mime}", value) for mime, value in data]
            found.append((f"metadata of {kind}", output.get("metadata", {})))
    return [(label, _as_text(value)) for label, value in found]


def _as_text(value):
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def output_faults(outputs):
    """Say what no committed cell may have, each fault with its remedy."""
    faults = []
    for label, text in parts(outputs):
        mime = label.partition(" of ")[2]
        if label == "error":
            faults.append(f"the cell raises {text}")
        elif label == "stderr":
            faults.append(f"the cell writes to stderr: {text.strip()[:200]!r}")
        elif label == "stdout" and ("\r" in text or "\b" in text):
            faults.append("a printed line is redrawn; switch the progress bar off")
        elif "/" in mime and mime not in COMPARABLE:
            faults.append(
                f"an output of type {mime}; figures are stored as SVG so that they "
                "can be compared: call d2l_rnn.plotting.set_figure_style() first"
            )
        elif "data:image/" in text:
            faults.append(
                "a bitmap inside a figure, which cannot be compared by eye or as "
                "text; draw images with pcolormesh"
            )
        address = ADDRESS.search(text)
        if address and label != "error":
            faults.append(
                f"the memory address {address[0]} in the output differs from run to "
                "run; print something else, or end the line with a semicolon"
            )
    return faults


def differences(stored, new, *, same=operator.eq):
    r"""Say where the outputs ``new`` of a run differ from the ``stored`` ones.

    Everything is compared, in order: streams, each representation of a result or
    a figure, and metadata. ``same`` compares two texts.

    >>> def printed(text):
    ...     return [{"output_type": "stream", "name": "stdout", "text": text}]
    >>> differences(printed("1.25"), printed("1.25"))
    []
    >>> print(*differences(printed("1.25"), printed("1.26")), sep="\n")
    stdout, line 1:
      stored: 1.25
      run:    1.26
    """
    stored, new = parts(stored), parts(new)
    labels = [label for label, _ in stored], [label for label, _ in new]
    found = [
        _first_difference(label, before, after)
        for (label, before), (other, after) in zip(stored, new, strict=False)
        if label == other and not same(before, after)
    ]
    if labels[0] != labels[1]:
        found.append(
            f"stored outputs: {', '.join(labels[0]) or 'none'}\n"
            f"  the run's:      {', '.join(labels[1]) or 'none'}"
        )
    return found


def _first_difference(label, stored, new):
    """Show the first line that differs, from a little before the difference."""
    pairs = zip_longest(stored.split("\n"), new.split("\n"), fillvalue="(no line)")
    lines = enumerate(pairs, start=1)
    number, (before, after) = next(line for line in lines if line[1][0] != line[1][1])
    pairs = enumerate(zip_longest(before, after))
    common = next(place for place, (one, other) in pairs if one != other)
    window = slice(max(0, common - 40), common + 60)
    return (
        f"{label}, line {number}:\n  stored: {before[window]}\n"
        f"  run:    {after[window]}"
    )


def close(stored, new, *, relative=0.05, absolute=0.02):
    """Compare two texts with a tolerance for the decimal numbers in them.

    Only for training logs on machines whose arithmetic cannot be pinned.

    >>> close("epoch 10, perplexity 1.31", "epoch 10, perplexity 1.32")
    True
    >>> close("epoch 10, perplexity 1.31", "epoch 11, perplexity 1.31")
    False
    """
    numbers = NUMBER.findall(stored), NUMBER.findall(new)
    return NUMBER.split(stored) == NUMBER.split(new) and all(
        math.isclose(float(a), float(b), rel_tol=relative, abs_tol=absolute)
        for a, b in zip(*numbers, strict=True)
    )
