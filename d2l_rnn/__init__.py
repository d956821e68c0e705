"""Helpers of the course *Dive into Recurrent Neural Networks*.

Import this package before MXNet: it pins the numerics on which the course's
printed results depend, and gives NumPy the names MXNet 1.9.1 expects.

One module a concept, each importing only from those before it:

`text` corpora and vocabularies; `ngrams` counting models; `sampling` minibatches;
`cells` one step of each recurrent network; `replay` forward passes as graphs;
`models` language models; `mixtures` several of them as one; `regularized` a model
with all kinds of dropout; `classifiers` networks that read a sequence and answer
once; `clipping`, `metrics` and `timing`; `checkpoint` files of models and of
training runs; `training` the one training loop; `distributed` several processes
that share it; `decoding` drawing text from a model; `datasets` for what is not
running text; `archives` for files that the reader brings; `export` models for the
book's pages; `plotting`, `diagrams` and `source` for the chapters.
"""

from d2l_rnn._numerics import prepare as _prepare

_prepare()

__version__ = "0.1.0"
