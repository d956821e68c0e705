"""Diagrams are well-formed SVG, read here as XML."""

from xml.etree import ElementTree

from d2l_rnn.diagrams import Diagram, draw_cell, draw_graph, draw_unrolled

import pytest

SVG = "{http://www.w3.org/2000/svg}"
LIT, DIM = "#0072B2", "#999999"

CELLS = {
    "rnn": ("hidden", "input", "sum", "tanh", "output"),
    "gru": ("inputs", "reset", "update", "candidate", "output"),
    "lstm": ("inputs", "cell", "forget", "input", "candidate", "output"),
}


def parse(picture):
    return ElementTree.fromstring(picture._repr_svg_())


def find(picture, tag):
    return list(parse(picture).iter(SVG + tag))


def texts(picture):
    return ["".join(text.itertext()) for text in find(picture, "text")]


def colors(picture):
    """Return the colors of all strokes but the frame's."""
    shapes = [
        shape for shape in parse(picture) if "stroke-dasharray" not in shape.keys()
    ]
    return [shape.get("stroke") for shape in shapes if shape.get("stroke")]


def graph(lit=None):
    nodes = {
        "X": (40, 100, "box"),
        "W": (40, 30, "box"),
        "×/1": (120, 100, "circle"),
        "+/2": (200, 100, "circle"),
    }
    edges = [("X", "×/1"), ("W", "×/1"), ("×/1", "+/2")]
    return draw_graph(nodes, edges, title="a product & a sum", lit=lit)


PICTURES = [
    draw_unrolled(),
    draw_unrolled(2, inputs="我不", outputs=["<", "&"], lit=[2]),
    *(draw_cell(kind) for kind in CELLS),
    graph(),
]
every_picture = pytest.mark.parametrize("picture", PICTURES, ids=repr)


@every_picture
def test_pictures_are_titled_drawings(picture):
    svg = parse(picture)
    assert svg.tag == SVG + "svg"
    assert svg.get("role") == "img"
    assert svg.find(SVG + "title").text == picture.title
    assert picture.title in repr(picture)
    size = [float(number) for number in svg.get("viewBox").split()]
    assert size == [0, 0, float(svg.get("width")), float(svg.get("height"))]


@every_picture
def test_everything_lies_inside_the_picture(picture):
    for x, y in all_points(picture):
        assert 0 <= x <= picture.width
        assert 0 <= y <= picture.height


def all_points(picture):
    for shape in parse(picture).iter():
        for pair in (shape.get("points") or "").split():
            yield tuple(float(number) for number in pair.split(","))
        for x, y in (("x", "y"), ("cx", "cy")):
            if shape.get(x) and shape.get(y):
                yield float(shape.get(x)), float(shape.get(y))


def test_labels_are_escaped_and_their_subscripts_set_lower():
    picture = Diagram(100, 50, 'weights < "1" & more')
    picture.box(50, 25, "a<b_h-1")
    (text,) = find(picture, "text")
    assert text.text == "a<b"
    assert text[0].text == "h−1"
    assert float(text[0].get("dy")) > 0
    assert parse(picture).find(SVG + "title").text == 'weights < "1" & more'


def test_boxes_and_circles_lie_around_their_point():
    picture = Diagram(200, 100, "two")
    picture.box(50, 40, "H", width=60, height=20)
    picture.circle(150, 40, "+", radius=9)
    _, box = find(picture, "rect")  # after the background
    assert [box.get(k) for k in ("x", "y", "width", "height")] == [
        "20",
        "30",
        "60",
        "20",
    ]
    (circle,) = find(picture, "circle")
    assert [circle.get(k) for k in ("cx", "cy", "r")] == ["150", "40", "9"]


def test_an_arrow_ends_in_a_head_at_its_last_point():
    picture = Diagram(100, 100, "arrows")
    picture.arrow((10, 10), (10, 50), (90, 50))
    picture.arrow((10, 90), (90, 90), head=False)
    lines = [line.get("points") for line in find(picture, "polyline")]
    assert lines == ["10,10 10,50 90,50", "10,90 90,90"]
    (head,) = find(picture, "polygon")
    points = [tuple(map(float, p.split(","))) for p in head.get("points").split()]
    assert points == [(90, 50), (82, 46), (82, 54)]


def test_what_is_dim_is_gray_and_thinner():
    picture = Diagram(100, 100, "both")
    for lit in (True, False):
        picture.box(50, 50, "H", lit=lit)
        picture.circle(50, 50, "+", lit=lit)
        picture.arrow((10, 10), (20, 20), lit=lit)
    assert colors(picture) == [LIT] * 3 + [DIM] * 3
    lit_line, dim_line = find(picture, "polyline")
    assert float(lit_line.get("stroke-width")) > float(dim_line.get("stroke-width"))


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_an_unrolled_network_has_one_box_a_step(num_steps):
    picture = draw_unrolled(num_steps)
    labels = texts(picture)
    for t in range(1, num_steps + 1):
        assert {f"X{t}", f"H{t}", f"O{t}"} <= set(labels)
    assert len(find(picture, "rect")) == num_steps + 1  # and the background
    assert labels.count("Whh") == num_steps - 1
    assert labels.count("Wxh") == labels.count("Whq") == num_steps
    assert f"{num_steps} time steps" in picture.title


def test_an_unrolled_network_shows_the_labels_given():
    picture = draw_unrolled(2, inputs="ab", outputs=["b", "<"])
    assert {"a", "b", "<"} <= set(texts(picture))


def test_steps_are_lit_one_by_one():
    assert set(colors(draw_unrolled(3))) == {LIT}
    assert set(colors(draw_unrolled(3, lit=[]))) == {DIM}
    counts = [colors(draw_unrolled(3, lit=[t])).count(LIT) for t in (1, 2, 3)]
    assert min(counts) > 0
    assert (
        colors(draw_unrolled(3, lit=iter([1, 3]))).count(LIT) == counts[0] + counts[2]
    )


@pytest.mark.parametrize("kind", CELLS)
def test_each_part_of_a_cell_is_lit_by_its_name(kind):
    assert set(colors(draw_cell(kind))) == {LIT}
    assert set(colors(draw_cell(kind, lit=[]))) == {DIM}
    lit = [colors(draw_cell(kind, lit=[part])).count(LIT) for part in CELLS[kind]]
    assert min(lit) > 0
    assert sum(lit) == len(colors(draw_cell(kind)))
    assert colors(draw_cell(kind, lit=CELLS[kind])) == colors(draw_cell(kind))


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_leads_from_one_state_to_the_next(kind):
    assert {"Ht−1", "Xt", "Ht"} <= set(texts(draw_cell(kind)))
    assert len({draw_cell(k)._repr_svg_() for k in (*CELLS, kind)}) == len(CELLS)


def test_an_unknown_cell_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"kind must be one of .*'rnn'.* got 'rnm'"):
        draw_cell("rnm")


def test_a_graph_has_its_nodes_and_edges():
    picture = graph()
    assert sorted(texts(picture)) == ["+", "W", "X", "×"]
    assert len(find(picture, "polyline")) == len(find(picture, "polygon")) == 3
    assert len(find(picture, "circle")) == 2


def test_edges_begin_and_end_at_the_borders_of_nodes():
    ends = [line.get("points") for line in find(graph(), "polyline")]
    assert ends[0] == "68,100 107,100"  # from the side of a box to a circle
    assert ends[2] == "133,100 187,100"
    x, y = map(float, ends[1].split()[1].split(","))
    assert (x - 120) ** 2 + (y - 100) ** 2 == pytest.approx(13**2, abs=0.2)
    x, y = map(float, ends[1].split()[0].split(","))
    assert y == 30 + 16 or x == 40 + 28


def test_an_edge_is_lit_where_both_ends_are():
    lines = [line.get("stroke") for line in find(graph(lit=["X", "×/1"]), "polyline")]
    assert lines == [LIT, DIM, DIM]
    boxes = [box.get("stroke") for box in find(graph(lit=["X"]), "rect")][1:]
    assert boxes == [LIT, DIM]
