"""Diagrams of cells and unrolled networks, drawn as SVG by one small kit.

All cells share their look: boxes are layers with weights, circles are arithmetic,
arrows are arrays. A part that is `lit` is colored, the rest is gray, so that a
chapter can build up a cell one gate at a time.
"""

import math
from collections.abc import Iterable
from html import escape

from d2l_rnn._checks import check_choice, check_number, check_positive_int, check_type

__all__ = ["Diagram", "draw_cell", "draw_graph", "draw_unrolled"]

_LIT, _DIM, _INK, _FILL = "#0072B2", "#999999", "#222222", "#eaf3fa"


class Diagram:
    """A small SVG drawing: boxes, circles, arrows and labels.

    Coordinates are in pixels, from the upper left corner. Labels may hold one
    subscript, written with an underscore: ``H_t``, ``W_xh``, ``H_t-1``.

    >>> picture = Diagram(100, 50, "one box")
    >>> picture.box(50, 25, "H_t")
    >>> picture
    Diagram('one box')
    """

    def __init__(self, width, height, title):
        self.width = check_positive_int("width", width, unit=" of pixels")
        self.height = check_positive_int("height", height, unit=" of pixels")
        self.title = check_type("title", title, str, "a string")
        self.parts = []

    def __repr__(self):
        return f"Diagram({self.title!r})"

    def _repr_svg_(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" font-family="sans-serif" font-size="14">'
            f"<title>{escape(self.title)}</title>"
            '<rect width="100%" height="100%" fill="white"/>'
            + "".join(self.parts)
            + "</svg>"
        )

    def box(self, x, y, label, *, lit=True, width=56, height=32):
        """Draw a layer: a rounded box around (x, y)."""
        _check_point((x, y))
        check_positive_int("width", width, unit=" of pixels")
        check_positive_int("height", height, unit=" of pixels")
        check_type("label", label, str, "a string")
        self.parts.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" '
            f'height="{height}" rx="5" fill="{_FILL if lit else "white"}" '
            f'stroke="{_LIT if lit else _DIM}" stroke-width="{2 if lit else 1}"/>'
        )
        self.text(x, y, label, lit=lit)

    def circle(self, x, y, label, *, lit=True, radius=13):
        """Draw an operation on arrays: a circle around (x, y)."""
        _check_point((x, y))
        check_positive_int("radius", radius, unit=" of pixels")
        check_type("label", label, str, "a string")
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" '
            f'fill="{_FILL if lit else "white"}" stroke="{_LIT if lit else _DIM}"/>'
        )
        self.text(x, y, label, lit=lit)

    def text(self, x, y, label, *, lit=True, anchor="middle", size=14):
        """Write a label centered at (x, y), or beginning or ending there."""
        _check_point((x, y))
        check_choice("anchor", anchor, ("start", "middle", "end"))
        check_positive_int("size", size, unit=" of pixels")
        check_type("label", label, str, "a string")
        self.parts.append(
            f'<text x="{x:g}" y="{y + size * 0.35:g}" text-anchor="{anchor}" '
            f'font-size="{size}" fill="{_INK if lit else _DIM}">{_label(label)}</text>'
        )

    def arrow(self, *points, lit=True, head=True):
        """Draw a line through the points, with an arrow head at the last."""
        if len(points) < 2:
            raise ValueError(f"points must be at least 2, got {len(points)}")
        for point in points:
            _check_point(point)
        if head and tuple(points[-2]) == tuple(points[-1]):
            raise ValueError(
                f"points must end in two that differ, got {points[-1]} twice: an "
                "arrow head needs a direction"
            )
        color = _LIT if lit else _DIM
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        width = 1.8 if lit else 1
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="{width}"/>'
        )
        if head:
            (x0, y0), (x, y) = points[-2:]
            length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
            dx, dy = 8 * (x - x0) / length, 8 * (y - y0) / length
            self.parts.append(
                f'<polygon points="{x:g},{y:g} {x - dx + dy / 2:g},'
                f'{y - dy - dx / 2:g} {x - dx - dy / 2:g},{y - dy + dx / 2:g}" '
                f'fill="{color}"/>'
            )


def _check_point(point, name="a point"):
    if not isinstance(point, (tuple, list)) or len(point) != 2:
        raise TypeError(f"{name} must be two numbers (x, y), got {point!r}")
    for axis, value in zip("xy", point, strict=True):
        check_number(f"{axis} of {name}", value, -math.inf)


def _check_lit(lit, parts, what):
    """Return the set of parts that are colored: those named, or all."""
    if lit is None:
        return set(parts)
    if isinstance(lit, str) or not isinstance(lit, Iterable):
        raise TypeError(f"lit must be a list of {what}, got {lit!r}")
    lit = list(lit)
    unknown = [part for part in lit if part not in list(parts)]
    if unknown:
        raise ValueError(
            f"lit must name {what} ({', '.join(map(str, parts))}), got {unknown[0]!r}"
        )
    return set(lit)


def _check_labels(name, labels, num_steps):
    labels = check_type(name, labels, (str, list, tuple), "a list of labels")
    if len(labels) != num_steps:
        raise ValueError(
            f"{name} must be one label for each of the {num_steps} steps, got "
            f"{labels!r}"
        )
    return labels


def _label(label):
    base, _, sub = label.partition("_")
    if not sub:
        return escape(base)
    sub = escape(sub.replace("-", "−"))
    return f'{escape(base)}<tspan dy="4" font-size="10">{sub}</tspan>'


def draw_unrolled(num_steps=3, *, inputs=None, outputs=None, lit=None):
    """Draw a recurrent network unrolled along time.

    Parameters
    ----------
    num_steps : int
    inputs, outputs : sequence of str, optional
        Labels below and above each step; X_1, X_2, … and O_1, O_2, … if not given.
    lit : iterable of int, optional
        Which steps are colored (from 1); all if not given.

    >>> draw_unrolled(2)
    Diagram('A recurrent network unrolled over 2 time steps')
    """
    steps = range(1, check_positive_int("num_steps", num_steps) + 1)
    inputs = [f"X_{t}" for t in steps] if inputs is None else inputs
    outputs = [f"O_{t}" for t in steps] if outputs is None else outputs
    _check_labels("inputs", inputs, num_steps)
    _check_labels("outputs", outputs, num_steps)
    lit = _check_lit(lit, steps, "time steps")
    picture = Diagram(
        120 * num_steps + 100,
        210,
        f"A recurrent network unrolled over {num_steps} time steps",
    )
    picture.text(24, 105, "H_0", lit=1 in lit)
    for t in steps:
        x, on = 120 * t - 10, t in lit
        left = 38 if t == 1 else x - 92
        picture.arrow((left, 105), (x - 28, 105), lit=on)
        picture.arrow((x, 165), (x, 121), lit=on)
        picture.arrow((x, 89), (x, 45), lit=on)
        picture.box(x, 105, f"H_{t}", lit=on)
        picture.text(x, 180, inputs[t - 1], lit=on)
        picture.text(x, 30, outputs[t - 1], lit=on)
        picture.text(x + 8, 143, "W_xh", lit=False, anchor="start", size=11)
        picture.text(x + 8, 67, "W_hq", lit=False, anchor="start", size=11)
        if t > 1:
            picture.text(x - 60, 95, "W_hh", lit=False, size=11)
    x = 120 * num_steps - 10
    picture.arrow((x + 28, 105), (x + 80, 105), lit=num_steps in lit)
    return picture


def draw_cell(kind="rnn", *, lit=None):
    """Draw the inside of one recurrent cell.

    Parameters
    ----------
    kind : str
        "rnn", "gru" or "lstm".
    lit : iterable of str, optional
        Names of the parts that are colored; all if not given. RNN: hidden, input,
        sum, tanh, output. GRU: inputs, reset, update, candidate, output. LSTM:
        inputs, cell, forget, input, candidate, output.

    >>> draw_cell("rnn")
    Diagram('The inside of a plain recurrent cell')
    """
    draw, parts = _CELLS[check_choice("kind", kind, _CELLS)]
    return draw(_check_lit(lit, parts.split(), "parts of the cell").__contains__)


def _draw_rnn(on):
    picture = Diagram(440, 220, "The inside of a plain recurrent cell")
    _frame(picture)
    picture.arrow((50, 75), (177, 75), lit=on("hidden"))
    picture.box(113, 75, "W_hh", lit=on("hidden"))
    picture.arrow((190, 195), (190, 88), lit=on("input"))
    picture.box(190, 140, "W_xh", lit=on("input"))
    picture.circle(190, 75, "+", lit=on("sum"))
    picture.arrow((203, 75), (252, 75), lit=on("tanh"))
    picture.box(280, 75, "tanh", lit=on("tanh"))
    picture.arrow((308, 75), (400, 75), lit=on("output"))
    picture.arrow((345, 75), (345, 18), lit=on("output"))
    picture.text(24, 75, "H_t-1", lit=on("hidden"))
    picture.text(190, 208, "X_t", lit=on("input"))
    picture.text(418, 75, "H_t", lit=on("output"))
    return picture


def _draw_gru(on):
    picture = Diagram(470, 290, "The inside of a gated recurrent unit")
    _frame(picture)
    inputs, reset, update = on("inputs"), on("reset"), on("update")
    candidate, output = on("candidate"), on("output")
    # The old state runs along the top, and down to the two gates. The candidate
    # sees X_t, and the old state only through the reset gate.
    picture.arrow((50, 60), (207, 60), lit=output)
    picture.arrow((85, 60), (85, 222), (210, 222), lit=inputs, head=False)
    picture.arrow((100, 265), (100, 242), (360, 242), lit=inputs, head=False)
    for x, part in ((120, reset), (210, update)):
        picture.arrow((x, 222), (x, 186), lit=part)
    for x, part in ((140, reset), (230, update), (360, candidate)):
        picture.arrow((x, 242), (x, 186), lit=part)
    picture.arrow((130, 154), (130, 128), lit=reset)
    picture.arrow((130, 60), (130, 102), lit=reset)
    picture.arrow((143, 115), (172, 115), (172, 202), (330, 202), (330, 186), lit=reset)
    picture.arrow((220, 154), (220, 73), lit=update)
    picture.arrow((220, 115), (267, 115), lit=update)
    picture.arrow((293, 115), (332, 115), lit=update)
    picture.arrow((345, 154), (345, 128), lit=candidate)
    picture.arrow((345, 102), (345, 73), lit=output)
    picture.arrow((233, 60), (332, 60), lit=output)
    picture.arrow((358, 60), (428, 60), lit=output)
    picture.box(130, 170, "R  σ", lit=reset)
    picture.box(220, 170, "Z  σ", lit=update)
    picture.box(345, 170, "H̃  tanh", lit=candidate, width=72)
    picture.circle(130, 115, "×", lit=reset)
    picture.circle(220, 60, "×", lit=output)
    picture.circle(280, 115, "1−", lit=update)
    picture.circle(345, 115, "×", lit=output)
    picture.circle(345, 60, "+", lit=output)
    picture.text(26, 60, "H_t-1", lit=inputs)
    picture.text(100, 278, "X_t", lit=inputs)
    picture.text(446, 60, "H_t", lit=output)
    return picture


def _draw_lstm(on):
    picture = Diagram(540, 300, "The inside of an LSTM cell")
    _frame(picture)
    inputs, cell, forget = on("inputs"), on("cell"), on("forget")
    gate, candidate, output = on("input"), on("candidate"), on("output")
    # The cell runs along the top; H_t−1 and X_t reach all gates from below.
    picture.arrow((50, 60), (107, 60), lit=cell)
    picture.arrow((133, 60), (237, 60), lit=cell)
    picture.arrow((263, 60), (498, 60), lit=cell)
    picture.arrow((50, 240), (370, 240), lit=inputs, head=False)
    picture.arrow((90, 275), (90, 240), lit=inputs, head=False)
    columns = ((120, forget), (210, gate), (290, candidate), (370, output))
    for x, part in columns:
        picture.arrow((x, 240), (x, 206), lit=part)
    picture.arrow((120, 174), (120, 73), lit=forget)
    picture.arrow((210, 174), (210, 120), (237, 120), lit=gate)
    picture.arrow((290, 174), (290, 120), (263, 120), lit=candidate)
    picture.arrow((250, 107), (250, 73), lit=gate)
    picture.arrow((370, 174), (370, 150), (427, 150), lit=output)
    picture.arrow((440, 60), (440, 137), lit=output)
    picture.arrow((453, 150), (498, 150), lit=output)
    picture.box(120, 190, "F  σ", lit=forget)
    picture.box(210, 190, "I  σ", lit=gate)
    picture.box(290, 190, "C̃  tanh", lit=candidate, width=72)
    picture.box(370, 190, "O  σ", lit=output)
    picture.box(440, 100, "tanh", lit=output, width=48, height=26)
    picture.circle(120, 60, "×", lit=forget)
    picture.circle(250, 60, "+", lit=gate)
    picture.circle(250, 120, "×", lit=gate)
    picture.circle(440, 150, "×", lit=output)
    picture.text(26, 60, "C_t-1", lit=cell)
    picture.text(26, 240, "H_t-1", lit=inputs)
    picture.text(90, 288, "X_t", lit=inputs)
    picture.text(516, 60, "C_t", lit=cell)
    picture.text(516, 150, "H_t", lit=output)
    return picture


def _frame(picture):
    width, height = picture.width - 130, picture.height - 60
    picture.parts.append(
        f'<rect x="65" y="30" width="{width}" height="{height}" rx="12" '
        f'fill="none" stroke="{_DIM}" stroke-dasharray="4 3"/>'
    )


#: How each cell is drawn, and the names of its parts.
_CELLS = {
    "gru": (_draw_gru, "inputs reset update candidate output"),
    "lstm": (_draw_lstm, "inputs cell forget input candidate output"),
    "rnn": (_draw_rnn, "hidden input sum tanh output"),
}


def draw_graph(nodes, edges, *, title, lit=None):
    """Draw a computational graph.

    Parameters
    ----------
    nodes : dict
        From name to (x, y, kind), kind "box" for a parameter or an array,
        "circle" for an operation. The label is the name up to a slash, so that
        ``"+/1"`` and ``"+/2"`` both read "+".
    edges : list of (name, name)
        Arrows from the first to the second.
    title : str
        What the picture shows, for readers who cannot see it.
    lit : iterable of str, optional
        Names of the colored nodes and, where both ends are, edges; all if not given.

    >>> draw_graph(
    ...     {"x": (30, 30, "box"), "y": (150, 30, "box")}, [("x", "y")], title="x to y"
    ... )
    Diagram('x to y')
    """
    _check_graph(nodes, edges)
    lit = _check_lit(lit, nodes, "nodes")
    width = max(x for x, _, _ in nodes.values()) + 50
    height = max(y for _, y, _ in nodes.values()) + 40
    picture = Diagram(width, height, title)
    for start, stop in edges:
        (x0, y0, kind0), (x1, y1, kind1) = nodes[start], nodes[stop]
        picture.arrow(
            _border(x0, y0, kind0, x1, y1),
            _border(x1, y1, kind1, x0, y0),
            lit=start in lit and stop in lit,
        )
    for name, (x, y, kind) in nodes.items():
        draw = picture.box if kind == "box" else picture.circle
        draw(x, y, name.split("/")[0], lit=name in lit)
    return picture


def _check_graph(nodes, edges):
    """Check that nodes are places and kinds, and edges pairs of nodes that differ."""
    check_type("nodes", nodes, dict, "a dict from name to (x, y, kind)")
    if not nodes:
        raise ValueError("nodes is empty: a graph needs at least one")
    for name, node in nodes.items():
        check_type("a name of nodes", name, str, "a string")
        if not isinstance(node, tuple) or len(node) != 3:
            raise ValueError(f"nodes[{name!r}] must be (x, y, kind), got {node!r}")
        _check_point(node[:2], f"nodes[{name!r}]")
        check_choice(f"the kind of nodes[{name!r}]", node[2], ("box", "circle"))
    for edge in check_type("edges", edges, (list, tuple), "a list of (name, name)"):
        pair = edge if isinstance(edge, tuple) and len(edge) == 2 else (edge,) * 2
        if pair[0] == pair[1] or not all(name in list(nodes) for name in pair):
            raise ValueError(
                f"edges must be pairs of two of the nodes {list(nodes)}, got {edge!r}"
            )


def _border(x, y, kind, to_x, to_y):
    """Return where the line from (x, y) to (to_x, to_y) leaves the node at (x, y)."""
    dx, dy = to_x - x, to_y - y
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    if kind == "circle":
        reach = 13 / length
    else:
        reach = min(28 / abs(dx) if dx else 9e9, 16 / abs(dy) if dy else 9e9)
    return round(x + dx * reach, 2), round(y + dy * reach, 2)
