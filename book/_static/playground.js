/* The playground: text drawn from one model or two, what the models saw on the way,
   and how well they predict a text of the reader's. */
(function () {
  "use strict";

  const {
    choose, el, field, folded, format, generator, loadModel, pause, percent, Position,
    slider, spoken, squares, Symbols, table, tail, visible, weights, widgets,
  } = window.d2lPlayground;

  const MAX_LENGTH = 2000;
  const MAX_SCORED = 4000;
  const BARS = 10;
  const BURST = 12; // milliseconds of work before the page gets its turn
  const BITS_RED = 10; // surprise that is painted in full color

  const LANGUAGES = { english: "en", chinese: "zh-Hans" };

  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  function sizeOf({ bytes }) {
    return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  }

  /* ---- One model's part of the screen: its text, and a look at one position ---- */

  class Column {
    constructor(info, panels, onpick) {
      this.info = info;
      this.panels = panels;
      this.text = new Symbols(onpick);
      this.text.element.lang = LANGUAGES[info.language];
      this.look = el("div", { class: "pg-look" });
      this.title = el("p", { class: "pg-title" }, info.label);
      this.element = el("div", { class: "pg-column", role: "group", "aria-label": info.label },
        this.title,
        el("p", { class: "pg-note" }, about(info)),
        this.text.element, this.look);
    }

    /* Read the prefix; false where the model knows none of its characters. */
    begin(model, prefix, seed) {
      this.model = model;
      this.random = generator(seed);
      this.symbols = [];
      this.states = [];
      this.text.clear();
      let state = model.begin();
      for (const { token, id } of model.encode(prefix)) {
        if (id >= 0) state = model.step(state, id);
        this.symbols.push({ token, id, kind: id < 0 ? "pg-unknown" : "pg-given" });
        this.states.push(state);
      }
      this.state = state;
      this.shown = 0;
      return this.symbols.some(({ id }) => id >= 0);
    }

    draw(options) {
      const logProbs = this.model.logProbs(this.state);
      const id = choose(logProbs, { ...options, random: this.random });
      this.state = this.model.step(this.state, id);
      this.symbols.push({ token: this.model.tokens[id], id, kind: "pg-drawn" });
      this.states.push(this.state);
    }

    show() {
      this.text.add(this.symbols.slice(this.shown));
      this.shown = this.symbols.length;
    }

    unknown() {
      return [...new Set(this.symbols.filter(({ id }) => id < 0).map((s) => s.token))];
    }

    drawn() {
      return this.symbols.filter((s) => s.kind === "pg-drawn").map((s) => s.token).join("");
    }

    /* Show what the model knew after a position; return the likeliest in words. */
    select(position, options) {
      this.text.select(position);
      const state = this.states[position];
      if (!state) return "";
      const logProbs = this.model.logProbs(state);
      const raised = options.temperature ? weights(logProbs, options) : logProbs.map(Math.exp);
      const sum = raised.reduce((a, b) => a + b);
      const probs = raised.map((x) => x / sum);
      const likeliest = Array.from(probs.keys())
        .sort((a, b) => probs[b] - probs[a] || a - b)
        .filter((i) => probs[i] > 0)
        .slice(0, BARS);
      const next = this.symbols[position + 1];
      const parts = [];
      if (this.symbols[position].id < 0) {
        parts.push(el("p", { class: "pg-note" },
          `“${this.symbols[position].token}” is not in this model’s vocabulary: ` +
          "it was skipped, and the state stays as it was."));
      }
      if (this.panels.includes("distribution")) {
        parts.push(this.bars(position, likeliest, probs, next));
      }
      if (this.panels.includes("state")) parts.push(...this.inside(state));
      this.look.replaceChildren(...parts);
      return likeliest.slice(0, 3)
        .map((i) => `${spoken(this.model.tokens[i])} ${percent(probs[i])}`).join(", ");
    }

    bars(position, likeliest, probs, next) {
      const before = this.symbols.slice(0, position + 1).map((s) => s.token);
      const largest = probs[likeliest[0]];
      const made = table(`Next symbol after ${tail(before)}`,
        ["Symbol", "Bar", "Probability"],
        likeliest.map((i) => [
          visible(this.model.tokens[i]),
          el("span", { class: "pg-bar", style: `width: ${100 * probs[i] / largest}%` }),
          percent(probs[i]),
        ]), "pg-bars");
      [...made.tBodies[0].rows].forEach((row, n) => {
        const token = this.model.tokens[likeliest[n]];
        if (token !== visible(token)) row.cells[0].setAttribute("aria-label", spoken(token));
        if (!next || likeliest[n] !== next.id) return;
        row.classList.add("pg-next");
        row.cells[2].append(el("span", { title: "this symbol came next" }, " ◂ next"));
      });
      return made;
    }

    inside(state) {
      if (this.model.kind === "ngram") return [this.contexts(state)];
      const shown = { ...state.gates };
      if (this.model.kind === "lstm") shown["cell state C"] = state.C;
      shown["hidden state H"] = state.H;
      return Object.entries(shown).map(([name, values]) => grid(name, values));
    }

    contexts(state) {
      const seen = this.model.seen(state);
      const symbols = state.context.map((id) => this.model.tokens[id]);
      return table("What was counted after the end of the text so far",
        ["Context", "Counts", "Different symbols"],
        seen.map(({ total, kinds }, n) => [
          n ? symbols.slice(-n).map(visible).join("") : "(none)",
          String(total), String(kinds)]).reverse());
    }
  }

  /* A model in one line. */
  function about(info) {
    const size = info.num_params
      ? `${info.num_hiddens} units, ${info.num_params.toLocaleString("en")} parameters. `
      : `Counts ${info.train_chars.toLocaleString("en")} characters in your browser. `;
    return `${size}${info.bits.toFixed(2)} bits per character on unseen text ` +
      `(perplexity ${(2 ** info.bits).toFixed(2 ** info.bits < 20 ? 2 : 0)}).`;
  }

  /* A gate or a state as a picture, with its numbers in words. */
  function grid(name, values) {
    const isGate = ["reset", "update", "input", "forget", "output"].includes(name);
    const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const share = (test) => `${Math.round((100 * values.filter(test).length) / values.length)}\u00a0%`;
    const words = isGate
      ? `mean ${format(mean)}; open (> 0.9): ${share((x) => x > 0.9)}; ` +
        `shut (< 0.1): ${share((x) => x < 0.1)}`
      : `mean ${format(mean)}, largest size ${format(largest)}`;
    const title = isGate ? `${name} gate` : name;
    const canvas = squares(values, Math.max(1, largest));
    canvas.setAttribute("aria-label", `${title}, ${values.length} units: ${words}`);
    return el("div", { class: "pg-grid" },
      el("p", {}, el("strong", {}, title), ` ${words}`), canvas);
  }

  /* ---- The whole widget ---- */

  function build(root, settings) {
    const { models, panels, prefixes } = settings;
    const infos = new Map(models.map((info) => [info.name, info]));
    const two = panels.includes("compare");
    let columns = [], run = null;

    const first = menu(models, settings.model);
    const second = menu(models, settings.compare, true);
    const prefix = el("textarea", { rows: 2, spellcheck: "false" });
    const temperature = slider("Temperature",
      { min: 0, max: 2, step: 0.05, value: settings.temperature, oninput: refresh });
    const topK = number(0, 0, 5000, refresh);
    const seed = number(settings.seed, 0, Number.MAX_SAFE_INTEGER);
    const length = number(settings.length, 1, MAX_LENGTH);
    const go = el("button", { type: "submit", class: "pg-main" }, "Generate");
    const stop = el("button", { type: "button", disabled: true, onclick() { run.stopped = true; } },
      "Stop");
    const status = el("p", { role: "status", class: "pg-status" },
      "Press Generate. The model is loaded then, once.");
    const heard = el("p", { class: "pg-hidden", "aria-live": "polite" });
    const place = el("div", { class: "pg-columns" });
    const position = new Position("Look at symbol", moveTo);
    const form = el("form", { class: "pg-form", onsubmit: generate },
      field("Beginning of the text", prefix),
      el("div", { class: "pg-controls" },
        field("Model", first),
        ...(two ? [field("Second model", second)] : []),
        temperature.element,
        field("Top k (0: all)", topK),
        field("Seed", seed),
        field("Length", length),
        el("div", { class: "pg-buttons" }, go, stop)));

    prefix.value = settings.prefix || prefixes[language()];
    first.addEventListener("change", () => {
      if (Object.values(prefixes).includes(prefix.value)) prefix.value = prefixes[language()];
    });
    const scored = panels.includes("score") ? scorer(chosen, prefix) : [];
    root.replaceChildren(form, status, heard, position.element, place, ...scored);

    function language() {
      return infos.get(first.value).language;
    }

    function chosen() {
      const names = [first.value, ...(two && second.value ? [second.value] : [])];
      return [...new Set(names)].map((name) => infos.get(name));
    }

    function options() {
      return { temperature: temperature.number(), topK: Number(topK.value) };
    }

    async function generate(event) {
      event.preventDefault();
      const mine = { stopped: false };
      const wanted = { ...options(), length: Number(length.value), seed: Number(seed.value) };
      const growing = chosen().map((info) => new Column(info, panels, moveTo));
      run = mine;
      columns = [];
      place.replaceChildren(...growing.map((column) => column.element));
      position.offer(-1);
      status.classList.remove("pg-failed");
      heard.textContent = "";
      stop.disabled = false;
      try {
        for (const column of growing) {
          status.textContent = `Loading ${column.info.label} (${sizeOf(column.info)}) …`;
          const model = await loadModel(column.info.name);
          if (run !== mine) return;
          if (!column.begin(model, prefix.value, wanted.seed)) {
            throw new Error(`${column.info.label} knows none of the characters at the ` +
              "beginning: type at least one that it knows.");
          }
          column.show();
        }
        await grow(growing, wanted, mine);
        if (run !== mine) return;
        columns = growing;
        const last = Math.max(...columns.map((column) => column.symbols.length)) - 1;
        position.offer(last);
        select(last);
      } catch (error) {
        if (run !== mine) return;
        status.textContent = error.message;
        status.classList.add("pg-failed");
      }
      stop.disabled = true;
    }

    async function grow(growing, wanted, mine) {
      status.textContent = "Drawing …";
      let work = 0, drawn = 0;
      while (run === mine && !mine.stopped && drawn < wanted.length) {
        const start = performance.now();
        while (drawn < wanted.length && performance.now() - start < BURST) {
          for (const column of growing) column.draw(wanted);
          drawn++;
        }
        if (!still.matches) growing.forEach((column) => column.show());
        work += performance.now() - start;
        await pause();
      }
      if (run !== mine) return;
      growing.forEach((column) => column.show());
      const count = drawn * growing.length;
      const rate = Math.round((1000 * count) / work);
      const unknown = [...new Set(growing.flatMap((column) => column.unknown()))];
      root.dataset.rate = rate;
      status.textContent = `${mine.stopped ? "Stopped. " : ""}Drew ${count} symbols, ` +
        `${rate.toLocaleString("en")} a second.` + (unknown.length
        ? ` Not in the vocabulary and skipped: ${unknown.map(visible).join(" ")}` : "");
      heard.textContent = growing.map((column) =>
        `${column.info.label}: ${column.drawn().slice(0, 300)}`).join(". ");
    }

    function moveTo(at) {
      if (columns.length) select(at);
    }

    function select(at) {
      const told = columns.map((column) => column.select(at, options()));
      const symbol = columns[0].symbols[at] || {};
      position.move(at, `${at + 1}, ${spoken(symbol.token || "")}; next: ` +
        columns.map((column, i) => `${column.info.label} ${told[i]}`).join("; "));
    }

    function refresh() {
      moveTo(position.index);
    }
  }

  function menu(models, value, optional) {
    const select = el("select", {});
    if (optional) select.append(el("option", { value: "" }, "none"));
    for (const language of new Set(models.map((info) => info.language))) {
      select.append(el("optgroup", { label: language[0].toUpperCase() + language.slice(1) },
        ...models.filter((info) => info.language === language)
          .map((info) => el("option", { value: info.name }, info.label))));
    }
    select.value = value || (optional ? "" : models[0].name);
    return select;
  }

  function number(value, min, max, oninput = () => {}) {
    return el("input", { type: "number", required: true, value, min, max, step: 1, oninput });
  }

  /* ---- How well the chosen models predict a text ---- */

  function scorer(chosen, prefix) {
    const text = el("textarea", { rows: 3, spellcheck: "false",
      placeholder: "Paste any text" });
    const status = el("p", { role: "status", class: "pg-status" });
    const place = el("div", {});
    const form = el("form", { class: "pg-form pg-score", onsubmit: score },
      field("Score a text with the chosen models", text),
      el("div", { class: "pg-buttons" }, el("button", { type: "submit" }, "Score")));
    let run = 0;

    async function score(event) {
      event.preventDefault();
      const mine = ++run;
      if (!text.value) text.value = prefix.value;
      const all = Array.from(text.value);
      const used = all.slice(0, MAX_SCORED).join("");
      const results = [];
      status.classList.remove("pg-failed", "pg-hidden");
      place.replaceChildren();
      try {
        for (const info of chosen()) {
          status.textContent = `Loading ${info.label} (${sizeOf(info)}) …`;
          const model = await loadModel(info.name);
          results.push(await surprises(model, used));
          if (mine !== run) return;
          place.append(strip(info, results[results.length - 1]));
        }
        status.classList.add("pg-hidden"); // what it says stands below, too
        status.textContent = chosen().map((info, i) => `${info.label}: ${inBits(results[i])}`)
          .join(" ") + (all.length > MAX_SCORED
          ? ` Only the first ${MAX_SCORED.toLocaleString("en")} characters were read.` : "");
      } catch (error) {
        if (mine !== run) return;
        status.textContent = error.message;
        status.classList.add("pg-failed");
      }
    }

    return [form, status, place];
  }

  /* Each symbol's −log2 p, as training.evaluate scores a text: not the first one, with
     which it begins, and none that is not in the vocabulary. */
  async function surprises(model, text) {
    const symbols = model.encode(text);
    let state = null, start = performance.now();
    for (const symbol of symbols) {
      symbol.bits = null;
      if (symbol.id < 0) continue;
      if (state) symbol.bits = -model.logProbs(state)[symbol.id] / Math.LN2;
      state = model.step(state || model.begin(), symbol.id);
      if (performance.now() - start > BURST) {
        await pause();
        start = performance.now();
      }
    }
    return symbols;
  }

  function inBits(symbols) {
    const scored = symbols.filter(({ bits }) => bits !== null);
    const unknown = symbols.filter(({ id }) => id < 0).length;
    const left = unknown ? ` Left out as unknown: ${unknown}.` : "";
    if (!scored.length) return `nothing to score: it takes two known characters.${left}`;
    const mean = scored.reduce((sum, { bits }) => sum + bits, 0) / scored.length;
    return `${mean.toFixed(3)} bits per character, perplexity ${(2 ** mean).toFixed(2)}, ` +
      `over ${scored.length} symbols.${left}`;
  }

  /* A text in colors: the redder, the more it surprised the model. */
  function strip(info, symbols) {
    const words = symbols.map(({ token, id, bits }) => {
      if (id < 0) return `${spoken(token)}: not in the vocabulary`;
      if (bits === null) return `${spoken(token)}: the first symbol is not scored`;
      return `${spoken(token)}: probability ${percent(2 ** -bits)}, ${bits.toFixed(2)} bits`;
    });
    const told = el("p", { class: "pg-told" });
    const text = new Symbols(move);
    const position = new Position("Symbol of the scored text", move);
    text.add(symbols.map(({ token, id }) => ({ token, kind: id < 0 ? "pg-unknown" : "" })));
    text.paint(symbols.map(({ bits }) => bits === null ? null : Math.min(bits / BITS_RED, 1)),
      words);
    text.element.lang = LANGUAGES[info.language];
    position.offer(symbols.length - 1);

    function move(at) {
      text.select(at);
      told.textContent = words[at];
      position.move(at, `${at + 1}, ${words[at]}`);
    }

    if (symbols.length) move(0);
    return el("div", { class: "pg-strip", role: "group", "aria-label": `Scores by ${info.label}` },
      el("p", { class: "pg-title" }, info.label),
      el("p", { class: "pg-note" }, inBits(symbols)),
      text.element, legend(), position.element, told,
      folded("The same as a table", () => table(`Scores by ${info.label}`,
        ["Symbol", "Probability", "Bits"],
        symbols.map(({ token, id, bits }) => [visible(token),
          bits === null ? (id < 0 ? "unknown" : "not scored") : percent(2 ** -bits),
          bits === null ? "–" : bits.toFixed(2)]))));
  }

  function legend() {
    const sample = (bits) => {
      const box = el("span", { class: "pg-heat" }, ` ${bits} `);
      box.style.setProperty("--heat", bits / BITS_RED);
      return box;
    };
    return el("p", { class: "pg-legend" }, "Surprise in bits: ", ...[0, 2, 4, 6, 8].map(sample),
      sample(BITS_RED), " or more");
  }

  widgets(".pg-playground", build);
})();
