/* Language models in the page: the arithmetic of d2l_rnn, and NumPy's random numbers.
   Classic script without dependencies, so that it also runs from a disk. */
(function () {
  "use strict";

  /* ---- Arrays ---- */

  function unpack({ data }) {
    const bytes = atob(data);
    const array = new Float32Array(bytes.length / 2);
    for (let i = 0; i < array.length; i++) {
      array[i] = fromHalf(bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1));
    }
    return array;
  }

  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    if (!exponent) return sign * fraction * 2 ** -14;
    return sign * (1 + fraction) * 2 ** (exponent - 15);
  }

  /* out = bias + W x, with W in rows. Sums are in double precision, and four at a
     time, which is several times faster than one that waits for itself. */
  function affine(W, x, bias, out) {
    const width = x.length;
    const whole = width - (width % 4);
    for (let i = 0, at = 0; i < out.length; i++) {
      let a = bias[i], b = 0, c = 0, d = 0, j = 0;
      for (; j < whole; j += 4, at += 4) {
        a += W[at] * x[j];
        b += W[at + 1] * x[j + 1];
        c += W[at + 2] * x[j + 2];
        d += W[at + 3] * x[j + 3];
      }
      for (; j < width; j++) a += W[at++] * x[j];
      out[i] = a + b + c + d;
    }
    return out;
  }

  function largest(array) {
    let most = -Infinity;
    for (let i = 0; i < array.length; i++) if (array[i] > most) most = array[i];
    return most;
  }

  function sigmoid(x) {
    return 1 / (1 + Math.exp(-x));
  }

  /* ---- One step of each cell ---- */

  /* Each takes what the input (X) and the state before (U) contribute to the gates,
     one after the other, and the state before; it returns the state after. */
  const cells = {
    rnn: {
      numGates: 1,
      step(X, U, { H }) {
        return { H: H.map((_, j) => Math.tanh(X[j] + U[j])), gates: {} };
      },
    },
    gru: {
      numGates: 3,
      step(X, U, { H }) {
        const n = H.length;
        const R = H.map((_, j) => sigmoid(X[j] + U[j]));
        const Z = H.map((_, j) => sigmoid(X[n + j] + U[n + j]));
        const candidate = H.map((_, j) => Math.tanh(X[2 * n + j] + R[j] * U[2 * n + j]));
        return {
          H: H.map((h, j) => Z[j] * h + (1 - Z[j]) * candidate[j]),
          gates: { reset: R, update: Z, candidate },
        };
      },
    },
    lstm: {
      numGates: 4,
      step(X, U, { H, C }) {
        const n = H.length;
        const I = H.map((_, j) => sigmoid(X[j] + U[j]));
        const F = H.map((_, j) => sigmoid(X[n + j] + U[n + j]));
        const candidate = H.map((_, j) => Math.tanh(X[2 * n + j] + U[2 * n + j]));
        const O = H.map((_, j) => sigmoid(X[3 * n + j] + U[3 * n + j]));
        const after = C.map((c, j) => F[j] * c + I[j] * candidate[j]);
        return {
          H: O.map((o, j) => o * Math.tanh(after[j])),
          C: after,
          gates: { input: I, forget: F, candidate, output: O },
        };
      },
    },
  };

  /* ---- Models: begin() is a state, step(state, id) the next, logProbs(state) ---- */

  class Model {
    constructor(tokens) {
      this.tokens = Array.from(tokens);
      this.vocabSize = this.tokens.length;
      this.index = new Map(this.tokens.map((token, i) => [token, i]));
    }

    /* The text's characters, each with its index or −1. */
    encode(text) {
      const id = (token) => (this.index.has(token) ? this.index.get(token) : -1);
      return Array.from(text, (token) => ({ token, id: id(token) }));
    }
  }

  class Network extends Model {
    constructor(data) {
      super(data.tokens);
      this.kind = data.kind;
      this.cell = cells[data.kind];
      this.numHiddens = data.num_hiddens;
      this.embedSize = data.embed_size;
      for (const name of Object.keys(data.weights)) {
        this[name] = unpack(data.weights[name]);
      }
      this.X = new Float32Array(this.cell.numGates * this.numHiddens);
      this.U = new Float32Array(this.X.length);
    }

    begin() {
      const zeros = () => new Float32Array(this.numHiddens);
      return { H: zeros(), C: zeros(), gates: {} };
    }

    step(state, id) {
      const from = id * this.embedSize;
      const x = this.embedding.subarray(from, from + this.embedSize);
      affine(this.W_x, x, this.b_x, this.X);
      affine(this.W_h, state.H, this.b_h, this.U);
      return this.cell.step(this.X, this.U, state);
    }

    logits(state) {
      return affine(this.W_q, state.H, this.b_q, new Float32Array(this.vocabSize));
    }

    logProbs(state) {
      const scores = new Float64Array(this.logits(state));
      const most = largest(scores);
      let sum = 0;
      for (let i = 0; i < scores.length; i++) {
        scores[i] -= most;
        sum += Math.exp(scores[i]);
      }
      const total = Math.log(sum);
      return scores.map((score) => score - total);
    }
  }

  /* Interpolated Kneser–Ney. Contexts are nodes of a tree that grows backward in the
     text: the child of a context is the same context with one older symbol. What was
     seen after a node is a linked list of entries. */
  class NGram extends Model {
    constructor(data, order) {
      super(data.tokens);
      this.kind = "ngram";
      this.order = order;
      this.discount = data.discount;
      this.text = Int32Array.from(this.encode(data.text), ({ id }) => id);
      this.children = new Map();
      this.entries = new Map();
      this.nodes = [{ total: 0, kinds: 0, first: -1 }];
      this.symbols = [];
      this.counts = [];
      this.following = [];
      this.counted = 0;
    }

    /* Count some of the text; return whether all of it has been counted. */
    count(howMany) {
      const stop = Math.min(this.counted + howMany, this.text.length);
      for (let t = this.counted; t < stop; t++) {
        const path = [0];
        for (let back = 1; back < this.order && back <= t; back++) {
          path.push(this.child(path[back - 1], this.text[t - back], true));
        }
        // A known pair has no new predecessor: shorter contexts learn nothing.
        while (path.length && !this.add(path.pop(), this.text[t]));
      }
      this.counted = stop;
      return stop === this.text.length;
    }

    child(node, id, create) {
      const key = node * this.vocabSize + id;
      const found = this.children.get(key);
      if (found !== undefined || !create) return found;
      this.children.set(key, this.nodes.length);
      return this.nodes.push({ total: 0, kinds: 0, first: -1 }) - 1;
    }

    add(at, id) {
      const key = at * this.vocabSize + id;
      const node = this.nodes[at];
      const known = this.entries.get(key);
      node.total++;
      if (known !== undefined) {
        this.counts[known]++;
        return true;
      }
      this.entries.set(key, this.symbols.length);
      this.following.push(node.first);
      this.counts.push(1);
      node.kinds++;
      node.first = this.symbols.push(id) - 1;
      return false;
    }

    begin() {
      return { context: [] };
    }

    step({ context }, id) {
      const read = context.concat(id);
      return { context: read.slice(Math.max(0, read.length - this.order + 1)) };
    }

    /* The nodes of the context's ends that were seen, from the empty one on. */
    seen({ context }) {
      const path = [0];
      for (let i = context.length - 1; i >= 0; i--) {
        const next = this.child(path[path.length - 1], context[i], false);
        if (next === undefined) break;
        path.push(next);
      }
      return path.map((at) => this.nodes[at]);
    }

    logProbs(state) {
      const probs = new Float64Array(this.vocabSize).fill(1 / this.vocabSize);
      for (const { total, kinds, first } of this.seen(state)) {
        const left = this.discount * kinds;
        for (let i = 0; i < probs.length; i++) probs[i] *= left;
        for (let e = first; e >= 0; e = this.following[e]) {
          probs[this.symbols[e]] += Math.max(this.counts[e] - this.discount, 0);
        }
        for (let i = 0; i < probs.length; i++) probs[i] /= total;
      }
      return probs.map(Math.log);
    }
  }

  /* ---- Drawing ---- */

  /* What choose() draws from: exp of the logarithms over the temperature, 0 for all
     but the topK likeliest; of equals, the first. Not normalized. */
  function weights(logProbs, { temperature, topK = 0 }) {
    const most = largest(logProbs);
    const raised = logProbs.map((x) => Math.exp((x - most) / temperature));
    if (!topK || topK >= raised.length) return raised;
    const limit = raised.slice().sort()[raised.length - topK];
    let equals = topK - raised.reduce((n, x) => n + (x > limit), 0);
    return raised.map((x) => (x > limit || (x === limit && equals-- > 0) ? x : 0));
  }

  function choose(logProbs, { temperature, topK, random }) {
    if (temperature === 0) return logProbs.indexOf(largest(logProbs));
    const cumulative = weights(logProbs, { temperature, topK });
    for (let i = 1; i < cumulative.length; i++) cumulative[i] += cumulative[i - 1];
    const last = cumulative.length - 1;
    const drawn = random() * cumulative[last];
    const found = cumulative.findIndex((x) => x > drawn);
    return found < 0 ? last : found;
  }

  /* NumPy's default_rng(seed).random(): PCG64 (O'Neill 2014), seeded by a
     SeedSequence. */
  function generator(seed) {
    const big = BigInt;
    const wrap = (x) => big.asUintN(128, x);
    const multiplier = big("0x2360ed051fc65da44385df649fccf645");
    const words = seedWords(seed, 8).map(big);
    const long = (i) => (words[i + 1] << big(32)) | words[i];
    const start = (long(0) << big(64)) | long(2);
    const increment = wrap((((long(4) << big(64)) | long(6)) << big(1)) | big(1));
    const advance = (x) => wrap(x * multiplier + increment);
    let state = advance(wrap(increment + start));
    return function random() {
      state = advance(state);
      const turn = state >> big(122);
      const mixed = big.asUintN(64, (state >> big(64)) ^ state);
      const turned = (mixed >> turn) | (mixed << (big(64) - turn));
      return Number(big.asUintN(64, turned) >> big(11)) / 2 ** 53;
    };
  }

  function seedWords(seed, howMany) {
    const fold = (x) => (x ^ (x >>> 16)) >>> 0;
    let constant = 0x43b0d7e5;
    function hash(value) {
      const mixed = value ^ constant;
      constant = Math.imul(constant, 0x931e8875);
      return fold(Math.imul(mixed, constant));
    }
    const mix = (x, y) => fold(Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y));
    const pool = [seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0, 0].map(hash);
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) {
        if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
      }
    }
    constant = 0x8b51f9dd;
    return Array.from({ length: howMany }, (_, i) => {
      const mixed = pool[i % 4] ^ constant;
      constant = Math.imul(constant, 0x58f38ded);
      return fold(Math.imul(mixed, constant));
    });
  }

  /* ---- Loading ---- */

  const base = document.currentScript.src;
  const loading = {};

  /* Fetch models/NAME.js, once; a file that failed may be asked for again. */
  function loadFile(name) {
    if (window.d2lModels && name in window.d2lModels) {
      return Promise.resolve(window.d2lModels[name]);
    }
    loading[name] = loading[name] || new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const fail = () => {
        delete loading[name];
        script.remove();
        reject(new Error(`The file models/${name}.js could not be loaded. ` +
          "Look whether the network or the server is there, and try again."));
      };
      script.src = new URL(`models/${name}.js`, base).href;
      script.onload = () => {
        if (window.d2lModels && name in window.d2lModels) resolve(window.d2lModels[name]);
        else fail();
      };
      script.onerror = fail;
      document.head.append(script);
    });
    return loading[name];
  }

  const pause = () => new Promise((resume) => setTimeout(resume));
  const models = {};

  /* A model by name: english-lstm, say, or english-ngram-3. */
  async function loadModel(name) {
    if (models[name]) return models[name];
    const [language, kind, order] = name.split("-");
    const data = await loadFile(kind === "ngram" ? `${language}-text` : name);
    const model = kind === "ngram" ? new NGram(data, Number(order)) : new Network(data);
    while (kind === "ngram" && !model.count(5000)) await pause();
    models[name] = model;
    return model;
  }

  window.d2lPlayground = {
    cells, choose, generator, loadFile, loadModel, pause, sigmoid, unpack, weights,
  };
})();
