"""What a stored notebook output may be, and where two lists of outputs differ.

An output is a dictionary as the notebook format describes it. `notebooks.py`
writes outputs by these rules and `nbval_strict.py` checks them.
"""

import copy
import json
import math
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
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
SPACES = re.compile(r"[ \t]+")
FIGURE = "image/svg+xml"

#: Tags of cells whose outputs depend on training, and on the very bits of it.
TRAINING_LOG, CHAOTIC = "training-log", "chaotic"
#: How far numbers may be off, relatively and absolutely, where bits cannot agree.
COMPUTED, TRAINED = (1e-3, 1e-6), (0.1, 0.01)


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


def exactly(label, stored, new):
    """Say whether two texts are the same."""
    return stored == new


def differences(stored, new, *, same=exactly):
    r"""Say where the outputs ``new`` of a run differ from the ``stored`` ones.

    Everything is compared, in order: streams, each representation of a result or
    a figure, and metadata. ``same`` compares two texts with the same label.

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
        if label == other and not same(label, before, after)
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


def changed_digits(outputs):
    """Yield (label, copy of the outputs) with the last digit of one text changed.

    >>> piece = {"output_type": "stream", "name": "stdout", "text": "a 19 b"}
    >>> [(label, other[0]["text"]) for label, other in changed_digits([piece])]
    [('stdout', 'a 10 b')]
    """
    for i, output in enumerate(outputs):
        is_stream = output["output_type"] == "stream"
        for key in ["text"] if is_stream else sorted(output.get("data", {})):
            other = copy.deepcopy(outputs)
            holder = other[i] if is_stream else other[i]["data"]
            digits = [*re.finditer("[0-9]", _as_text(holder[key]))]
            if digits:
                text, place = _as_text(holder[key]), digits[-1].start()
                digit = str((int(text[place]) + 1) % 10)
                holder[key] = text[:place] + digit + text[place + 1 :]
                yield output["name"] if is_stream else key, other


def blind_spots(stored, new):
    """Return (digits changed in turn, texts in which the comparison missed it)."""
    changed = [*changed_digits(stored)]
    missed = [label for label, other in changed if not differences(other, new)]
    return len(changed), missed


def close(stored, new, *, relative, absolute):
    """Compare two texts with a tolerance for the numbers in them.

    Spaces that fill a column may differ with the numbers.

    >>> close("perplexity  9.98", "perplexity 10.02", relative=0.01, absolute=0)
    True
    >>> close("epoch 10, perplexity 1.31", "no epoch, 1.31", relative=1, absolute=0)
    False
    """
    words = [SPACES.sub(" ", NUMBER.sub(" # ", text)) for text in (stored, new)]
    numbers = [
        [float(number.replace(",", "")) for number in NUMBER.findall(text)]
        for text in (stored, new)
    ]
    return words[0] == words[1] and all(
        math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
        for a, b in zip(*numbers, strict=True)
    )


def roughly(label, stored, new, *, tags=()):
    """Compare two texts of a cell with tags as bits that differ allow.

    Rounding moves what a cell prints in the last digits, and what training prints by
    some percent. Figures are not compared, nor what a chaotic cell prints: there
    rounding decides which way training goes. That they are there is compared anyway.
    """
    if FIGURE in label or CHAOTIC in tags:
        return True
    relative, absolute = TRAINED if TRAINING_LOG in tags else COMPUTED
    return close(stored, new, relative=relative, absolute=absolute)
