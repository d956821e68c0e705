"""The playground's directives write what the scripts need, and refuse what is wrong."""

import json
import re
import sys
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

EXTENSIONS = Path(__file__).resolve().parents[1] / "book" / "_ext"
sys.path.insert(0, str(EXTENSIONS))
import playground  # noqa: E402


@pytest.fixture
def build(tmp_path):
    """Return a function that builds pages; it returns their HTML and the warnings."""

    def run(builder="html", **pages):
        source, out = tmp_path / "source", tmp_path / builder
        source.mkdir(exist_ok=True)
        for name, text in {"index": "# A page", **pages}.items():
            (source / f"{name}.md").write_text(text, "utf-8")
        warnings = StringIO()
        with docutils_namespace():
            app = Sphinx(
                source,
                None,
                out,
                tmp_path / "doctrees",
                builder,
                {
                    "extensions": "myst_parser,playground",
                    "html_theme": "basic",
                },
                status=None,
                warning=warnings,
            )
            app.build()
        suffix = {"html": ".html", "text": ".txt"}[builder]
        return (
            {name: (out / f"{name}{suffix}").read_text("utf-8") for name in pages},
            warnings.getvalue(),
        )

    return run


def directive(name, **options):
    lines = [f":{key}: {value}" for key, value in options.items()]
    return "\n".join(
        [
            "---",
            "orphan: true",
            "---",
            "# A page",
            "",
            f"```{{{name}}}",
            *lines,
            "```",
            "",
        ]
    )


def settings(html):
    return json.loads(unescape(re.search(r'data-settings="(.*?)"', html)[1]))


def test_scripts_go_only_to_the_pages_that_need_them(build):
    pages, warnings = build(
        plain="---\norphan: true\n---\n# A page",
        drawing=directive("playground"),
        cell=directive("cell-stepper", cell="gru"),
        sentence=directive("influence"),
    )
    assert not warnings
    scripts = {
        name: set(re.findall(r"_static/([\w-]+)\.js", html)) & OURS
        for name, html in pages.items()
    }
    shared = {"playground-model", "playground-parts"}
    assert scripts == {
        "plain": set(),
        "drawing": shared | {"playground"},
        "cell": shared | {"cell-stepper"},
        "sentence": shared | {"influence"},
    }
    assert "playground.css" not in pages["plain"]
    assert settings(pages["cell"]) == {"cell": "gru"}
    for name in ("drawing", "cell", "sentence"):
        assert f"<noscript><p>{playground.NO_SCRIPT}</p></noscript>" in pages[name]


OURS = {Path(name).stem for name in (*playground.SHARED, *playground.SCRIPTS.values())}


def test_options_reach_the_page(build):
    text = directive(
        "playground",
        models="english-gru english-ngram-2",
        compare="english-ngram-2",
        panels="score compare",
        prefix="A “quoted” <b>",
        temperature=1.5,
        seed=7,
    )
    pages, warnings = build(page=text)
    assert not warnings
    found = settings(pages["page"])
    names = [info["name"] for info in found["models"]]
    assert names == ["english-gru", "english-ngram-2"]
    assert (found["model"], found["compare"]) == ("english-gru", "english-ngram-2")
    assert found["panels"] == ["score", "compare"]
    assert found["prefix"] == "A “quoted” <b>"
    assert (found["temperature"], found["seed"], found["length"]) == (1.5, 7, 200)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("playground", {"models": "english-cnn"}, "models: must be some of english-"),
        ("playground", {"panels": "gates"}, "panels: must be some of distribution"),
        ("playground", {"model": "none"}, "model: must be one of english-"),
        ("playground", {"length": "0"}, "length"),
        ("cell-stepper", {"cell": "cnn"}, "cell: must be one of rnn, gru, lstm"),
    ],
)
def test_a_wrong_option_is_a_warning_that_names_it(build, name, options, message):
    _, warnings = build(page=directive(name, **options))
    assert message in warnings


def test_on_paper_the_reader_is_told_what_is_missing(build):
    pages, warnings = build("text", page=directive("playground"))
    assert not warnings
    assert playground.NO_PAGE in " ".join(pages["page"].split())


def test_the_table_lists_every_model(build):
    pages, warnings = build(page=directive("playground-models"))
    assert not warnings
    record = json.loads(playground.RECORD.read_text("utf-8"))
    infos = playground.catalog(record)
    assert pages["page"].count("<tr") == len(infos) + 1
    best = min(info["bits"] for info in infos)
    assert f"{best:.2f}" in pages["page"]
