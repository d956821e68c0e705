"""Tables and a plot of results.json."""

from d2l_rnn.plotting import set_figure_style

import matplotlib.pyplot as plt

TITLES = {
    "d2lzh": "A training step, against d2lzh 1.0.0's own function (scratch models)",
    "torch": "A training step, against PyTorch's layers (gluon models)",
    "layers": "Forward and backward of the recurrent layer alone, and of the rest",
    "rungs": "The ladder: forward and backward of one LSTM",
    "decoding": "Drawing symbols, one at a time",
    "parts": "The parts of a training step",
    "growth": "A training step of an LSTM, one size changed at a time",
    "memory": "Memory that a training step adds",
    "threads": "A training step with more threads",
}
#: Columns that are not shown as they are stored.
TIMES = ("median", "low", "high", "wall")


def write(results, folder):
    """Write results.md and results.svg into a folder."""
    (folder / "results.md").write_text(markdown(results), "utf-8")
    set_figure_style()
    with plt.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure = plot(results)
        figure.savefig(folder / "results.svg", metadata={"Date": None})
    plt.close(figure)


def markdown(results):
    """Return all tables as Markdown.

    >>> row = {"cell": "rnn", "median": 2.0, "low": 1.9, "high": 2.25, "wall": 2.0}
    >>> group = {"machine": {"processor": "P", "cores": 2, "instruction sets": []}}
    >>> group["machine"] |= {"versions": {"mxnet": "1.9.1", "torch": None}}
    >>> print(markdown({"parts": group | {"rows": [row]}}).splitlines()[-1])
    | rnn | 2.00 | 1.90–2.25 | 2.00 |
    """
    text = "# What was measured\n\nMade by `make bench` from results.json.\n"
    for name, title in TITLES.items():
        if name in results:
            group = results[name]
            text += f"\n## {title}\n\n{_machine(group['machine'])}\n\n"
            text += _table(group["rows"])
    return text


def _machine(machine):
    versions = machine["versions"].items()
    known = ", ".join(f"{name} {number}" for name, number in versions if number)
    sets = ", ".join(machine["instruction sets"])
    return (
        f"{machine['processor']}, {machine['cores']} cores ({sets}), one thread; "
        f"{known}. Times are milliseconds: processor time (median, quartiles) and "
        "wall-clock time (median)."
    )


def _table(rows):
    """Return rows as a Markdown table; the three numbers of a spread make two cells."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    others = [name for name in columns if name not in TIMES]
    place = columns.index("median") if "median" in columns else len(columns)
    before = [name for name in others if columns.index(name) < place]
    after = [name for name in others if name not in before]
    timed = ["median", "quartiles", "wall"] if "median" in columns else []
    lines = [[*before, *timed, *after], ["---"] * len([*before, *timed, *after])]
    for row in rows:
        cells = [_cell(row.get(name, "")) for name in before]
        if timed:
            spread = f"{_cell(row['low'])}–{_cell(row['high'])}"
            cells += [_cell(row["median"]), spread, _cell(row["wall"])]
        lines.append(cells + [_cell(row.get(name, "")) for name in after])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value):
    """Show three or four digits of a number."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if 0.1 <= abs(value) < 100 else f"{value:.4g}"


def plot(results):
    """Draw the comparisons as bars and the growth as curves."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for ax, name in zip(axes, ("d2lzh", "torch"), strict=False):
        rows = results.get(name, {"rows": []})["rows"]
        for shift, who in ((-0.2, name), (0.2, "ours")):
            bars = [row for row in rows if row["who"] == who]
            heights = [row["median"] for row in bars]
            spread = [
                [row["median"] - row["low"] for row in bars],
                [row["high"] - row["median"] for row in bars],
            ]
            at = [place + shift for place in range(len(bars))]
            hatch = "//" if who == "ours" else None
            label = {"torch": "PyTorch", "ours": "this package"}.get(who, who)
            if bars:
                ax.bar(
                    at, heights, 0.4, yerr=spread, label=label, hatch=hatch, zorder=3
                )
        if rows:
            ax.set_xticks(range(3), ["RNN", "GRU", "LSTM"])
            ax.set_ylim(top=1.35 * max(row["median"] for row in rows))
            ax.legend()
        ax.set(ylabel="milliseconds a step")
    grown = results.get("growth", {"rows": []})["rows"]
    for name in dict.fromkeys(row["size"] for row in grown):
        rows = [row for row in grown if row["size"] == name]
        x = [row["value"] for row in rows]
        label = name.replace("num_", "").replace("_", " ")
        axes[2].plot(x, [row["median"] for row in rows], marker=".", label=label)
    axes[2].set(xscale="log", yscale="log", xlabel="size", ylabel="milliseconds a step")
    if grown:
        axes[2].legend(fontsize=7)
    return figure
