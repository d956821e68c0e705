/* Live pages: the cells of a chapter, edited and run on a kernel of this machine.

   tools/serve.py puts this script on the chapters that it serves; a page that is
   opened as a file or from another server does not have it. It speaks Jupyter's
   own REST and WebSocket protocol and needs no library. From top to bottom: text
   to elements, outputs, the kernel, an editor, a cell, the page. */
(function () {
"use strict";

const NOTEBOOK = document.currentScript.dataset.notebook;

/* Shown characters of one stream of one cell; what comes earlier is dropped. */
const MAX_TEXT = 100000;

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/* ---- Text to elements ---- */

/* What a terminal would show: a carriage return goes back and writes over the line,
   which is how progress bars move and vanish. Colors stay, other controls go. */
function terminalText(text) {
  return text
    .replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-ln-~]/g, "")
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => line.split("\r").reduce(
      (shown, part) => part + shown.slice(part.length)))
    .join("\n");
}

/* A terminal's colors (ANSI) as spans with a class each. */
function colored(text) {
  const nodes = document.createDocumentFragment();
  let bold = false, color = null;
  text.split(/\x1b\[([0-9;]*)m/).forEach((part, position) => {
    if (position % 2 === 0) {
      const classes = [bold && "live-bold", color !== null && `live-color-${color}`];
      const name = classes.filter(Boolean).join(" ");
      if (part) nodes.append(name ? element("span", { class: name }, part) : part);
      return;
    }
    const codes = part.split(";").map(Number);
    while (codes.length) {
      const code = codes.shift();
      if (code === 0) { bold = false; color = null; }
      else if (code === 1) bold = true;
      else if (code === 22) bold = false;
      else if (code >= 30 && code <= 37) color = code - 30;
      else if (code >= 90 && code <= 97) color = code - 90;
      else if (code === 39) color = null;
      else if (code === 38 || code === 48) { // 5;n or 2;r;g;b
        const rest = codes.splice(0, codes[0] === 5 ? 2 : 4);
        if (code === 38) color = rest[0] === 5 && rest[1] < 16 ? rest[1] % 8 : null;
      }
    }
  });
  return nodes;
}

const PYTHON = new RegExp([
  /(?<c1>#[^\n]*)/,
  /(?<s2>(?:\b[bfruBFRU]{1,2})?(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))/,
  /\b(?<k>and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b/,
  /\b(?<kc>True|False|None)\b/,
  /\b(?<mi>\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?j?)\b/,
  /(?<![.\w])(?<nb>abs|all|any|bool|dict|enumerate|filter|float|format|int|isinstance|len|list|map|max|min|object|open|print|range|repr|reversed|round|set|sorted|str|sum|super|tuple|type|zip)\b/,
].map((part) => part.source).join("|"), "g");

/* Python code with the classes that the book's own colors are made for. */
function highlighted(code) {
  const nodes = document.createDocumentFragment();
  let end = 0;
  for (const match of code.matchAll(PYTHON)) {
    const [kind, text] = Object.entries(match.groups).find(([, found]) => found);
    nodes.append(code.slice(end, match.index), element("span", { class: kind }, text));
    end = match.index + text.length;
  }
  nodes.append(code.slice(end));
  return nodes;
}

/* What scrolls inside itself must be within a keyboard's reach. */
function reachable(node) {
  requestAnimationFrame(() => {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = node;
    if (scrollWidth > clientWidth || scrollHeight > clientHeight) node.tabIndex = 0;
  });
  return node;
}

function preformatted(classes, ...children) {
  const pre = reachable(element("pre", {}, ...children));
  return element("div", { class: `output notranslate ${classes}` },
    element("div", { class: "highlight" }, pre));
}

/* As much of Markdown as the course's outputs use: paragraphs, headings, lists,
   blocks of code, `code`, **bold**, *emphasis* and [links](address). */
function markdown(text) {
  const box = element("div", { class: "output text_markdown" });
  const inline = (words, parent) => {
    const marks = /`([^`]+)`|\*\*(.+?)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(((?:https?:|[./#\w])[^)\s]*)\)/g;
    let end = 0;
    for (const match of words.matchAll(marks)) {
      const [all, code, bold, emphasis, label, href] = match;
      parent.append(words.slice(end, match.index));
      if (code) parent.append(element("code", { class: "literal" }, code));
      else if (bold) parent.append(inline(bold, element("strong")));
      else if (emphasis) parent.append(inline(emphasis, element("em")));
      else if (/^\w+:/.test(href) && !/^https?:/.test(href)) parent.append(label);
      else parent.append(element("a", { href }, label));
      end = match.index + all.length;
    }
    parent.append(words.slice(end));
    return parent;
  };
  text.split(/^```(\w*\n[^]*?)^```\s*$/m).forEach((part, position) => {
    if (position % 2) {
      const code = part.slice(part.indexOf("\n") + 1);
      box.append(preformatted("highlight-python", highlighted(code)));
      return;
    }
    for (const block of part.split(/\n\s*\n/).filter((words) => words.trim())) {
      const lines = block.trim().split("\n");
      if (lines.every((line) => /^[-*] /.test(line))) {
        box.append(element("ul", {}, ...lines.map(
          (line) => inline(line.slice(2), element("li")))));
      } else {
        const heading = /^#+ /.test(block.trim());
        const words = block.trim().replace(/^#+ /, "");
        box.append(heading ? element("p", {}, inline(words, element("strong")))
          : inline(words, element("p")));
      }
    }
  });
  return box;
}

/* ---- The outputs of one cell ---- */

class Outputs {
  constructor(cell) {
    this.cell = cell;
    this.box = element("div", {
      class: "cell_output docutils container live-output", role: "group",
      "aria-label": `Output of cell ${cell.number}`,
    });
    this.displays = new Map(); // display_id to its elements
    this.clear();
  }

  clear() {
    this.box.replaceChildren();
    this.streams = {}; // those that what is printed next is added to
    this.pending = false;
    this.images = 0;
  }

  /* Take a message of the kernel's; other types than these show nothing. */
  take(type, content) {
    if (type === "clear_output") {
      if (content.wait) this.pending = true; // until there is something new
      else this.clear();
      return;
    }
    if (type === "update_display_data") {
      for (const old of this.displays.get(content.transient.display_id) || []) {
        old.replaceChildren(this.shown(content.data, Number(old.dataset.image)));
      }
      return;
    }
    if (!["stream", "display_data", "execute_result", "error"].includes(type)) return;
    if (this.pending) this.clear();
    if (type === "stream") {
      this.write(content.name, content.text);
      return;
    }
    this.streams = {};
    if (type === "error") {
      const text = content.traceback.join("\n") || `${content.ename}: ${content.evalue}`;
      this.box.append(preformatted("traceback", colored(terminalText(text))));
      return;
    }
    const holder = element("div", { "data-image": this.images });
    holder.append(this.shown(content.data, this.images));
    if (holder.querySelector("img")) this.images += 1;
    this.box.append(holder);
    const id = content.transient && content.transient.display_id;
    if (id) this.displays.set(id, [...(this.displays.get(id) || []), holder]);
  }

  write(name, text) {
    if (!this.streams[name]) {
      const box = preformatted(name === "stderr" ? "stream stderr" : "stream");
      this.streams[name] = { box, pre: box.querySelector("pre"), text: "", due: false };
      this.box.append(box);
    }
    const stream = this.streams[name];
    stream.text += text;
    if (stream.due) return;
    stream.due = true; // at most once a frame, however much is printed
    requestAnimationFrame(() => {
      stream.due = false;
      stream.text = this.shorten(stream.text);
      const shown = terminalText(stream.text);
      stream.pre.replaceChildren(colored(shown));
      reachable(stream.pre);
      stream.box.hidden = !shown.trim(); // a progress bar that has gone
    });
  }

  shorten(text) {
    if (text.length < 2 * MAX_TEXT) return text;
    return `(earlier output is not shown)\n${text.slice(-MAX_TEXT)}`;
  }

  /* One of the forms in which a result comes, the first that a page can show. */
  shown(data, image) {
    const text = (type) => [data[type]].flat().join("");
    if (data["image/svg+xml"]) {
      const address = encodeURIComponent(text("image/svg+xml"));
      return this.image(`data:image/svg+xml;charset=utf-8,${address}`, image);
    }
    if (data["text/html"]) {
      const box = reachable(element("div", { class: "output text_html" }));
      box.innerHTML = text("text/html");
      return box;
    }
    for (const type of ["image/png", "image/jpeg"]) {
      if (data[type]) return this.image(`data:${type};base64,${text(type).trim()}`, image);
    }
    if (data["text/markdown"]) return markdown(text("text/markdown"));
    return preformatted("text_plain", colored(terminalText(text("text/plain"))));
  }

  /* A figure with the caption that the page's own has. */
  image(address, number) {
    const stored = this.cell.storedFigures[number];
    const figure = stored ? stored.cloneNode(true) : element("img");
    figure.removeAttribute("id");
    figure.querySelectorAll("[id], a.headerlink").forEach((node) => node.remove());
    const image = figure.querySelector("img") || figure;
    const changed = !stored || this.cell.changed;
    if (changed) image.alt = `Figure ${number + 1} of cell ${this.cell.number}, drawn live`;
    image.src = address;
    return figure;
  }
}

/* ---- The kernel ---- */

/* Something that a reader can mend, in words for the reader. */
class Trouble extends Error {}

const STOPPED =
  "The server has stopped. What you typed is still on this page. Start the server " +
  "again with “make serve”, open the address that it prints in another tab, then " +
  "run a cell here: it gets a new kernel.";
const NO_TOKEN =
  "This server does not know your browser. Open the address with the token that " +
  "“make serve” printed in the terminal, then come back and try again.";
const DIED =
  "The kernel died and was started anew (perhaps memory ran out). Its variables are " +
  "gone: run the cells from the top again.";
const BROKEN =
  "The connection to the kernel broke and was made anew. What the cell that ran was " +
  "to show is lost: run it again.";
const LEFT =
  "You had left this page, so its kernel was ended. Its variables are gone: run the " +
  "cells from the top again, on a new kernel.";
const ENDED =
  "The kernel of this page was ended, since nothing had run on it for long. Its " +
  "variables are gone: run the cells from the top again, on a new kernel.";

async function request(method, path, body, options = {}) {
  const [, token] = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) || [];
  let response;
  try {
    response = await fetch(path, {
      method, ...options, headers: token ? { "X-XSRFToken": token } : {},
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Trouble(STOPPED);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 403) throw new Trouble(NO_TOKEN);
  if (response.status === 404) throw new Trouble(ENDED);
  throw new Trouble(answer.message || `The server answers with ${response.status}.`);
}

class Kernel {
  /* onTrouble(words, lost) is told what happens to the kernel unasked. */
  constructor(onTrouble) {
    this.onTrouble = onTrouble;
    this.session = Array.from(crypto.getRandomValues(new Uint8Array(16)),
      (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.sent = 0;
    this.waiting = new Map(); // id of a request to what is done with its answers
    this.ended = false;
  }

  async start() {
    await request("GET", "/api/live"); // sets the cookie that a POST must repeat
    const model = await request("POST", "/api/kernels", { path: NOTEBOOK });
    this.path = `/api/kernels/${model.id}`;
    if (this.ended) await this.end();
    else await this.connect();
  }

  /* Resolves when the kernel has answered by both ways: outputs come by another than
     answers, and what it shows before that way is open would be lost. */
  connect() {
    return new Promise((resolve, reject) => {
      const address = `ws://${location.host}${this.path}/channels?session_id=${this.session}`;
      const socket = this.socket = new WebSocket(address);
      socket.onmessage = (event) => this.receive(JSON.parse(event.data));
      let connected = false;
      const ask = () => {
        if (connected || socket !== this.socket) return;
        this.send("kernel_info_request", {}, {
          reply: () => setTimeout(ask, 200), output: () => {},
          done: () => { connected = true; resolve(); }, fail: reject,
        });
      };
      socket.onopen = ask;
      socket.onclose = () => {
        if (connected) this.lost();
        else reject(new Trouble(STOPPED));
      };
    });
  }

  send(type, content, handlers) {
    const id = `${this.session}_${this.sent++}`;
    const header = {
      msg_id: id, msg_type: type, session: this.session, username: "reader",
      date: new Date().toISOString(), version: "5.4",
    };
    this.waiting.set(id, handlers);
    this.socket.send(JSON.stringify({
      header, content, parent_header: {}, metadata: {}, channel: "shell", buffers: [],
    }));
    return id;
  }

  receive(message) {
    const { channel, content, header } = message;
    const type = header.msg_type;
    const id = message.parent_header && message.parent_header.msg_id;
    const handlers = this.waiting.get(id);
    if (type === "status" && /restarting$/.test(content.execution_state)) {
      this.fail(new Trouble(DIED));
      this.onTrouble(DIED, false);
      this.renewed = this.reconnect();
      this.renewed.catch((trouble) => this.close(trouble.message));
    } else if (type === "status" && content.execution_state === "dead") {
      this.close(DIED);
    } else if (type === "shutdown_reply" && channel === "iopub") {
      if (!content.restart && !this.ended) this.close(ENDED);
    } else if (handlers && channel === "shell") {
      handlers.answer = content;
      if (handlers.reply) handlers.reply();
    } else if (handlers && handlers.output) {
      if (type === "status" && content.execution_state === "idle") handlers.idle = true;
      else handlers.output(type, content);
    }
    // The answer and the last output come by different ways, in any order.
    if (handlers && handlers.done && handlers.answer && handlers.idle) {
      this.waiting.delete(id);
      handlers.done(handlers.answer);
    }
  }

  /* Run code; output(type, content) is called for all that it shows. */
  async execute(code, output) {
    await this.renewed;
    return new Promise((done, fail) => {
      this.send("execute_request", {
        code, silent: false, store_history: true, user_expressions: {},
        allow_stdin: false, stop_on_error: true,
      }, { output, done, fail });
    });
  }

  interrupt() {
    return request("POST", `${this.path}/interrupt`);
  }

  async restart() {
    await this.renewed;
    this.fail(new Trouble("The kernel was restarted before this cell was done."));
    this.disconnect();
    await request("POST", `${this.path}/restart`);
    this.renewed = this.reconnect();
    await this.renewed;
  }

  /* Only a new connection is sure to reach a kernel that was started anew, and one
     made too early may never be answered: then try another. */
  async reconnect() {
    for (let tries = 0; tries < 10; tries++) {
      this.disconnect();
      const late = new Promise((resolve) => setTimeout(resolve, 3000, "late"));
      if (await Promise.race([this.connect(), late]) !== "late") return;
    }
    throw new Trouble(DIED);
  }

  disconnect() {
    this.socket.onclose = null;
    this.socket.onmessage = null;
    this.socket.close();
    this.waiting.clear();
  }

  /* End the kernel; with keepalive even as the page goes away. */
  async end() {
    this.ended = true;
    if (this.socket) this.socket.onclose = null;
    this.fail(new Trouble("The kernel was ended before this cell was done."));
    if (!this.path) return;
    await request("DELETE", this.path, null, { keepalive: true }).catch(() => {});
    if (this.socket) this.socket.close();
  }

  fail(trouble) {
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const handlers of waiting) handlers.fail(trouble);
  }

  /* The connection broke. The kernel may still be there, as after a nap. */
  async lost() {
    this.fail(new Trouble(BROKEN));
    try {
      await request("GET", this.path);
      await this.connect();
    } catch (trouble) {
      this.close(trouble.message);
    }
  }

  close(words) {
    if (this.ended) return;
    this.ended = true;
    this.socket.onclose = null;
    this.socket.close();
    this.fail(new Trouble(words));
    this.onTrouble(words, true);
  }
}

/* ---- An editor ---- */

/* A plain text area above a colored copy of its text, which gives it its size. */
class Editor {
  constructor(number, code, keys) {
    this.colors = element("code");
    this.area = element("textarea", {
      "aria-label": `Code of cell ${number}`, "aria-describedby": "live-keys",
      autocapitalize: "off", autocomplete: "off", autocorrect: "off", rows: 1,
      spellcheck: "false", wrap: "off",
      oninput: () => this.color(),
      onkeydown: (event) => this.key(event, keys),
    });
    this.box = element("div", { class: "live-editor highlight" },
      element("pre", { "aria-hidden": "true" }, this.colors), this.area);
    this.area.value = code;
    this.color();
  }

  color() {
    this.colors.replaceChildren(highlighted(this.area.value), "\n");
  }

  key(event, { run, leave }) {
    const held = event.ctrlKey || event.metaKey;
    if (event.isComposing || event.altKey) return;
    if (event.key === "Enter" && (event.shiftKey || held)) run(event.shiftKey);
    else if (event.key === "Enter") this.newLine();
    else if (event.key === "Tab" && !held) this.indent(event.shiftKey);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /* As if typed, so that it can be undone. */
  insert(text, from = this.area.selectionStart, to = this.area.selectionEnd) {
    this.area.setSelectionRange(from, to);
    const command = text ? "insertText" : "delete";
    if (from === to && !text) return;
    if (!document.execCommand(command, false, text)) {
      this.area.setRangeText(text, from, to, "end");
      this.color();
    }
  }

  newLine() {
    const before = this.area.value.slice(0, this.area.selectionStart);
    const line = before.slice(before.lastIndexOf("\n") + 1);
    const deeper = /:\s*(?:#.*)?$/.test(line) ? "    " : "";
    this.insert(`\n${line.match(/^ */)[0]}${deeper}`);
  }

  /* Four spaces more or fewer; of whole lines, where lines are selected. */
  indent(fewer) {
    const { value, selectionStart: start, selectionEnd: end } = this.area;
    const first = value.lastIndexOf("\n", start - 1) + 1;
    const lines = value.slice(first, end);
    if (!fewer && start === end) {
      this.insert(" ".repeat(4 - (start - first) % 4));
      return;
    }
    const moved = fewer ? lines.replace(/^ {1,4}/gm, "") : lines.replace(/^(?=.)/gm, "    ");
    if (moved === lines) return;
    this.insert(moved, first, end);
    const last = first + moved.length;
    this.area.setSelectionRange(start === end ? last : first, last);
  }
}

/* ---- A cell ---- */

class Cell {
  constructor(box, number, page) {
    Object.assign(this, { box, number, page });
    this.input = box.querySelector(".cell_input");
    this.stored = box.querySelector(".cell_output");
    this.storedFigures = this.stored ? [...this.stored.querySelectorAll("img")].map(
      (image) => image.closest("figure") || image) : [];
    this.code = this.input.querySelector("pre").textContent.replace(/\n+$/, "");
  }

  get changed() {
    return Boolean(this.editor) && this.editor.area.value !== this.code;
  }

  get text() {
    return this.editor.area.value;
  }

  open() {
    this.outputs = new Outputs(this);
    this.editor = new Editor(this.number, this.code, {
      run: (next) => { this.page.run([this]); if (next) this.page.focusAfter(this); },
      leave: () => this.runButton.focus(),
    });
    this.editor.area.addEventListener("input", () => this.refresh());
    const button = (words, action) => element("button", {
      type: "button", "aria-label": `${words} (cell ${this.number})`, onclick: action,
    }, words);
    this.runButton = button("Run", () => this.page.run([this]));
    this.aboveButton = button("Run all above", () => this.page.runAbove(this));
    this.restoreButton = button("Restore", () => this.restore());
    this.mark = element("span", { class: "live-mark" });
    this.tools = element("div", { class: "live-tools" }, this.mark, this.runButton,
      this.aboveButton, this.restoreButton);
    if (this.number === 1) this.aboveButton.remove();
    this.input.hidden = true;
    this.input.before(this.tools, this.editor.box);
    this.show("");
  }

  close() {
    for (const node of [this.tools, this.editor.box, this.outputs.box]) node.remove();
    this.input.hidden = false;
    if (this.stored) this.stored.hidden = false;
    this.editor = null;
    delete this.box.dataset.live;
  }

  /* state: "", waiting, running, done or error */
  show(state, count = " ") {
    this.box.dataset.live = state;
    this.mark.textContent = `[${/waiting|running/.test(state) ? "*" : count}]`;
    this.refresh();
  }

  refresh() {
    this.restoreButton.hidden = !this.changed && !this.outputs.box.isConnected;
  }

  /* The page's own code and outputs. */
  restore() {
    if (this.runButton && document.activeElement === this.restoreButton) {
      this.runButton.focus();
    }
    this.editor.area.value = this.code;
    this.editor.color();
    this.outputs.box.remove();
    if (this.stored) this.stored.hidden = false;
    if (!/waiting|running/.test(this.box.dataset.live)) this.show("");
    this.refresh();
  }

  /* Run; return whether it went well, the answer and the seconds it took. */
  async run(kernel) {
    const outputs = this.outputs = (this.outputs.box.remove(), new Outputs(this));
    if (this.stored) this.stored.hidden = true;
    this.box.append(outputs.box);
    this.show("running");
    try {
      const answer = await kernel.execute(this.text, (type, content) => {
        outputs.take(type, content);
      });
      for (const { source, data } of answer.payload || []) {
        if (source === "page") outputs.take("display_data", { data }); // help, as of len?
      }
      this.show(answer.status === "ok" ? "done" : "error", answer.execution_count);
      return answer;
    } catch (trouble) {
      this.show("error");
      throw trouble;
    }
  }

  /* Unfold what the cell may lie in. */
  reveal() {
    const folded = this.box.closest(".toggle-hidden");
    const button = folded && folded.querySelector("button.toggle-button");
    if (button) button.click();
    const details = this.box.closest("details");
    if (details) details.open = true;
    this.box.scrollIntoView({ block: "nearest" });
  }
}

/* ---- The page ---- */

class Page {
  constructor(heading, boxes) {
    this.cells = boxes.map((box, index) => new Cell(box, index + 1, this));
    this.queue = [];
    const button = (words, action, title) => element("button", {
      type: "button", title, onclick: action,
    }, words);
    this.startButton = button("Run this page’s code", () => this.open(),
      "Start a kernel for this page");
    this.startButton.className = "live-start";
    this.buttons = element("div", { class: "live-buttons", hidden: "" },
      button("Run all", () => this.run(this.cells), "Run every cell from the top"),
      this.stopButton = button("Interrupt", () => this.interrupt(),
        "Stop the cell that is running"),
      button("Restart", () => this.restart(), "Forget all variables"),
      button("Restore", () => this.restore(),
        "Show the page’s own code and outputs again"),
      button("End", () => this.close(), "End the kernel and show the page as it was"));
    this.status = element("p", { class: "live-status", role: "status" },
      "Edit the cells and run them on this computer.");
    this.message = element("p", { class: "live-message", role: "alert", hidden: "" });
    this.keys = element("p", { class: "live-keys", id: "live-keys", hidden: "" },
      "In a cell, Shift+Enter runs it and goes to the next, Ctrl+Enter runs it and " +
      "stays, Tab indents, Escape leaves the editor.");
    this.bar = element("div", {
      class: "live-bar", role: "group", "aria-label": "Run this page",
    }, this.startButton, this.buttons, this.status);
    heading.after(this.bar, this.message, this.keys);
    window.addEventListener("pagehide", () => this.leave());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted && !this.buttons.hidden) this.trouble(LEFT, true);
    });
    window.addEventListener("beforeunload", (event) => {
      if (this.cells.some((cell) => cell.changed)) event.preventDefault();
    });
  }

  say(words) {
    this.status.textContent = words;
  }

  warn(words) {
    this.message.hidden = !words;
    this.message.textContent = words;
  }

  async open() {
    this.startButton.disabled = true;
    try {
      await this.connect();
    } catch (trouble) {
      this.say("");
      this.warn(trouble.message);
      return;
    } finally {
      this.startButton.disabled = false;
    }
    for (const cell of this.cells) cell.open();
    document.documentElement.dataset.live = "";
    this.startButton.hidden = true;
    this.buttons.hidden = this.keys.hidden = false;
    this.buttons.querySelector("button").focus();
    this.say(`Ready: ${this.cells.length} cells.`);
  }

  /* Have a kernel: the one there is, or a new one. */
  connect() {
    if (!this.kernel) {
      this.say("Starting a kernel …");
      this.warn("");
      const kernel = new Kernel((words, lost) => this.trouble(words, lost));
      const started = kernel.start().then(() => kernel, (trouble) => {
        if (this.kernel === started) this.kernel = null;
        throw trouble;
      });
      this.kernel = started;
    }
    return this.kernel;
  }

  async close() {
    if (this.cells.some((cell) => cell.changed)
        && !confirm("Your changes to this page will be lost. End it?")) return;
    this.stop();
    this.leave();
    for (const cell of this.cells) cell.close();
    delete document.documentElement.dataset.live;
    this.startButton.hidden = false;
    this.buttons.hidden = this.keys.hidden = true;
    this.warn("");
    this.say("The kernel was ended. This is the page as it was.");
    this.startButton.focus();
  }

  /* Let the kernel go, which also happens as the page is left. */
  leave() {
    const kernel = this.kernel;
    this.kernel = null;
    if (kernel) kernel.then((kernel) => kernel.end(), () => {});
  }

  trouble(words, lost) {
    if (lost) this.kernel = null;
    this.stop();
    this.say(lost ? "No kernel." : "Ready.");
    this.warn(words);
    for (const cell of this.cells) if (cell.editor) cell.show("");
  }

  /* Run cells one after the other, up to the first that fails. */
  async run(cells) {
    for (const cell of cells) {
      if (this.queue.includes(cell) || this.running === cell) continue;
      this.queue.push(cell);
      cell.show("waiting");
    }
    if (this.busy) return;
    this.busy = true;
    const begin = performance.now();
    let count = 0, cell = null;
    try {
      const kernel = await this.connect();
      while ((cell = this.running = this.queue.shift())) {
        this.say(`Running cell ${cell.number} of ${this.cells.length} …`);
        const answer = await cell.run(kernel);
        if (answer.status !== "ok") {
          this.say(`Cell ${cell.number} stopped with ${answer.ename}.`);
          cell.reveal();
          break;
        }
        count += 1;
        const seconds = ((performance.now() - begin) / 1000).toFixed(1);
        this.say(count === 1 ? `Cell ${cell.number} is done, in ${seconds} s.`
          : `${count} cells are done, in ${seconds} s.`);
      }
    } catch (trouble) {
      if (!(trouble instanceof Trouble)) throw trouble;
      if (this.message.hidden && !this.restarting) this.warn(trouble.message);
      if (!cell) this.say("No kernel.");
    } finally {
      this.busy = false;
      this.running = null;
      this.stop();
    }
  }

  runAbove(cell) {
    this.run(this.cells.slice(0, cell.number - 1));
  }

  /* Forget what waits to be run. */
  stop() {
    for (const cell of this.queue.splice(0)) if (cell.editor) cell.show("");
  }

  async interrupt() {
    this.stop();
    if (!this.running || !this.kernel) {
      this.say("Nothing is running.");
      return;
    }
    const cell = this.running;
    await this.kernel.then((kernel) => kernel.interrupt()).catch(
      (trouble) => this.warn(trouble.message));
    setTimeout(() => {
      if (this.running === cell) this.say("Still running. Restart would end it.");
    }, 5000);
  }

  async restart() {
    this.stop();
    this.warn("");
    this.say("Restarting the kernel …");
    this.restarting = true;
    try {
      const kernel = await this.connect();
      await kernel.restart();
      for (const cell of this.cells) cell.show("");
      this.say("The kernel is new: run the cells from the top.");
    } catch (trouble) {
      this.warn(trouble.message);
    } finally {
      this.restarting = false;
    }
  }

  restore() {
    const edited = this.cells.filter((cell) => cell.changed).length;
    if (edited && !confirm(`Your changes to ${edited} cells will be lost. Restore?`)) return;
    for (const cell of this.cells) cell.restore();
    this.say("These are the page’s own code and outputs.");
  }

  focusAfter(cell) {
    const shown = this.cells.slice(cell.number).find((next) => next.box.offsetParent);
    if (shown) shown.editor.area.focus();
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const heading = document.querySelector("article h1");
  const boxes = [...document.querySelectorAll("article div.cell")].filter(
    (box) => box.querySelector(".cell_input pre"));
  if (heading && boxes.length) new Page(heading, boxes);
});
}());
