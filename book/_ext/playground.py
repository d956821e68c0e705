"""A Sphinx extension: directives for what answers in the page itself.

``{playground}`` draws text from the models in ``_static/models`` and scores
texts, ``{cell-stepper}`` steps through one unit of a cell, ``{influence}``
shows what a prediction depends on, ``{playground-models}`` lists the models.
Scripts go only to the pages that need them, and a model's file is fetched by
the page when it is first used.
"""

import json
from html import escape
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

RECORD = Path(__file__).parents[1] / "_static" / "models" / "models.json"

PANELS = ("distribution", "state", "compare", "score")
PREFIXES = {"english": "The sea was", "chinese": "明月"}

#: What the pages need besides what all widgets share.
SCRIPTS = {
    "playground": "playground.js",
    "stepper": "cell-stepper.js",
    "influence": "influence.js",
}
SHARED = ("playground-model.js", "playground-parts.js")

NO_SCRIPT = (
    "This part of the page needs JavaScript, which is switched off in your "
    "browser. You can read the rest without it."
)
NO_PAGE = (
    "[What stands here answers to the reader in the book's web pages only.]"
)


def catalog(record):
    """Return what the page says of each model on offer, in menu order.

    >>> made = {"kind": "ngram", "train_chars": 9, "bytes": 70}
    >>> record = {"x-text": made | {"bits_per_character": [2.0, 1.5]}}
    >>> [(info["name"], info["bits"]) for info in catalog(record)]
    [('x-ngram-1', 2.0), ('x-ngram-2', 1.5)]
    """
    infos = []
    for name, made in record.items():
        language = name.partition("-")[0]
        common = {"language": language, "bytes": made["bytes"]}
        bits = made.get("bits_per_character")
        if made["kind"] == "ngram":
            infos += [
                {
                    **common,
                    "name": f"{language}-ngram-{order}",
                    "label": f"{language.capitalize()} {order}-gram",
                    "train_chars": made["train_chars"],
                    "bits": bits[order - 1],
                }
                for order in range(1, len(bits) + 1)
            ]
        elif bits:
            infos.append(
                {
                    **common,
                    "name": name,
                    "label": f"{language.capitalize()} {made['kind'].upper()}",
                    "num_hiddens": made["num_hiddens"],
                    "num_params": made["num_params"],
                    "bits": bits,
                }
            )
    return infos


class widget(nodes.General, nodes.Element):
    """A place in the page that a script fills."""


class Widget(SphinxDirective):
    """What the three directives share."""

    kind, title = "", ""

    def run(self):
        """Return the node of the widget."""
        return [
            widget(kind=self.kind, title=self.title, settings=self.settings())
        ]

    def settings(self):
        """Return what the script is told."""
        return {}

    def one_of(self, option, known, default):
        """Return the value of an option, or say which ones there are."""
        value = self.options.get(option, default)
        if value and value not in known:
            known = ", ".join(known)
            raise self.error(f"{option}: must be one of {known}; got {value}")
        return value

    def some_of(self, option, known):
        """Return the values of an option, all where it is not given."""
        values = self.options.get(option, " ".join(known)).split()
        if not values or set(values) - set(known):
            known, values = ", ".join(known), " ".join(values)
            raise self.error(
                f"{option}: must be some of {known}; got {values}"
            )
        return values


class Playground(Widget):
    """Draw text from one model, or two side by side, and score texts."""

    kind, title = "playground", "Playground: draw text from a model"
    option_spec: ClassVar = {
        "models": directives.unchanged,
        "panels": directives.unchanged,
        "model": directives.unchanged,
        "compare": directives.unchanged,
        "prefix": directives.unchanged,
        "temperature": float,
        "length": directives.positive_int,
        "seed": directives.nonnegative_int,
    }

    def settings(self):
        """Check the options against the models that there are."""
        self.env.note_dependency(str(RECORD))
        known = {
            info["name"]: info
            for info in catalog(json.loads(RECORD.read_text("utf-8")))
        }
        names = self.some_of("models", known)
        return {
            "models": [known[name] for name in names],
            "panels": self.some_of("panels", PANELS),
            "model": self.one_of("model", names, names[0]),
            "compare": self.one_of("compare", names, ""),
            "prefixes": PREFIXES,
            "prefix": self.options.get("prefix", ""),
            "temperature": self.options.get("temperature", 0.7),
            "length": self.options.get("length", 200),
            "seed": self.options.get("seed", 0),
        }


class CellStepper(Widget):
    """Step through one unit of an RNN, a GRU or an LSTM."""

    kind, title = "stepper", "One unit of a recurrent network, step by step"
    option_spec: ClassVar = {"cell": directives.unchanged}

    def settings(self):
        """Return the cell to begin with."""
        return {"cell": self.one_of("cell", ("rnn", "gru", "lstm"), "lstm")}


class Influence(Widget):
    """Show which earlier characters a prediction depends on."""

    kind, title = "influence", "What a prediction depends on"


def size(info):
    """Return how many parameters a model has; counting models have none."""
    return f"{info['num_params']:,}" if "num_params" in info else "–"


class ModelTable(SphinxDirective):
    """List every model with its size and its bits per character."""

    def run(self):
        """Return the table."""
        self.env.note_dependency(str(RECORD))
        infos = catalog(json.loads(RECORD.read_text("utf-8")))
        rows = [
            f"| {info['label']} | {size(info)} "
            f"| {info['bytes'] / 1000:,.0f} kB | {info['bits']:.2f} |"
            for info in sorted(infos, key=itemgetter("language", "bits"))
        ]
        head = "| Model | Parameters | File | Bits per unseen character |"
        lines = [head, "|:--|--:|--:|--:|", *rows]
        return self.parse_text_to_nodes("\n".join(lines))


def visit_html(self, node):
    """Write a place for the script, and what stands there without it."""
    settings = json.dumps(node["settings"], ensure_ascii=False)
    self.body.append(
        f'<section class="pg-widget pg-{node["kind"]}" '
        f'aria-label="{escape(node["title"])}" '
        f'data-settings="{escape(settings)}">\n'
        f"<noscript><p>{NO_SCRIPT}</p></noscript>\n</section>\n"
    )
    raise nodes.SkipNode


def visit_latex(self, node):
    """Say what is missing on paper."""
    self.body.append(f"\n\n\\emph{{{NO_PAGE}}}\n\n")
    raise nodes.SkipNode


def visit_text(self, node):
    """Say what is missing in plain text."""
    self.add_text(NO_PAGE)
    raise nodes.SkipNode


def add_assets(app, pagename, templatename, context, doctree):
    """Give a page the scripts of the widgets that it has."""
    kinds = (
        {node["kind"] for node in doctree.findall(widget)} if doctree else ()
    )
    if not kinds:
        return
    app.add_css_file("playground.css")
    for script in (*SHARED, *(SCRIPTS[kind] for kind in sorted(kinds))):
        app.add_js_file(script, loading_method="defer")


def setup(app):
    """Register with Sphinx."""
    app.add_node(
        widget,
        html=(visit_html, None),
        latex=(visit_latex, None),
        text=(visit_text, None),
    )
    app.add_directive("playground", Playground)
    app.add_directive("cell-stepper", CellStepper)
    app.add_directive("influence", Influence)
    app.add_directive("playground-models", ModelTable)
    app.connect("html-page-context", add_assets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
