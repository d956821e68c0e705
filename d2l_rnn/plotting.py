"""Figures: one style, stored as SVG whose text is the same on every run.

Only chapters import this module; nothing else in the package needs matplotlib.
"""

import IPython
import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib_inline import backend_inline

__all__ = ["plot_curves", "plot_heatmap", "plot_histogram", "set_figure_style"]

#: Colors that differ in lightness too (Okabe & Ito), each with a line style.
_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000"]
_STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]

_STYLE = {
    "figure.figsize": (5, 3),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "axes.prop_cycle": cycler(color=_COLORS) + cycler(linestyle=_STYLES),
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "font.size": 10,
    # Text stays text: small files, and letters a screen reader can find.
    "svg.fonttype": "none",
    # Without a fixed salt the identifiers inside an SVG differ on every run.
    "svg.hashsalt": "d2l_rnn",
}


def set_figure_style():
    """Make this notebook's figures small, uniform, deterministic SVG.

    Deterministic, so that CI can compare a figure's text with the stored one: a
    changed curve is a changed output.
    """
    mpl.rcParams.update(_STYLE)
    if IPython.get_ipython() is not None:
        backend_inline.set_matplotlib_formats("svg", metadata={"Date": None})


def plot_curves(curves, *, xlabel, ylabel, reference=None, log="", ax=None):
    """Draw lines with a legend, and dotted reference levels.

    Parameters
    ----------
    curves : dict
        From label to y values (x is then 1, 2, 3, …) or to a pair (x, y).
    xlabel, ylabel : str
        Lower case, with units.
    reference : dict, optional
        From label to a y level drawn as a thin horizontal line.
    log : str
        "", "x", "y" or "xy": which axes are logarithmic.
    ax : matplotlib Axes, optional
        Drawn into a new figure if not given.

    Returns
    -------
    matplotlib Axes
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f'log must be "", "x", "y" or "xy", got {log!r}')
    ax = plt.subplots()[1] if ax is None else ax
    for label, values in curves.items():
        x, y = values if isinstance(values, tuple) else (None, values)
        x = np.arange(1, len(y) + 1) if x is None else x
        ax.plot(x, y, label=label)
    for label, level in (reference or {}).items():
        ax.axhline(level, color="#555555", linewidth=1, linestyle=(0, (2, 2)))
        ax.annotate(
            label,
            (0.99, level),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color="#555555",
        )
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(curves) > 1:
        ax.legend()
    return ax


def plot_histogram(values, *, xlabel, bins=40, mark=None, log=False, ax=None):
    """Draw how often values occur, with a labeled vertical line for each mark.

    Parameters
    ----------
    values : sequence of float
    xlabel : str
    bins : int
        Equally wide on the axis, also where it is logarithmic.
    mark : dict, optional
        From label to a position on the x axis.
    log : bool
        Whether the x axis is logarithmic.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.subplots()[1] if ax is None else ax
    values = np.asarray(values)
    if log:
        bins = np.geomspace(values.min(), values.max() * (1 + 1e-9), bins + 1)
        ax.set_xscale("log")
    ax.hist(values, bins=bins, color=_COLORS[0], linestyle="-")
    for i, (label, position) in enumerate((mark or {}).items()):
        ax.axvline(
            position, color=_COLORS[1 + i], linestyle=_STYLES[1 + i], label=label
        )
    ax.set(xlabel=xlabel, ylabel="count")
    if mark:
        ax.legend()
    return ax


def plot_heatmap(
    matrix, *, xlabel, ylabel, xticks=None, yticks=None, vmin=None, vmax=None, ax=None
):
    """Draw a matrix as colored cells, row 0 on top, with a color bar.

    Every cell is a path of the SVG, so that it can be compared as text: keep to a
    few thousand cells.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
    xticks, yticks : sequence of str, optional
        One label a column or row.
    vmin, vmax : float, optional
        The values at the ends of the color bar; those of the matrix if not given.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.subplots()[1] if ax is None else ax
    colors = mpl.colormaps["viridis"].resampled(32)  # few, for a small color bar
    mesh = ax.pcolormesh(np.asarray(matrix), cmap=colors, vmin=vmin, vmax=vmax)
    ax.figure.colorbar(mesh, ax=ax)
    ax.invert_yaxis()
    ax.grid(False)
    rows, columns = np.shape(matrix)
    if xticks is not None:
        ax.set_xticks(np.arange(columns) + 0.5, xticks)
    if yticks is not None:
        ax.set_yticks(np.arange(rows) + 0.5, yticks)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax
