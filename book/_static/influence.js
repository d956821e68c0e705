/* Which earlier characters each prediction depends on, for one sentence. */
(function () {
  "use strict";

  const {
    el, folded, loadFile, percent, Position, spoken, Symbols, table, tail, unpack,
    visible, widgets,
  } = window.d2lPlayground;

  const LABELS = { rnn: "RNN", gru: "GRU", lstm: "LSTM" };

  /* The part of each position 0 … t in the sum of a row. */
  function shares(norms, t, width) {
    const row = Array.from(norms.subarray(t * width, t * width + t + 1));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((x) => x / sum);
  }

  /* How many of the latest characters have 90 % of the influence together. */
  function reach(row) {
    let sum = 0, back = 0;
    while (sum < 0.9 && back < row.length) sum += row[row.length - ++back];
    return back;
  }

  function build(root) {
    const status = el("p", { role: "status", class: "pg-status" });
    const place = el("div", {});
    const again = el("button", { type: "button", onclick: start }, "Load the sentence");
    root.replaceChildren(status, again, place);

    async function start() {
      status.classList.remove("pg-failed");
      status.textContent = "Loading the sentence …";
      try {
        fill(await loadFile("english-influence"));
        again.remove();
        status.remove();
      } catch (error) {
        status.textContent = error.message;
        status.classList.add("pg-failed");
      }
    }

    function fill({ text, arrays }) {
      const tokens = Array.from(text);
      const width = tokens.length - 1;
      const position = new Position("Predict what follows character", select);
      const strips = Object.keys(arrays).map((kind) => {
        const symbols = new Symbols(select);
        const told = el("p", { class: "pg-told" });
        symbols.add(tokens.map((token) => ({ token })));
        return { kind, norms: unpack(arrays[kind]), symbols, told };
      });
      const numbers = el("div", {});
      const heard = el("p", { class: "pg-told" });
      place.replaceChildren(position.element, heard, ...strips.map(({ kind, symbols, told }) =>
        el("div", { class: "pg-strip", role: "group", "aria-label": LABELS[kind] },
          el("p", { class: "pg-title" }, LABELS[kind]), symbols.element, told)), numbers);
      position.offer(width - 1);

      function select(at) {
        const t = Math.min(at, width - 1);
        const rows = strips.map(({ norms }) => shares(norms, t, width));
        const words = rows.map((row) => {
          const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
          return "Most influence: " + order.map((i) =>
            `${spoken(tokens[i])} (${t - i ? `${t - i} back` : "the last"}, ` +
            `${percent(row[i])})`).join(", ") +
            `. The last ${reach(row)} have 90\u00a0%.`;
        });
        strips.forEach(({ symbols, told }, n) => {
          const largest = Math.max(...rows[n]);
          symbols.paint(rows[n].map((share) => share / largest),
            rows[n].map((share, i) => `${spoken(tokens[i])}: ${percent(share)}`));
          for (let i = t + 1; i < tokens.length; i++) symbols.spans[i].classList.remove("pg-heat");
          symbols.spans.forEach((span, i) => {
            span.classList.toggle("pg-future", i > t);
            span.classList.toggle("pg-target", i === t + 1);
          });
          symbols.select(t);
          told.textContent = words[n];
        });
        heard.textContent = `Read up to ${tail(tokens.slice(0, t + 1))}; what follows is ` +
          `“${visible(tokens[t + 1])}”.`;
        position.move(t, `${t + 1}, ${spoken(tokens[t])}. ` +
          strips.map(({ kind }, n) => `${LABELS[kind]}: ${words[n]}`).join(" "));
        numbers.replaceChildren(folded("The same as a table", () => table(
          `Share of the influence on what follows ${tail(tokens.slice(0, t + 1))}`,
          ["Character", "Back", ...strips.map(({ kind }) => LABELS[kind])],
          rows[0].map((_, i) => [visible(tokens[i]), String(t - i),
            ...rows.map((row) => percent(row[i]))]).reverse())));
      }

      select(Math.min(width - 1, Math.round(width / 2)));
    }

    if (!window.IntersectionObserver) return;
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      start();
    });
    watcher.observe(root);
  }

  widgets(".pg-influence", build);
})();
