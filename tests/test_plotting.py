"""Figures say what they were given, and the same again in every byte."""

from d2l_rnn.plotting import (
    plot_curves,
    plot_heatmap,
    plot_histogram,
    set_figure_style,
)

import IPython
import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.pylabtools import print_figure
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib_inline import backend_inline


@pytest.fixture(autouse=True)
def backend():
    """Draw without a screen, and leave no figure and no setting behind."""
    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to run in Jupyter; return the options it is given for figures."""
    options = {}

    def set_matplotlib_formats(*formats, **kwargs):
        options.update(kwargs, formats=formats)

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        backend_inline, "set_matplotlib_formats", set_matplotlib_formats
    )
    return options


def curves(last=3.0):
    return plot_curves(
        {"random": [5.0, 4.0, last], "consecutive": ([1, 2, 3], [6.0, 3.0, 2.0])},
        xlabel="epoch",
        ylabel="perplexity",
        reference={"uniform": 7.0},
        log="y",
    )


def histogram(last=8.0):
    return plot_histogram([1, 2, 2, 4, last], xlabel="norm", mark={"θ": 2.0}, log=True)


def heatmap(last=1.0):
    return plot_heatmap([[0, 1], [2, last]], xlabel="to", ylabel="from", xticks="ab")


every_plot = pytest.mark.parametrize("plot", [curves, histogram, heatmap])


@every_plot
def test_the_same_figure_has_the_same_bytes_in_a_notebook(notebook, plot):
    set_figure_style()
    assert notebook.pop("formats") == ("svg",)
    first, same, other = (
        print_figure(plot(*last).figure, "svg", **notebook) for last in ((), (), (3.5,))
    )
    assert first == same
    assert first != other
    assert "<dc:date>" not in first
    assert f">{plt.gca().get_xlabel()}</text>" in first  # letters, not outlines


def test_the_style_needs_no_notebook(monkeypatch):
    """A script gets the style, and no interactive shell that it never asked for."""
    calls = []
    monkeypatch.setattr(
        backend_inline, "set_matplotlib_formats", lambda *a, **k: calls.append(a)
    )
    set_figure_style()
    assert mpl.rcParams["figure.figsize"] == [5, 3]
    assert mpl.rcParams["svg.hashsalt"] == "d2l_rnn"
    assert calls == []


def test_curves_differ_in_color_and_in_line_style(notebook):
    set_figure_style()
    ax = plot_curves({str(k): [k, k] for k in range(6)}, xlabel="x", ylabel="y")
    colors = {to_hex(line.get_color()) for line in ax.lines}
    styles = {str(line._unscaled_dash_pattern) for line in ax.lines}
    assert len(colors) == len(styles) == 6


def test_curves_are_the_values_given():
    ax = curves()
    first, second, level = ax.lines
    np.testing.assert_array_equal(first.get_xydata(), [(1, 5), (2, 4), (3, 3)])
    np.testing.assert_array_equal(second.get_xydata(), [(1, 6), (2, 3), (3, 2)])
    assert set(level.get_ydata()) == {7.0}
    assert [text.get_text() for text in ax.texts] == ["uniform"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["random", "consecutive"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "perplexity")


def test_a_single_curve_has_no_legend():
    ax = plot_curves({"only": np.array([2.0, 1.0])}, xlabel="x", ylabel="y")
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("log", "scales"),
    [
        ("", ("linear", "linear")),
        ("x", ("log", "linear")),
        ("y", ("linear", "log")),
        ("xy", ("log", "log")),
    ],
)
def test_axes_are_logarithmic_as_asked(log, scales):
    ax = plot_curves({"a": [1, 2]}, xlabel="x", ylabel="y", log=log)
    assert (ax.get_xscale(), ax.get_yscale()) == scales


@pytest.mark.parametrize("log", ["z", "yx", "log", True, None])
def test_a_wrong_log_is_named_and_draws_nothing(log):
    with pytest.raises(ValueError, match='log must be "", "x", "y" or "xy", got') as e:
        plot_curves({"a": [1, 2]}, xlabel="x", ylabel="y", log=log)
    assert str(e.value).endswith(repr(log))
    assert plt.get_fignums() == []


def test_a_histogram_may_have_bins_of_its_own():
    ax = plot_histogram([1, 2, 4, 4.5], xlabel="norm", bins=np.array([0, 3, 5, 9]))
    bars = [(bar.get_x(), bar.get_height()) for bar in ax.patches]
    assert bars == [(0, 2), (3, 2), (5, 0)]


@pytest.mark.parametrize("log", [False, True])
def test_a_histogram_counts_every_value(log):
    values = np.random.default_rng(0).lognormal(size=500)
    ax = plot_histogram(values, xlabel="norm", bins=12, log=log)
    heights = [bar.get_height() for bar in ax.patches]
    edges = np.array([bar.get_x() for bar in ax.patches])
    assert len(heights) == 12
    assert sum(heights) == 500
    widths = np.diff(np.log(edges) if log else edges)
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    inside = (edges[3] <= values) & (values < edges[4])
    assert heights[3] == inside.sum() > 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("norm", "count")
    assert ax.get_legend() is None


def test_marks_are_labeled_lines():
    ax = plot_histogram([1, 2, 3], xlabel="x", mark={"θ": 2.5, "mean": 2.0})
    assert [line.get_xdata()[0] for line in ax.lines] == [2.5, 2.0]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["θ", "mean"]


def test_a_heatmap_shows_its_matrix():
    matrix = np.arange(6.0).reshape(2, 3)
    ax = plot_heatmap(
        matrix, xlabel="to", ylabel="from", xticks="abc", yticks="de", vmin=-1, vmax=9
    )
    (cells,) = [c for c in ax.collections if c.get_array().size == 6]
    np.testing.assert_array_equal(cells.get_array().reshape(2, 3), matrix)
    assert cells.get_clim() == (-1, 9)
    assert [text.get_text() for text in ax.get_xticklabels()] == list("abc")
    assert [text.get_text() for text in ax.get_yticklabels()] == list("de")
    top, bottom = ax.get_ylim()[::-1]
    assert top < bottom  # row 0 lies on top
    assert len(ax.figure.axes) == 2  # the second holds the color bar


@every_plot
def test_plots_go_to_the_axes_given(plot):
    ax = plt.subplots()[1]
    if plot is curves:
        drawn = plot_curves({"a": [1]}, xlabel="x", ylabel="y", ax=ax)
    elif plot is histogram:
        drawn = plot_histogram([1], xlabel="x", ax=ax)
    else:
        drawn = plot_heatmap([[1]], xlabel="x", ylabel="y", ax=ax)
    assert drawn is ax
    assert len(plt.get_fignums()) == 1
