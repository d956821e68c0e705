"""Exported models read back as they were, and the shipped ones are those recorded."""

import hashlib
import json

from d2l_rnn.export import (
    export_arrays,
    export_model,
    export_text,
    import_arrays,
    import_model,
    import_text,
    influence,
)
from d2l_rnn.metrics import bits_per_token
from d2l_rnn.models import GluonModel, rnn_model
from d2l_rnn.ngrams import NGramModel
from d2l_rnn.text import Vocab, load_corpus
from d2l_rnn.training import evaluate

import numpy as np
import pytest
import train_playground
from mxnet import gluon, nd

FOLDER = train_playground.FOLDER
RECORD = json.loads(train_playground.RECORD.read_text("utf-8"))
FILES = sorted(FOLDER.glob("*.js"))
VOCAB = Vocab('abc\n"\\\u2028')
LAYERS = {
    "rnn": lambda **more: gluon.rnn.RNN(4, activation="tanh", **more),
    "gru": lambda **more: gluon.rnn.GRU(4, **more),
    "lstm": lambda **more: gluon.rnn.LSTM(4, **more),
}


def small_model(kind, **more):
    """Return a model whose biases are not zero either."""
    model = GluonModel(LAYERS[kind](**more), len(VOCAB), embed_size=3)
    rng = np.random.default_rng(1)
    for param in model.params.values():
        param[:] = rng.normal(0, 0.5, param.shape).astype(np.float32)
    return model


@pytest.mark.parametrize("kind", LAYERS)
def test_a_model_reads_back_with_its_weights_in_half_precision(kind, tmp_path):
    model = small_model(kind)
    size = export_model(model, VOCAB, tmp_path / "a-model.js")
    assert size == (tmp_path / "a-model.js").stat().st_size
    found, vocab = import_model(tmp_path / "a-model.js")
    assert vocab.tokens == VOCAB.tokens
    assert isinstance(found.layer, type(model.layer))
    for name, param in model.params.items():
        rounded = param.asnumpy().astype(np.float16).astype(np.float32)
        assert np.array_equal(found.params[name].asnumpy(), rounded)


def test_a_text_reads_back_as_the_model_that_counted_it(tmp_path):
    ids = np.random.default_rng(0).integers(0, len(VOCAB), 60)
    export_text(ids, VOCAB, tmp_path / "text.js", discount=0.6)
    found, vocab = import_text(tmp_path / "text.js", 3)
    expected = NGramModel(3, len(VOCAB), discount=0.6).fit(ids)
    assert vocab.tokens == VOCAB.tokens
    assert found.counts == expected.counts
    assert found.probs([1, 2]).tolist() == expected.probs([1, 2]).tolist()


@pytest.mark.parametrize(
    "model",
    [
        rnn_model(len(VOCAB), 4),
        NGramModel(2, len(VOCAB)),
        GluonModel(gluon.rnn.GRU(4), len(VOCAB)),
        GluonModel(gluon.rnn.RNN(4), len(VOCAB), embed_size=3),
        small_model("gru", num_layers=2),
        small_model("lstm", bidirectional=True),
    ],
    ids=["scratch", "n-gram", "one-hot", "ReLU", "two layers", "both directions"],
)
def test_what_a_page_cannot_compute_is_refused(model, tmp_path):
    with pytest.raises(
        ValueError, match="model must be a GluonModel with an embedding"
    ):
        export_model(model, VOCAB, tmp_path / "model.js")
    with pytest.raises(
        ValueError, match="model must be a GluonModel with an embedding"
    ):
        influence(model, [0, 1, 2])


@pytest.mark.parametrize("vocab", [Vocab("ab"), Vocab(["ab", *"cdefgh"])])
def test_a_vocabulary_must_be_the_models_characters(vocab, tmp_path):
    with pytest.raises(ValueError, match="vocab must hold the model's 7 symbols"):
        export_model(small_model("rnn"), vocab, tmp_path / "model.js")


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="float16 cannot"):
        export_arrays({"big": np.array([1e6])}, tmp_path / "arrays.js")


def test_another_script_is_refused(tmp_path):
    (tmp_path / "model.js").write_text("alert(1);\n", "utf-8")
    with pytest.raises(ValueError, match="not a script that this module wrote"):
        import_model(tmp_path / "model.js")


@pytest.mark.parametrize("kind", LAYERS)
def test_influence_is_the_finite_difference_of_the_logit(kind):
    model, ids = small_model(kind), [3, 0, 6, 2, 1]
    inputs = model.embedding(nd.array(ids[:-1], dtype="int32")).asnumpy()

    def logits(inputs):
        """Return the logit of what follows, at each step."""
        steps = nd.array(inputs[:, None])
        outputs, _ = model.layer(steps, list(model.begin_state(1)))
        scores = model.output(outputs).asnumpy()[:, 0]
        return scores[np.arange(4), ids[1:]].astype(np.float64)

    step, squares = 1e-2, np.zeros((4, 4))
    for tau in range(4):
        for j in range(inputs.shape[1]):
            change = np.zeros_like(inputs)
            change[tau, j] = step
            slope = (logits(inputs + change) - logits(inputs - change)) / (2 * step)
            squares[:, tau] += slope**2
    found = influence(model, ids)
    assert found == pytest.approx(np.sqrt(squares), abs=2e-4)
    assert not np.triu(found, 1).any()


def test_influence_needs_something_to_predict():
    with pytest.raises(ValueError, match="at least 2 symbols, got 1"):
        influence(small_model("rnn"), [0])


# What ships


def test_every_file_is_recorded_and_every_recorded_file_is_there():
    assert [path.stem for path in FILES] == sorted(RECORD)
    assert set(RECORD) == set(train_playground.EXPORTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_is_the_recorded_one(path):
    data, made = path.read_bytes(), RECORD[path.stem]
    assert len(data) == made["bytes"]
    assert hashlib.sha256(data).hexdigest() == made["sha256"]


def test_all_files_are_under_six_megabytes():
    assert sum(path.stat().st_size for path in FILES) < 6_000_000


@pytest.mark.parametrize("name", train_playground.NUM_HIDDENS)
def test_a_network_scores_what_the_record_says(name):
    made = RECORD[name]
    model, vocab = import_model(FOLDER / f"{name}.js")
    known, _, held_out = train_playground.texts(name.partition("-")[0])
    settings = train_playground.COMMON[name.partition("-")[0]]
    assert settings.items() <= made.items()
    assert (model.num_params, vocab.tokens) == (made["num_params"], known.tokens)
    bits = bits_per_token(*evaluate(model, held_out))
    assert bits == pytest.approx(made["bits_per_character"], abs=1e-5)


@pytest.mark.parametrize(("language", "order"), [("english", 3), ("chinese", 2)])
def test_counts_score_what_the_record_says(language, order):
    model, _ = import_text(FOLDER / f"{language}-text.js", order)
    _, _, held_out = train_playground.texts(language)
    bits = model.bits_per_token(held_out[1:], held_out[:1])
    recorded = RECORD[f"{language}-text"]["bits_per_character"][order - 1]
    assert bits == pytest.approx(recorded, abs=1e-12)


def test_no_model_has_seen_the_held_out_text_or_the_sentence():
    for language, corpus in train_playground.CORPORA.items():
        _, text, held_out = train_playground.texts(language)
        whole = load_corpus(corpus).ids
        assert len(text) + len(held_out) == len(whole) > 10 * len(held_out) - 10
        made = RECORD[f"{language}-text"]
        assert (made["train_chars"], made["held_out_chars"]) == (
            len(text),
            len(held_out),
        )
    vocab, text, held_out = train_playground.texts("english")
    assert train_playground.SENTENCE in vocab.decode(held_out)
    assert train_playground.SENTENCE not in vocab.decode(text)


def test_the_shipped_influence_is_that_of_the_shipped_models():
    arrays, more = import_arrays(FOLDER / "english-influence.js")
    assert more == {"text": train_playground.SENTENCE}
    assert set(arrays) == set(LAYERS)
    for kind, stored in arrays.items():
        model, vocab = import_model(FOLDER / f"english-{kind}.js")
        found = influence(model, vocab.encode(more["text"])[:20])
        assert stored[:19, :19] == pytest.approx(found, rel=2e-3, abs=1e-6)
