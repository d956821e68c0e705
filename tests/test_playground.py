"""The models in the page say and draw what the package's do, and their screen works."""

import json
import math
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

from browsing import CHROMIUM
from d2l_rnn.cells import CELLS
from d2l_rnn.decoding import choose, generate
from d2l_rnn.export import import_arrays, import_model, import_text
from d2l_rnn.metrics import bits_per_token
from d2l_rnn.training import evaluate

import numpy as np
import pytest
import train_playground
from mxnet import nd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import playground  # noqa: E402

STATIC = ROOT / "book" / "_static"
RECORD = json.loads((STATIC / "models" / "models.json").read_text("utf-8"))
NETWORKS = [name for name, made in RECORD.items() if made["kind"] in CELLS]
PREFIXES = playground.PREFIXES

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here: the page's models are not run"
)


@cache
def package_model(name):
    """Return the package's own model and vocabulary for a name of the page."""
    language, kind, *order = name.split("-")
    if kind == "ngram":
        return import_text(STATIC / "models" / f"{language}-text.js", int(*order))
    return import_model(STATIC / "models" / f"{name}.js")


def widget_page(folder, kind="", settings=None):
    """Write a page with one widget that uses the book's own scripts, as files."""
    scripts = [*playground.SHARED, *([playground.SCRIPTS[kind]] if kind else [])]
    tags = "\n".join(
        f'<script defer src="{(STATIC / name).as_uri()}"></script>' for name in scripts
    )
    styles = "\n".join(
        f'<link rel="stylesheet" href="{(STATIC / name).as_uri()}">'
        for name in ("playground.css", "course.css")
    )
    data = playground.escape(json.dumps(settings or {}))
    path = folder / "page.html"
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>'
        f"{styles}{tags}"
        f'<main class="bd-content"><section class="pg-widget pg-{kind}" '
        f'aria-label="Widget" data-settings="{data}"></section></main>',
        "utf-8",
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page that has the models and nothing else."""
    page = browser.new_page()
    page.goto(widget_page(tmp_path_factory.mktemp("models")))
    yield page
    page.close()


def run(page, body, *values):
    """Run JavaScript with the playground's names in scope and ``values`` as v."""
    names = "cells, choose, generator, loadModel, stepCell, weights"
    script = f"async (v) => {{ const {{ {names} }} = d2lPlayground; {body} }}"
    return page.evaluate(script, list(values))


# Random numbers and drawing


@pytest.mark.parametrize("seed", [0, 1, 7, 12345, 2**32 - 1, 2**32, 2**53 - 1])
def test_random_numbers_are_numpys(page, seed):
    script = "const r = generator(v[0]); return Array.from({length: 500}, r)"
    assert run(page, script, seed) == np.random.default_rng(seed).random(500).tolist()


@pytest.mark.parametrize("temperature", [0, 0.3, 1, 1.7])
def test_drawing_is_the_packages(page, temperature):
    log_probs = np.log(np.random.default_rng(3).dirichlet(np.ones(30)))
    drawn = run(
        page,
        """const random = generator(5);
        return Array.from({length: 300}, () => choose(Float64Array.from(v[0]),
            { temperature: v[1], random }))""",
        log_probs.tolist(),
        temperature,
    )
    rng = np.random.default_rng(5)
    expected = [choose(log_probs, temperature=temperature, rng=rng) for _ in drawn]
    assert drawn == expected


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [
        (0, [0.1, 0.3, 0.3, 0.2, 0.1]),
        (1, [0, 0.3, 0, 0, 0]),
        (2, [0, 0.3, 0.3, 0, 0]),
        (4, [0.1, 0.3, 0.3, 0.2, 0]),
        (9, [0.1, 0.3, 0.3, 0.2, 0.1]),
    ],
)
def test_top_k_keeps_the_likeliest_and_of_equals_the_first(page, top_k, kept):
    logs = [math.log(p) for p in (0.1, 0.3, 0.3, 0.2, 0.1)]
    script = """return Array.from(weights(Float64Array.from(v[0]),
        { temperature: 1, topK: v[1] }))"""
    found = 0.3 * np.array(run(page, script, logs, top_k))
    assert found.tolist() == pytest.approx(kept, abs=1e-15)


# Models


@pytest.mark.parametrize("kind", ["rnn", "gru_cudnn", "lstm"])
def test_a_step_is_the_packages(page, kind):
    rng, cell = np.random.default_rng(0), CELLS[kind]
    width = 5 * cell.num_gates
    x, H, C = rng.normal(size=width), rng.uniform(-1, 1, 5), rng.normal(size=5)
    W = rng.normal(size=(5, width))
    bias = np.zeros(width)
    bias[-5:] = rng.normal(size=5) if kind == "gru_cudnn" else 0
    script = """const [kind, X, U, H, C] = v, f = (a) => Float64Array.from(a);
        const after = cells[kind].step(f(X), f(U), { H: f(H), C: f(C) });
        return [Array.from(after.H), Array.from(after.C || [])]"""
    name, U = kind.split("_")[0], H @ W + bias
    found = run(page, script, name, x.tolist(), U.tolist(), H.tolist(), C.tolist())
    array = lambda a: nd.array(a[None], dtype="float64")  # noqa: E731
    params = {"W_hh": nd.array(W, dtype="float64")}
    params["b_hc"] = nd.array(bias[-5:], dtype="float64")
    state = (array(H), array(C))[: cell.num_states]
    after = cell.step(array(x), state, params)
    for mine, theirs in zip(found, after, strict=False):
        assert mine == pytest.approx(theirs[0].asnumpy().tolist(), abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_mxnets(page, name):
    model, vocab = package_model(name)
    ids = np.random.default_rng(0).integers(0, len(vocab), 25)
    logits, _ = model(nd.array(ids[None], dtype="int32"), model.begin_state(1))
    script = """const model = await loadModel(v[0]);
        let state = model.begin();
        const read = (id) => model.logits(state = model.step(state, id));
        return v[1].map((id) => Array.from(read(id)))"""
    found = np.array(run(page, script, name, ids.tolist()))
    assert np.abs(found - logits[:, 0].asnumpy()).max() < 1e-4


COUNTING = [f"english-ngram-{n}" for n in range(1, 7)]
COUNTING += ["chinese-ngram-1", "chinese-ngram-3"]


@pytest.mark.parametrize("name", COUNTING)
def test_counted_probabilities_are_the_packages(page, name):
    model, vocab = package_model(name)
    language = name.partition("-")[0]
    text = {"english": "The sea was quxvz", "chinese": "明月几时有"}[language]
    script = """const model = await loadModel(v[0]);
        let state = model.begin();
        const after = () => Array.from(model.logProbs(state));
        const found = [after()];
        for (const { id } of model.encode(v[1])) {
            state = model.step(state, id);
            found.push(after());
        }
        return found"""
    found = run(page, script, name, text)
    assert found[0] == pytest.approx(np.log(model.probs([])), abs=1e-12)
    ids, state = vocab.encode(text), None
    for log_probs, i in zip(found[1:], ids, strict=True):
        expected, state = model.next_log_probs([i], state)
        assert log_probs == pytest.approx(expected, abs=1e-12)


DRAW = """
    const model = await loadModel(v[0]);
    const random = generator(v[4]);
    let state = model.begin(), text = v[1];
    for (const { id } of model.encode(v[1])) state = model.step(state, id);
    for (let i = 0; i < v[2]; i++) {
        const id = choose(model.logProbs(state), { temperature: v[3], random });
        text += model.tokens[id];
        state = model.step(state, id);
    }
    return text
"""


@pytest.mark.parametrize("name", [*NETWORKS, "english-ngram-6", "chinese-ngram-2"])
def test_the_same_seed_gives_the_same_text(page, name):
    model, vocab = package_model(name)
    prefix = PREFIXES[name.partition("-")[0]]
    for temperature, seed, length in [(0, 0, 20), (0.7, 1, 60), (1, 2, 60)]:
        expected = generate(
            model, vocab, prefix, length, temperature=temperature, seed=seed
        )
        assert run(page, DRAW, name, prefix, length, temperature, seed) == expected


@pytest.mark.parametrize("top_k", [1, 3, 40])
def test_the_same_seed_gives_the_same_text_from_the_likeliest(page, top_k):
    name, prefix = "english-gru", PREFIXES["english"]
    expected = generate(
        *package_model(name), prefix, 100, temperature=0.9, top_k=top_k, seed=4
    )
    script = DRAW.replace("random }", f"random, topK: {top_k} }}")
    assert run(page, script, name, prefix, 100, 0.9, 4) == expected


@pytest.mark.parametrize("name", [*NETWORKS, "english-ngram-6", "chinese-ngram-6"])
def test_at_least_500_symbols_a_second(page, name):
    script = DRAW.replace("return text", "return performance.now() - start").replace(
        "let state", "const start = performance.now(); let state"
    )
    prefix = PREFIXES[name.partition("-")[0]]
    rates = []
    while max(rates, default=0) <= 500 and len(rates) < 12:  # a busy machine
        rates.append(500_000 / run(page, script, name, prefix, 500, 1, 0))
    print(f"{name}: {max(rates):.0f} symbols a second")
    assert max(rates) > 500


# The screen


@pytest.fixture
def show(browser, tmp_path):
    """Return a function that opens a widget and keeps what the page asked for."""
    pages = []

    def open_widget(kind, settings, abort=None, **more):
        page = browser.new_page(**more)
        if abort:
            page.route(abort, lambda route: route.abort())
        pages.append(page)
        page.asked, page.problems = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(widget_page(tmp_path, kind, settings))
        page.wait_for_selector(".pg-widget > *")
        return page

    yield open_widget
    for page in pages:
        assert not page.problems
        page.close()


def settings(**more):
    return {
        "models": playground.catalog(RECORD),
        "panels": list(playground.PANELS),
        "model": "english-rnn",
        "compare": "",
        "prefixes": PREFIXES,
        "prefix": "",
        "temperature": 0.7,
        "length": 40,
        "seed": 3,
        **more,
    }


def drawn(page):
    """Press Generate and return the texts that grew."""
    page.get_by_role("button", name="Generate").press("Enter")
    page.get_by_text("Drew ").wait_for()
    texts = page.locator(".pg-column .pg-symbols").all()
    return [text.text_content() for text in texts]


def test_the_playground_draws_what_the_package_draws(show):
    page = show("playground", settings(compare="english-ngram-3"))
    assert drawn(page) == [
        generate(*package_model(name), "The sea was", 40, temperature=0.7, seed=3)
        for name in ("english-rnn", "english-ngram-3")
    ]
    heard = page.locator("[aria-live=polite]").text_content()
    assert heard.startswith("English RNN: ")
    assert "English 3-gram: " in heard
    assert page.locator(".pg-column").count() == 2
    assert "bits per character on unseen text" in page.inner_text(".pg-column")


def test_a_model_is_fetched_when_it_is_first_used(show):
    page = show("playground", settings())
    assert not [url for url in page.asked if "models/" in url]
    drawn(page)
    drawn(page)
    names = [url.split("/")[-1] for url in page.asked if "models/" in url]
    assert names == ["english-rnn.js"]


def test_every_symbol_can_be_looked_at_with_the_keyboard(show):
    page = show("playground", settings(model="english-lstm"))
    (text,) = drawn(page)
    slider = page.get_by_label("Look at symbol")
    assert slider.get_attribute("max") == str(len(text) - 1)
    slider.press("Home")
    for _ in range(6):
        slider.press("ArrowRight")
    assert page.locator(".pg-selected").text_content() == text[6] == "a"
    assert slider.get_attribute("aria-valuetext").startswith("7, a; next: English LSTM")
    assert page.inner_text(".pg-bars caption") == "Next symbol after “The sea”"
    pictures = page.get_by_role("img").all()
    names = [picture.get_attribute("aria-label").split(",")[0] for picture in pictures]
    assert names == [
        "input gate",
        "forget gate",
        "candidate",
        "output gate",
        "cell state C",
        "hidden state H",
    ]
    page.locator(".pg-symbols span").nth(2).click()
    assert slider.input_value() == "2"


def test_bars_are_the_probabilities_that_are_drawn_from(show):
    page = show("playground", settings(prefix="The se", length=1, temperature=0.5))
    drawn(page)
    page.get_by_label("Top k").fill("3")
    page.get_by_label("Look at symbol").press("Home")
    for _ in range(5):
        page.get_by_label("Look at symbol").press("ArrowRight")
    model, vocab = package_model("english-rnn")
    log_probs, _ = model.next_log_probs(vocab.encode("The se"))
    best = np.argsort(-log_probs)[:3]
    weights = np.exp(log_probs[best] / 0.5)
    rows = page.locator(".pg-bars tbody tr").all()
    assert len(rows) == 3
    for row, i, p in zip(rows, best, weights / weights.sum(), strict=True):
        cells = row.locator("th, td").all_text_contents()
        assert cells[0] == vocab.tokens[i].replace(" ", "␣")
        assert cells[2].startswith(f"{100 * p:.1f}\u00a0%")
    assert page.locator(".pg-next").count() == 1


def test_characters_that_a_model_does_not_know_are_shown_and_skipped(show):
    page = show("playground", settings(prefix="naïve 月"))
    (text,) = drawn(page)
    expected = generate(
        *package_model("english-rnn"), "nave ", 40, temperature=0.7, seed=3
    )
    assert text.replace("ï", "").replace("月", "") == expected
    assert page.locator(".pg-unknown").all_text_contents() == ["ï", "月"]
    assert "Not in the vocabulary and skipped: ï 月" in page.inner_text(
        ".pg-status >> nth=0"
    )


@pytest.mark.parametrize("prefix", ["月", " \u200b"[1:]])
def test_a_beginning_without_a_known_character_is_an_error(show, prefix):
    page = show("playground", settings(prefix=prefix))
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("type at least one that it knows").wait_for()
    page.get_by_label("Beginning of the text").fill("A")
    assert drawn(page)[0].startswith("A")


def test_a_model_that_fails_to_load_can_be_asked_for_again(show):
    page = show("playground", settings(), abort="**/models/*.js")
    page.get_by_role("button", name="Generate").click()
    failed = page.get_by_text("The file models/english-rnn.js could not be loaded.")
    failed.wait_for()
    assert failed.get_attribute("role") == "status"
    page.unroute("**/models/*.js")
    assert len(drawn(page)[0]) == len("The sea was") + 40


def test_a_sentence_that_fails_to_load_can_be_asked_for_again(show):
    page = show("influence", {}, abort="**/models/*.js")
    page.get_by_text("models/english-influence.js could not be loaded").wait_for()
    page.unroute("**/models/*.js")
    page.get_by_role("button", name="Load the sentence").press("Enter")
    page.get_by_label("Predict what follows").wait_for()


def test_drawing_can_be_stopped_and_leaves_the_page_its_turn(show):
    page = show("playground", settings(model="english-lstm", length=2000))
    page.evaluate("""() => {
        window.gaps = [];
        let last = performance.now();
        setInterval(() => { gaps.push(performance.now() - last);
            last = performance.now(); }, 5);
    }""")
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function("document.querySelectorAll('.pg-drawn').length > 100")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped. Drew ").wait_for()
    assert 100 < page.locator(".pg-drawn").count() < 2000
    gaps = sorted(page.evaluate("gaps"))
    assert gaps[len(gaps) // 2] < 50
    assert page.get_by_role("button", name="Stop").is_disabled()


def test_text_appears_at_once_where_motion_is_unwanted(show):
    page = show("playground", settings(length=600), reduced_motion="reduce")
    page.evaluate("""() => {
        window.lengths = new Set();
        new MutationObserver(() => lengths.add(
            document.querySelectorAll('.pg-drawn').length,
        )).observe(document.body, { childList: true, subtree: true });
    }""")
    drawn(page)
    assert set(page.evaluate("[...lengths]")) <= {0, 600}


def test_a_text_is_scored_as_the_package_evaluates_it(show):
    page = show("playground", settings(model="english-gru", compare="english-ngram-4"))
    text = "Suddenly a great white bird\nflew up out of the boat."
    page.get_by_label("Score a text").fill(text + "ï")
    page.get_by_role("button", name="Score").press("Enter")
    page.get_by_text("English 4-gram: ").wait_for()
    network, vocab = package_model("english-gru")
    counts, _ = package_model("english-ngram-4")
    ids = vocab.encode(text)
    notes = page.locator(".pg-strip .pg-note").all_text_contents()
    for note, bits in zip(
        notes,
        [
            bits_per_token(*evaluate(network, ids)),
            counts.bits_per_token(ids[1:], ids[:1]),
        ],
        strict=True,
    ):
        assert float(note.split()[0]) == pytest.approx(bits, abs=1e-3)
        assert f"over {len(ids) - 1} symbols. Left out as unknown: 1." in note
    strip = page.locator(".pg-strip").first
    assert strip.locator(".pg-heat").count() == len(ids) - 1 + 6  # and the legend
    strip.get_by_label("Symbol of the scored text").press("End")
    assert strip.locator(".pg-told").text_content() == "ï: not in the vocabulary"
    strip.get_by_text("The same as a table").click()
    strip.locator("tbody").wait_for()
    assert strip.locator("tbody tr").count() == len(ids) + 1
    p = math.exp(counts.log_prob(ids[1:], ids[:1])[0])
    title = page.locator(".pg-strip >> nth=1").locator(".pg-heat").first
    assert f"probability {100 * p:.1f}\u00a0%" in title.get_attribute("title")


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_stepper_takes_the_packages_steps(show, kind):
    page = show("stepper", {"cell": kind})
    cell = CELLS[kind]
    biases = np.array({"rnn": [0], "gru": [0, 0, 0], "lstm": [0, 1, 0, 0]}[kind])
    state = tuple(nd.zeros((1, 1), dtype="float64") for _ in range(cell.num_states))
    half = {
        "W_hh": nd.full((1, cell.num_gates), 0.5, dtype="float64"),
        "W_hrz": nd.full((1, 2), 0.5, dtype="float64"),
        "W_hc": nd.full((1, 1), 0.5, dtype="float64"),
    }
    for step, x in enumerate([1.0, -0.5, 2.0], start=1):
        page.get_by_label("Input X").fill(str(x))
        page.get_by_role("button", name="Take the step").press("Enter")
        XW = nd.array(x + biases[None], dtype="float64")
        state = cell.step(XW, state, half)
        H = f"{state[0].asnumpy().item():.3f}".replace("-", "−")
        assert f"Step {step}: " in page.inner_text(".pg-status")
        assert page.inner_text(".pg-status").endswith(f"H = {H}.")
        assert page.locator("tbody tr >> nth=0 >> td >> nth=1").text_content() == H
    page.get_by_role("button", name="Start again").click()
    assert page.locator(".pg-scroll").is_hidden()


def test_influence_shows_each_characters_share(show):
    page = show("influence", {})
    page.get_by_label("Predict what follows").wait_for()
    slider = page.get_by_label("Predict what follows")
    slider.press("Home")
    for _ in range(9):
        slider.press("ArrowRight")
    arrays, more = import_arrays(STATIC / "models" / "english-influence.js")
    told = page.locator(".pg-strip .pg-told").all_text_contents()
    for words, row in zip(told, [arrays[kind][9, :10] for kind in arrays], strict=True):
        share = row.max() / row.sum()
        assert f"{100 * share:.1f}\u00a0%" in words.split("),")[0]
        reach = 1 + np.searchsorted(np.cumsum(row[::-1]), 0.9 * row.sum())
        assert words.endswith(f"The last {reach} have 90\u00a0%.")
    page.get_by_text("The same as a table").click()
    page.locator("tbody").wait_for()
    assert page.locator("tbody tr").count() == 10
    page.locator(".pg-symbols").first.locator("span").nth(30).click()
    assert slider.input_value() == "30"
    assert more["text"][:31].endswith(page.locator(".pg-selected").first.text_content())


@pytest.mark.parametrize("kind", playground.SCRIPTS)
def test_nothing_is_wider_than_a_phone(show, kind):
    wide = settings(compare="english-ngram-6") if kind == "playground" else {}
    page = show(kind, wide, viewport={"width": 390, "height": 844})
    if kind == "playground":
        page.get_by_label("Score a text").fill("x" * 200)
        page.get_by_role("button", name="Score").click()
        drawn(page)
    if kind == "influence":
        page.get_by_label("Predict what follows").wait_for()
    if kind == "stepper":
        page.get_by_role("button", name="Take the step").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# What the page about the playground says


def greedy(name):
    return generate(*package_model(name), "The sea was", 200, temperature=0)


@pytest.mark.parametrize(
    "name", ["english-rnn", "english-gru", "english-lstm", "english-ngram-6"]
)
def test_the_likeliest_text_ends_in_a_loop(name):
    text = greedy(name)
    assert text.count(text[-10:]) > 1


def test_the_end_of_a_name_costs_next_to_nothing():
    for name in ("english-rnn", "english-gru", "english-lstm"):
        model, vocab = package_model(name)
        ids, state, bits = vocab.encode("I saw Montgomery"), None, []
        for before, after in pairwise(ids):
            log_probs, state = model.next_log_probs([before], state)
            bits.append(-log_probs[after] / math.log(2))
        assert bits[5] > 2  # M
        assert max(bits[10:]) < 0.3  # omery


def test_the_reset_gate_shuts_at_the_end_of_a_word(page):
    text = train_playground.SENTENCE.replace("\n", " ")
    script = """const model = await loadModel("english-gru");
        let state = model.begin();
        return model.encode(v[0]).map(({ id }) => {
            state = model.step(state, id);
            return state.gates.reset.reduce((a, b) => a + b) / model.numHiddens;
        })"""
    means = np.array(run(page, script, text))
    is_space = np.array([token == " " for token in text])
    ratio = means[is_space].mean() / means[~is_space].mean()
    assert ratio == pytest.approx(0.5, abs=0.1)


def test_the_best_counting_model_is_ahead():
    for language in ("english", "chinese"):
        counts = min(RECORD[f"{language}-text"]["bits_per_character"])
        names = [name for name in NETWORKS if name.startswith(language)]
        assert counts < min(RECORD[name]["bits_per_character"] for name in names)
        assert len(names) == 3
    assert RECORD["chinese-text"]["train_chars"] // 1000 == 82
    assert len(package_model("chinese-gru")[1]) == 2929


def test_the_rnn_forgets_and_the_lstm_keeps(show):
    page = show("stepper", {"cell": "rnn"})
    step = page.get_by_role("button", name="Take the step")
    status = page.locator(".pg-status")
    step.click()
    assert status.inner_text() == "Step 1: H = 0.762."
    page.get_by_label("Input X").fill("0")
    for _ in range(5):
        step.click()
    assert status.inner_text() == "Step 6: H = 0.022."
    page.get_by_label("Cell").select_option("LSTM")
    step.click()
    assert status.inner_text().startswith("Step 1: C = 0.557")
    page.get_by_label("Input X").fill("0")
    page.get_by_label("Bias of I").fill("-6")
    page.get_by_label("Bias of F").fill("6")
    for _ in range(5):
        step.click()
    assert status.inner_text().startswith("Step 6: C = 0.553")


def test_the_gru_reaches_back_furthest():
    arrays, _ = import_arrays(STATIC / "models" / "english-influence.js")
    median = {}
    for kind, norms in arrays.items():
        rows = [norms[t, t::-1] for t in range(20, len(norms))]
        shares = [np.cumsum(row) / row.sum() for row in rows]
        median[kind] = np.median([1 + np.searchsorted(s, 0.9) for s in shares])
    assert median == {"rnn": 7, "gru": 16, "lstm": 8}
    bits = {kind: RECORD[f"english-{kind}"]["bits_per_character"] for kind in arrays}
    assert min(bits, key=bits.get) == "gru"
