/* One unit of an RNN, a GRU or an LSTM, one step at a time, with its equations in
   numbers. */
(function () {
  "use strict";

  const { cells, el, field, format, slider, table, widgets } = window.d2lPlayground;

  /* The gates in the order of d2l_rnn.cells; each adds up W_x X + W_h H + b. */
  const KINDS = {
    rnn: {
      label: "RNN",
      gates: [{ name: "H", does: "new state", start: 0, f: "tanh", step: true }],
    },
    gru: {
      label: "GRU",
      gates: [
        { name: "R", does: "reset gate", start: 0, f: "σ" },
        { name: "Z", does: "update gate", start: 0, f: "σ" },
        { name: "H̃", does: "candidate", start: 0, f: "tanh" },
      ],
    },
    lstm: {
      label: "LSTM",
      gates: [
        { name: "I", does: "input gate", start: 0, f: "σ" },
        { name: "F", does: "forget gate", start: 1, f: "σ" },
        { name: "C̃", does: "candidate", start: 0, f: "tanh" },
        { name: "O", does: "output gate", start: 0, f: "σ" },
      ],
    },
  };
  const W_X = 1, W_H = 0.5;
  const ROWS = 12;

  const value = (x) => format(x, 3);

  /* Take one step; return the state after, with the value of every gate. */
  function take(kind, x, biases, before) {
    const X = Float64Array.from(biases, (b) => W_X * x + b);
    const U = Float64Array.from(biases, () => W_H * before.H);
    const after = cells[kind].step(X, U,
      { H: Float64Array.of(before.H), C: Float64Array.of(before.C) });
    const gates = Object.values(after.gates).map((gate) => gate[0]);
    return { H: after.H[0], C: after.C ? after.C[0] : 0, gates };
  }

  /* The order in which the step functions of playground-model.js list their gates is
     that of KINDS. */
  function equations(kind, x, biases, before, after) {
    const { gates } = KINDS[kind];
    const sum = (i) => W_X * x + W_H * before.H + biases[i];
    const line = (i, inner) => `${gates[i].f}(1 · ${value(x)} + 0.5 · ${inner} + ` +
      `${value(biases[i])})`;
    const H = value(before.H);
    if (kind === "rnn") {
      return [["H_t = tanh(W_x X + W_h H_{t−1} + b)",
        `${line(0, H)} = tanh(${value(sum(0))})`, after.H]];
    }
    const [a, b, c] = after.gates.map(value);
    if (kind === "gru") {
      return [
        ["R = σ(W_x X + W_h H_{t−1} + b_r)", `${line(0, H)} = σ(${value(sum(0))})`, after.gates[0]],
        ["Z = σ(W_x X + W_h H_{t−1} + b_z)", `${line(1, H)} = σ(${value(sum(1))})`, after.gates[1]],
        ["H̃ = tanh(W_x X + W_h (R H_{t−1}) + b_c)", line(2, `(${a} · ${H})`), after.gates[2]],
        ["H_t = Z H_{t−1} + (1 − Z) H̃", `${b} · ${H} + ${value(1 - after.gates[1])} · ${c}`, after.H],
      ];
    }
    return [
      ["I = σ(W_x X + W_h H_{t−1} + b_i)", `${line(0, H)} = σ(${value(sum(0))})`, after.gates[0]],
      ["F = σ(W_x X + W_h H_{t−1} + b_f)", `${line(1, H)} = σ(${value(sum(1))})`, after.gates[1]],
      ["C̃ = tanh(W_x X + W_h H_{t−1} + b_c)", `${line(2, H)} = tanh(${value(sum(2))})`,
        after.gates[2]],
      ["O = σ(W_x X + W_h H_{t−1} + b_o)", `${line(3, H)} = σ(${value(sum(3))})`, after.gates[3]],
      ["C_t = F C_{t−1} + I C̃", `${b} · ${value(before.C)} + ${a} · ${c}`, after.C],
      ["H_t = O tanh(C_t)", `${value(after.gates[3])} · tanh(${value(after.C)})`, after.H],
    ];
  }

  /* A bar from 0 to the value, to the left where it is negative. */
  function meter(x, limit) {
    const length = 50 * Math.min(Math.abs(x) / limit, 1);
    const bar = el("span", { class: "pg-bar", style:
      `width: ${length}%; margin-left: ${x < 0 ? 50 - length : 50}%` });
    return el("span", { class: "pg-meter", "aria-hidden": "true" }, bar);
  }

  /* "H_t" or "H_{t−1}" with its index below, and the names of quantities slanted. */
  function formula(text) {
    const symbols = /((?:[A-Z]̃?(?![a-z])|\bb\b)(?:_\{[^}]*\}|_\w)?|b_\w)/;
    const nodes = text.split(symbols).map((part, i) => {
      if (i % 2 === 0) return part;
      const [name, index] = part.replace(/[{}]/g, "").split("_");
      return el("span", {}, el("i", {}, name), ...(index ? [el("sub", {}, index)] : []));
    });
    return el("span", {}, ...nodes);
  }

  function build(root, settings) {
    let before, sliders, past;
    const kind = el("select", { onchange: reset }, ...Object.entries(KINDS)
      .map(([name, { label }]) => el("option", { value: name }, label)));
    kind.value = settings.cell || "lstm";
    const inputs = el("div", { class: "pg-controls pg-sliders" });
    const sums = el("div", { class: "pg-equations" });
    const history = el("div", { class: "pg-scroll", tabindex: 0, role: "region",
      "aria-label": "Steps taken" });
    const status = el("p", { role: "status", class: "pg-status" });
    root.replaceChildren(
      el("div", { class: "pg-controls" }, field("Cell", kind), el("div", { class: "pg-buttons" },
        el("button", { type: "button", class: "pg-main", onclick: step }, "Take the step"),
        el("button", { type: "button", onclick: reset }, "Start again"))),
      inputs, sums, status, history);

    function now() {
      const [x, ...biases] = sliders.map((s) => s.number());
      return { x, biases, after: take(kind.value, x, biases, before) };
    }

    function reset() {
      before = { H: 0, C: 0 };
      past = [];
      const make = (label, start, limit) => slider(label,
        { min: -limit, max: limit, step: 0.1, value: start, oninput: show });
      sliders = [make("Input X", 1, 3), ...KINDS[kind.value].gates.map(({ name, does, start }) =>
        make(kind.value === "rnn" ? "Bias b" : `Bias of ${name}, the ${does}`, start, 6))];
      inputs.replaceChildren(...sliders.map((s) => s.element));
      status.textContent = "";
      history.replaceChildren();
      history.hidden = true;
      show();
    }

    function show() {
      const { x, biases, after } = now();
      const memory = kind.value === "lstm" ? `, C_{t−1} = ${value(before.C)}` : "";
      sums.replaceChildren(
        el("p", { class: "pg-note" }, formula(`Before this step H_{t−1} = ${value(before.H)}` +
          `${memory}. The weights are W_x = 1 and W_h = 0.5 for every gate.`)),
        ...equations(kind.value, x, biases, before, after).map(([symbols, numbers, result]) =>
          el("div", { class: "pg-equation" },
            el("div", {}, formula(symbols)),
            el("div", { class: "pg-numbers" }, `= ${numbers} = `,
              el("strong", {}, value(result))),
            meter(result, Math.max(1, Math.abs(after.C))))));
    }

    function step() {
      const { x, after } = now();
      past.push([String(past.length + 1), value(x), value(after.H),
        ...(kind.value === "lstm" ? [value(after.C)] : []), ...after.gates.map(value)]);
      before = after;
      const names = KINDS[kind.value].gates.filter((g) => !g.step).map((g) => g.name);
      const heads = ["Step", "X", "H", ...(kind.value === "lstm" ? ["C"] : []), ...names];
      history.hidden = false;
      history.replaceChildren(table("Steps taken, the latest first", heads,
        past.slice(-ROWS).reverse()));
      status.textContent = `Step ${past.length}: ` +
        (kind.value === "lstm" ? `C = ${value(after.C)}, ` : "") + `H = ${value(after.H)}.`;
      show();
    }

    reset();
  }

  window.d2lPlayground.stepCell = take;
  widgets(".pg-stepper", build);
})();
