/* What the widgets share: elements, labelled controls, symbols to choose from. */
(function () {
  "use strict";

  let serial = 0;

  /* el("p", { class: "note", onclick: f }, "text", child) */
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else if (value !== false && value !== undefined) {
        element.setAttribute(name, value === true ? "" : value);
      }
    }
    element.append(...children);
    return element;
  }

  /* A control under its label. */
  function field(label, control, ...more) {
    control.id = control.id || `playground-${++serial}`;
    return el("div", { class: "pg-field" }, el("label", { for: control.id }, label),
      control, ...more);
  }

  /* A slider that shows its number. */
  function slider(label, { min, max, step, value, oninput }) {
    const shown = el("span", { class: "pg-value", "aria-hidden": "true" });
    const input = el("input", { type: "range", min, max, step, value });
    const show = () => { shown.textContent = format(Number(input.value)); };
    input.addEventListener("input", () => { show(); if (oninput) oninput(); });
    show();
    const element = field(label, el("span", { class: "pg-slider" }, input, shown));
    const name = element.querySelector("label");
    input.id = `playground-${++serial}`;
    name.htmlFor = input.id;
    return { element, input, number: () => Number(input.value), set(x) {
      input.value = x;
      show();
    } };
  }

  function format(x, digits = 2) {
    return x.toFixed(digits).replace("-", "−");
  }

  function percent(p) {
    if (p > 0.9999) return "≈ 100\u00a0%";
    if (p < 0.0001) return p ? "< 0.01\u00a0%" : "0\u00a0%";
    return `${(100 * p).toFixed(p < 0.01 ? 2 : 1)}\u00a0%`;
  }

  /* A symbol as words say it. */
  function spoken(token) {
    const names = { " ": "space", "\n": "new line", "\t": "tab" };
    return names[token] || token;
  }

  /* A symbol as a table shows it. */
  function visible(token) {
    return { " ": "␣", "\n": "↵", "\t": "⇥" }[token] || token;
  }

  /* The end of a text, on one line. */
  function tail(tokens, length = 14) {
    const end = tokens.slice(-length).map((t) => (t === "\n" ? "↵" : t)).join("");
    return `“${tokens.length > length ? "…" : ""}${end}”`;
  }

  /* A text whose symbols can be clicked, colored and added to. */
  class Symbols {
    constructor(onpick) {
      this.element = el("div", { class: "pg-symbols", dir: "auto" });
      this.spans = [];
      this.element.addEventListener("click", ({ target }) => {
        if (this.spans.includes(target)) onpick(this.spans.indexOf(target));
      });
    }

    clear() {
      this.spans = [];
      this.element.replaceChildren();
    }

    add(symbols) {
      const made = symbols.map(({ token, kind }) => {
        const newline = token === "\n" ? " pg-newline" : "";
        return el("span", { class: `${kind || ""}${newline}` }, token);
      });
      this.spans.push(...made);
      this.element.append(...made);
    }

    select(i) {
      if (this.selected) this.selected.classList.remove("pg-selected");
      this.selected = this.spans[i];
      if (this.selected) this.selected.classList.add("pg-selected");
    }

    /* Colors from 0, none, to 1; null takes the color off. */
    paint(heats, titles) {
      this.spans.forEach((span, i) => {
        const cold = heats[i] === null || heats[i] === undefined;
        span.classList.toggle("pg-heat", !cold);
        if (!cold) span.style.setProperty("--heat", heats[i].toFixed(3));
        if (titles) span.title = titles[i];
      });
    }
  }

  /* A slider over the symbols of a text, whose value is told in words. */
  class Position {
    constructor(label, onmove) {
      this.input = el("input", { type: "range", min: 0, max: 0, step: 1, value: 0 });
      this.input.addEventListener("input", () => onmove(this.index));
      this.element = field(label, this.input);
      this.element.classList.add("pg-position");
      this.element.hidden = true;
    }

    get index() {
      return Number(this.input.value);
    }

    /* Offer the positions 0 … last. */
    offer(last) {
      this.element.hidden = last < 0;
      this.input.max = Math.max(last, 0);
    }

    move(index, words) {
      this.input.value = index;
      this.input.setAttribute("aria-valuetext", words);
    }
  }

  /* A table from its heads and rows; a row's first cell is its head. */
  function table(caption, heads, rows, name = "") {
    return el("table", { class: `pg-table ${name}` },
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) =>
        el(i ? "td" : "th", i ? {} : { scope: "row" }, cell))))));
  }

  /* Folded content that is made when it is first opened. */
  function folded(summary, make) {
    const details = el("details", { class: "pg-details" }, el("summary", {}, summary));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(make());
    });
    return details;
  }

  /* Values as small squares: orange above 0, blue below, stronger for larger ones. */
  function squares(values, limit = 1) {
    const columns = 32, size = 8, rows = Math.ceil(values.length / columns);
    const canvas = el("canvas", { width: columns * size, height: rows * size,
      role: "img", class: "pg-squares" });
    const context = canvas.getContext("2d");
    values.forEach((value, i) => {
      const strength = Math.min(Math.abs(value) / limit, 1).toFixed(3);
      const color = value < 0 ? "44, 123, 213" : "230, 97, 1";
      context.fillStyle = `rgba(${color}, ${strength})`;
      context.fillRect((i % columns) * size, Math.floor(i / columns) * size, size - 1,
        size - 1);
    });
    return canvas;
  }

  function ready(start) {
    if (document.readyState !== "loading") start();
    else document.addEventListener("DOMContentLoaded", start);
  }

  /* Build the widgets of a kind; where that fails, say so in its place. */
  function widgets(selector, build) {
    ready(() => document.querySelectorAll(selector).forEach((root) => {
      try {
        build(root, JSON.parse(root.dataset.settings || "{}"));
      } catch (error) {
        root.replaceChildren(el("p", { role: "alert" },
          `This part of the page does not work in your browser (${error.message}).`));
        throw error;
      }
    }));
  }

  Object.assign(window.d2lPlayground, {
    el, field, folded, format, percent, Position, slider, spoken, squares, Symbols,
    table, tail, visible, widgets,
  });
})();
