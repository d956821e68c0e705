"""The same models in d2lzh's way and in PyTorch, for comparison.

Both packages are optional; this module imports them only when a function is called.
"""

import contextlib
import io
import os
import re

from d2l_rnn.models import GluonModel

import mxnet as mx
from mxnet import nd

#: How d2lzh's book orders the gates, against the order in which ours are joined.
GRU_ORDER, LSTM_ORDER = (1, 0, 2), (0, 1, 3, 2)


def plain_rnn(inputs, state, params):
    """Compute a scratch RNN as d2lzh's training function wants it."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)
        outputs.append(nd.dot(H, W_hq) + b_q)
    return outputs, (H,)


def plain_gru(inputs, state, params):
    """Compute a scratch GRU in the same way: each gate has its own products."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = nd.sigmoid(nd.dot(X, W_xz) + nd.dot(H, W_hz) + b_z)
        R = nd.sigmoid(nd.dot(X, W_xr) + nd.dot(H, W_hr) + b_r)
        candidate = nd.tanh(nd.dot(X, W_xh) + nd.dot(R * H, W_hh) + b_h)
        H = Z * H + (1 - Z) * candidate
        outputs.append(nd.dot(H, W_hq) + b_q)
    return outputs, (H,)


def plain_lstm(inputs, state, params):
    """Compute a scratch LSTM in the same way."""
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c = params[:12]
    W_hq, b_q = params[12:]
    H, C = state
    outputs = []
    for X in inputs:
        I = nd.sigmoid(nd.dot(X, W_xi) + nd.dot(H, W_hi) + b_i)
        F = nd.sigmoid(nd.dot(X, W_xf) + nd.dot(H, W_hf) + b_f)
        O = nd.sigmoid(nd.dot(X, W_xo) + nd.dot(H, W_ho) + b_o)
        candidate = nd.tanh(nd.dot(X, W_xc) + nd.dot(H, W_hc) + b_c)
        C = F * C + I * candidate
        H = O * nd.tanh(C)
        outputs.append(nd.dot(H, W_hq) + b_q)
    return outputs, (H, C)


def plain_params(model):
    """Return one of our models' weights as a list in the order of d2lzh's book."""
    params = model.params
    W_hh = [params[name] for name in ("W_hh", "W_hrz", "W_hc") if name in params]
    joined = [params["W_xh"], nd.concat(*W_hh, dim=1), params["b_h"]]
    gates = params["b_h"].size // model.num_hiddens
    parts = [nd.split(p, num_outputs=gates, axis=-1) for p in joined]
    order = {1: (0,), 3: GRU_ORDER, 4: LSTM_ORDER}[gates]
    own = [[p] if gates == 1 else p for p in parts]
    weights = [kind[gate].copy() for gate in order for kind in own]
    weights += [params["W_hq"].copy(), params["b_q"].copy()]
    for weight in weights:
        weight.attach_grad()
    return weights


def train_with_d2lzh(network, weights, ids, *, num_hiddens, vocab_size, **recipe):
    """Train one epoch with d2lzh's own function; return the perplexity it prints."""
    import d2lzh

    num_states = 2 if network is plain_lstm else 1

    def begin(batch_size, num_hiddens, ctx):
        shape = (batch_size, num_hiddens)
        return tuple(nd.zeros(shape, ctx=ctx) for _ in range(num_states))

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        d2lzh.train_and_predict_rnn(
            network,
            lambda: weights,
            begin,
            num_hiddens,
            vocab_size,
            mx.cpu(),
            ids,
            None,
            None,
            is_random_iter=False,
            num_epochs=1,
            num_steps=recipe["num_steps"],
            lr=recipe["lr"],
            clipping_theta=recipe["clip"],
            batch_size=recipe["batch_size"],
            pred_period=1,
            pred_len=0,
            prefixes=[],
        )
    return float(re.search(r"perplexity ([\d.]+)", printed.getvalue())[1])


def import_torch():
    """Return torch with one thread, and without the pin on instruction sets."""
    os.environ.pop("DNNL_MAX_CPU_ISA", None)  # MXNet has read it by now
    import torch

    torch.set_num_threads(1)
    return torch


def torch_twin(model: GluonModel):
    """Return a PyTorch module with the layers and weights of one of our models."""
    torch = import_torch()
    layer = model.layer
    kind = {"rnn_tanh": "RNN", "gru": "GRU", "lstm": "LSTM"}[layer._mode]
    vocab_size, embed_size = model.params["embedding_weight"].shape

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocab_size, embed_size)
            self.layer = getattr(torch.nn, kind)(embed_size, layer._hidden_size)
            self.output = torch.nn.Linear(layer._hidden_size, vocab_size)

        def forward(self, X, state=None):
            outputs, state = self.layer(self.embedding(X.T), state)
            return self.output(outputs), state

    twin = Twin()
    names = {
        "embedding_weight": twin.embedding.weight,
        "l0_i2h_weight": twin.layer.weight_ih_l0,
        "l0_h2h_weight": twin.layer.weight_hh_l0,
        "l0_i2h_bias": twin.layer.bias_ih_l0,
        "l0_h2h_bias": twin.layer.bias_hh_l0,
        "output_weight": twin.output.weight,
        "output_bias": twin.output.bias,
    }
    with torch.no_grad():
        for name, weight in names.items():
            weight.copy_(torch.from_numpy(model.params[name].asnumpy()))
    return twin


def train_with_torch(twin, batches, *, lr, clip):
    """Train one epoch the way a PyTorch program would; return the perplexity."""
    torch = import_torch()
    optimizer = torch.optim.SGD(twin.parameters(), lr=lr)
    total, num_tokens, state = 0.0, 0, None
    for X, Y in batches:
        if state is not None:
            parts = state if isinstance(state, tuple) else (state,)
            parts = tuple(part.detach() for part in parts)
            state = parts if isinstance(state, tuple) else parts[0]
        logits, state = twin(X, state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), Y.T.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), clip)
        optimizer.step()
        total += loss.item() * Y.numel()
        num_tokens += Y.numel()
    return float(torch.tensor(total / num_tokens).exp())


def torch_layer(twin, X):
    """Run the recurrent layer forward and backward."""
    X.requires_grad_()
    twin.layer(X)[0].sum().backward()


def torch_output(twin, H, Y):
    """Run the output layer and the loss forward and backward."""
    H.requires_grad_()
    logits = twin.output(H).flatten(0, 1)
    import_torch().nn.functional.cross_entropy(logits, Y.flatten()).backward()
