"""Figures: one style, stored as SVG whose text is the same on every run.

Only chapters import this module; nothing else in the package needs matplotlib.
"""

import IPython
import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib_inline import backend_inline

from d2l_rnn._checks import (
    check_number,
    check_numbers,
    check_positive_int,
    check_type,
    shown,
)

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
    if not check_type("curves", curves, dict, "a dict from labels to values"):
        raise ValueError("curves is empty: give at least one, by its label")
    points = {label: _points(label, values) for label, values in curves.items()}
    _check_levels("reference", reference)
    ax = _axes(ax, xlabel, ylabel)
    for label, (x, y) in points.items():
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
    bins : int, or sequence of float
        Equally wide on the axis, also where it is logarithmic; or their edges.
    mark : dict, optional
        From label to a position on the x axis.
    log : bool
        Whether the x axis is logarithmic.

    Returns
    -------
    matplotlib Axes
    """
    values = check_numbers("values", values, ndim=1)
    if log and values.min() <= 0:
        raise ValueError(
            f"values must be above 0 on a logarithmic axis, got {values.min()}: leave "
            "them out, or log"
        )
    if isinstance(bins, (list, tuple, np.ndarray)) and not log:
        bins = check_numbers("bins", bins, ndim=1)
    else:
        bins = check_positive_int("bins", bins)
    _check_levels("mark", mark)
    ax = _axes(ax, xlabel, "count")
    if log:
        bins = np.geomspace(values.min(), values.max() * (1 + 1e-9), bins + 1)
        ax.set_xscale("log")
    ax.hist(values, bins=bins, color=_COLORS[0], linestyle="-")
    for i, (label, position) in enumerate((mark or {}).items()):
        ax.axvline(
            position,
            color=_COLORS[(1 + i) % len(_COLORS)],
            linestyle=_STYLES[(1 + i) % len(_STYLES)],
            label=label,
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
    matrix = check_numbers("matrix", matrix, ndim=2, finite=False)
    rows, columns = matrix.shape
    for name, ticks, size in (("xticks", xticks, columns), ("yticks", yticks, rows)):
        if ticks is not None and (isinstance(ticks, int) or len(ticks) != size):
            raise ValueError(
                f"{name} must be {size} labels, as many as the matrix of shape "
                f"{matrix.shape} has cells there, got {shown(ticks)}"
            )
    for name, value in (("vmin", vmin), ("vmax", vmax)):
        if value is not None:
            check_number(name, value, -np.inf)
    if vmin is not None and vmax is not None and vmin > vmax:
        raise ValueError(f"vmin must be at most vmax, got {vmin} and {vmax}")
    ax = _axes(ax, xlabel, ylabel)
    colors = mpl.colormaps["viridis"].resampled(32)  # few, for a small color bar
    mesh = ax.pcolormesh(matrix, cmap=colors, vmin=vmin, vmax=vmax)
    ax.figure.colorbar(mesh, ax=ax)
    ax.invert_yaxis()
    ax.grid(False)
    if xticks is not None:
        ax.set_xticks(np.arange(columns) + 0.5, xticks)
    if yticks is not None:
        ax.set_yticks(np.arange(rows) + 0.5, yticks)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def _axes(ax, xlabel, ylabel):
    """Return the axes to draw into, new ones if there are none."""
    check_type("xlabel", xlabel, str, "a string")
    check_type("ylabel", ylabel, str, "a string")
    if ax is None:
        return plt.subplots()[1]
    return check_type("ax", ax, mpl.axes.Axes, "matplotlib's Axes: leave it out")


def _points(label, values):
    """Return the x and y of a curve."""
    name = f"curves[{label!r}]"
    if not isinstance(values, tuple):
        y = check_numbers(name, values, ndim=1, finite=False)
        return np.arange(1, len(y) + 1), y
    if len(values) != 2:
        raise ValueError(f"{name} must be values or a pair (x, y), got {shown(values)}")
    x, y = (check_numbers(name, part, ndim=1, finite=False) for part in values)
    if len(x) != len(y):
        raise ValueError(f"{name} must have as many x as y, got {len(x)} and {len(y)}")
    return x, y


def _check_levels(name, levels):
    """Check a dict from labels to places on an axis."""
    if levels is not None:
        check_type(name, levels, dict, "a dict from labels to numbers")
        for label, level in levels.items():
            check_number(f"{name}[{label!r}]", level, -np.inf)
