// Parts that all views use: dialogs, tables, notices, empty states, bodies.

import { h, put, say } from "./dom.js";
import { pretty, size, visible } from "./format.js";
import { lacking } from "./session.js";

const SHOWN_CHARACTERS = 200000;
const COLOURED_CHARACTERS = 60000;

const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });
export const noticeArea = notices;

// A short notice that goes by itself.
export function notice(text, kind = "good") {
  const shown = h("p", { class: `notice ${kind}` }, text);
  notices.append(shown);
  setTimeout(() => shown.remove(), 5000);
}

export const problemText = (problem) => [problem.message, problem.hint].filter(Boolean).join(" ");

export const problemBox = (problem) => h("p", { class: "problem", role: "alert" }, h("strong", {}, problem.message), problem.hint ? ` ${problem.hint}` : "");

export const empty = (title, text, ...more) => h("div", { class: "empty" }, h("h3", {}, title), h("p", {}, text), more);

export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

export const status = (name) => h("span", { class: `status s-${name}` }, name.replace("_", " "));

// A button; `needs`: the right, and the queue, without which it cannot be used and says why.
export function button(text, click, { needs, ...props } = {}) {
  const why = lacking(needs);
  return h("button", { type: "button", ...props, ...(why ? { disabled: true, title: why } : {}), on: { click } }, text);
}

let ids = 0;
export const newId = () => `f${++ids}`;

// A labelled control; the hint is read out with it.
export function field(label, control, hint) {
  control.id ||= newId();
  const about = hint ? h("small", { id: `${control.id}-h`, class: "muted" }, hint) : null;
  if (about) control.setAttribute("aria-describedby", about.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, about);
}

export const choice = (options, selected, props = {}) => h("select", props,
  options.map(([value, text]) => h("option", { value, selected: value === selected }, text)));

// A dialog with a form. work() is called when it is submitted; while it fails the dialog stays, with what was typed.
export function openForm({ title, about, fields = [], action, kind = "primary", work, isWide = false }) {
  return new Promise((resolve) => {
    const said = h("div");
    const submit = h("button", { class: kind }, action);
    const id = newId();
    const dialog = h("dialog", { class: isWide ? "wide" : "", "aria-labelledby": id },
      h("form", { method: "dialog", on: { submit: async (event) => {
        event.preventDefault();
        if (submit.disabled) return;
        submit.disabled = true;
        put(said);
        try {
          const answer = await work();
          dialog.close();
          resolve(answer ?? true);
        } catch (problem) {
          put(said, problemBox(problem));
        } finally {
          submit.disabled = false;
        }
      } } },
        h("h2", { id }, title), about ? h("p", {}, about) : null, fields, said,
        h("div", { class: "actions" }, button("Cancel", () => dialog.close()), submit)));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(null); });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input,textarea,select")?.focus();
  });
}

// The same for what cannot be taken back: a name has to be typed.
export function confirmByName({ title, about, name, action, work }) {
  const typed = h("input", { autocomplete: "off", spellcheck: "false" });
  return openForm({
    title, about, action, kind: "danger",
    fields: [field(`Type ${visible(name)} to confirm`, typed)],
    work: () => {
      if (typed.value !== name) throw new Error("That is not its name.");
      return work();
    },
  });
}

export const confirm = ({ title, about, action, work, kind = "danger" }) => openForm({ title, about, action, kind, work });

// Do something a button asks for, and tell how it went.
export async function act(work, done) {
  try {
    const answer = await work();
    if (done) notice(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (problem) {
    notice(problemText(problem), "bad");
    return undefined;
  }
}

// A table whose rows stay in place while their values change. Columns: { label, text(item) | node(item), isNumber, isLine,
// sort, title(item), hides, head }; `node` is made once a row and again when `stamp(item)` changes; `head` is what stands in
// place of a label. On a phone, the rows of one that `stacks` are cards.
export function table({ columns, key, caption, onSort, sortedBy, rowClass, stacks }) {
  const classes = (column) => ["isNumber", "isLine", "isPick", "hides"].filter((each) => column[each]).map((each) => ({ isNumber: "n", isLine: "line", isPick: "pick", hides: "hides" })[each]).join(" ");
  const body = h("tbody");
  const head = h("tr");
  const known = new Map();
  const drawHead = (by) => put(head, columns.map((column) => {
    const isSorted = by && column.sort === by.sort;
    const props = { scope: "col", class: classes(column),
      "aria-sort": isSorted ? (by.is_descending ? "descending" : "ascending") : null };
    if (!column.sort || !onSort) return h("th", props, column.head || column.label || h("span", { class: "unseen" }, column.name));
    return h("th", props, h("button", { type: "button", class: "sort", "data-key": `sort-${column.sort}`, on: { click: () => onSort(column.sort) } },
      column.label, h("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (by.is_descending ? "↓" : "↑") : "")));
  }));
  drawHead(sortedBy);
  const element = h("table", {}, caption ? h("caption", { class: "unseen" }, caption) : null, h("thead", {}, head), body);
  const update = (items) => {
    const seen = new Set();
    items.forEach((item, place) => {
      const name = key(item);
      seen.add(name);
      let row = known.get(name);
      if (!row) {
        row = { element: h("tr"), stamps: [] };
        row.cells = columns.map((column) => h("td", { class: classes(column), "data-label": column.label || null }));
        row.element.append(...row.cells);
        known.set(name, row);
      }
      if (rowClass) row.element.className = rowClass(item);
      columns.forEach((column, at) => {
        const cell = row.cells[at];
        if (column.node) {
          const stamp = column.stamp ? column.stamp(item) : name;
          if (row.stamps[at] !== stamp) {
            row.stamps[at] = stamp;
            put(cell, column.node(item));
          }
        } else say(cell, column.text(item));
        if (column.title) cell.title = column.title(item);
      });
      if (body.children[place] !== row.element) body.insertBefore(row.element, body.children[place] || null);
    });
    for (const [name, row] of known) {
      if (!seen.has(name)) {
        row.element.remove();
        known.delete(name);
      }
    }
  };
  return { element: h("div", { class: stacks ? "scrolls stacks" : "scrolls", tabindex: "0", role: "region", "aria-label": caption || "table" }, element), update, drawHead };
}

// A column of checkboxes for what is chosen, and how to bring them to a set that something else changed. all() is what is
// shown, for a box that chooses all of it.
export function picking(chosen, key, label, changed, all) {
  const boxes = new Map();
  const whole = all ? h("input", { type: "checkbox", "aria-label": "Select all that are shown", on: { change: () => { for (const item of all()) whole.checked ? chosen.add(key(item)) : chosen.delete(key(item)); sync(); changed(); } } }) : null;
  const node = (item) => {
    const name = key(item);
    const box = h("input", { type: "checkbox", "aria-label": `Select ${label(item)}`, checked: chosen.has(name), on: { change: () => { box.checked ? chosen.add(name) : chosen.delete(name); sync(); changed(); } } });
    boxes.set(name, box);
    return box;
  };
  const sync = () => {
    boxes.forEach((box, name) => { if (box.isConnected) box.checked = chosen.has(name); else boxes.delete(name); });
    if (whole) whole.checked = all().length > 0 && all().every((item) => chosen.has(key(item)));
  };
  return { column: { name: "Select", node, head: whole, isPick: true }, sync };
}

// A text that may be large, JSON or not: shown pretty, as it came on request.
export function bodyBox(text, label = "Body") {
  const laid = text.length <= 2000000 ? pretty(text) : null;
  const shown = h("pre", { class: "code", tabindex: "0", "aria-label": label });
  let isRaw = laid === null;
  let isWhole = false;
  const more = h("p", { class: "muted" });
  const draw = () => {
    const whole = visible(isRaw ? text : laid);
    const part = isWhole ? whole : whole.slice(0, SHOWN_CHARACTERS);
    put(shown, !isRaw && part.length <= COLOURED_CHARACTERS ? coloured(part) : part);
    put(more, part.length < whole.length
      ? [`The first ${size(part.length)} of ${size(whole.length)}. `, button("Show all", () => { isWhole = true; draw(); }, { class: "link" })] : "");
    more.hidden = part.length === whole.length;
  };
  draw();
  const bytes = new TextEncoder().encode(text).length;
  return h("div", {},
    h("div", { class: "bar" }, h("span", { class: "muted" }, `${laid === null ? "Text" : "JSON"}, ${size(bytes)}`), h("span", { class: "grow" }),
      laid === null ? null : button("As it came", (event) => { isRaw = !isRaw; say(event.target, isRaw ? "Laid out" : "As it came"); draw(); }, { class: "link" }),
      button("Copy", () => act(() => navigator.clipboard.writeText(text), "Copied."), { class: "link" })),
    shown, more);
}

export const jsonBox = (value, label) => bodyBox(typeof value === "string" ? value : JSON.stringify(value), label);

function coloured(text) {
  const parts = [];
  let last = 0;
  for (const match of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g)) {
    parts.push(text.slice(last, match.index));
    const kind = match[1] ? (match[2] ? "k" : "t") : "v";
    const token = match[1] || match[0];
    parts.push(h("span", { class: kind }, token));
    last = match.index + token.length;
  }
  parts.push(text.slice(last));
  return parts;
}

// Pairs of a name and a value.
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

// A figure and what it is of; of a kind only where it is not 0.
export const tile = (label, kind = "") => {
  const value = h("strong", {}, "–");
  const element = h("div", { class: "tile" }, value, h("span", {}, label));
  const set = (text) => {
    say(value, text);
    if (kind) element.classList.toggle(kind, text !== "0");
  };
  return { element, set };
};

export const tabs = (entries, current) => h("nav", { class: "tabs", "aria-label": "Parts" },
  entries.map(([href, text]) => h("a", { href, "aria-current": text === current ? "page" : null, "data-key": `tab-${text}` }, text)));
