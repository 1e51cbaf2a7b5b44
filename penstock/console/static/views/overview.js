// Every queue: how many messages are where, how fast they come and go, and what can be done with it.

import { follow, rest } from "../api.js";
import { spark } from "../charts.js";
import { h, place, put, say } from "../dom.js";
import { count, duration, rate, since } from "../format.js";
import { queueActions, settingsForm } from "../queue_settings.js";
import { badge, button, choice, empty, openForm, field, table, tile } from "../widgets.js";

const PAGE = 50;
const TYPING_MS = 120;

export function overview({ main, heading, title, signal, fail }) {
  title("Queues");
  const asked = { text: "", sort: "name", is_descending: false, offset: 0, limit: PAGE, kind: "" };
  let stop = null;
  let typing = 0;
  let now = Date.now();
  const tiles = [["queues", "queues"], ["ready", "ready"], ["delayed", "delayed"], ["in_flight", "in flight"], ["dead", "dead", "bad"], ["sent_per_second", "sent / s"], ["deleted_per_second", "done / s"]]
    .map(([key, label, kind]) => ({ key, ...tile(label, kind) }));
  const rows = table({
    caption: "Queues", key: (row) => row.queue.name, sortedBy: asked,
    onSort: (sort) => {
      asked.is_descending = asked.sort === sort ? !asked.is_descending : sort !== "name";
      asked.sort = sort;
      asked.offset = 0;
      rows.drawHead(asked);
      open();
    },
    rowClass: (row) => (row.queue.is_paused ? "paused" : ""),
    columns: [
      { label: "Queue", sort: "name", stamp: ({ queue }) => `${queue.is_paused}${queue.is_away}`, node: ({ queue }) => [
        h("a", { href: place("queue", queue.name), class: "name" }, queue.name), " ",
        queue.is_away ? badge("away", "bad") : null, queue.is_paused ? badge("paused", "warn") : null, queue.is_fifo ? badge("FIFO") : null, queue.takes_dead_letters ? badge("dead letters", "bad") : null] },
      { label: "Ready", sort: "ready", isNumber: true, text: ({ queue }) => count(queue.ready) },
      { label: "Delayed", sort: "delayed", isNumber: true, hides: true, text: ({ queue }) => count(queue.delayed) },
      { label: "In flight", sort: "in_flight", isNumber: true, text: ({ queue }) => count(queue.in_flight) },
      { label: "Dead", sort: "dead", isNumber: true, stamp: ({ queue }) => `${queue.dead}`, node: ({ queue }) => (queue.dead ? h("a", { class: "bad", href: place("dead", queue.dead_letter_queue) }, count(queue.dead)) : count(queue.dead)) },
      { label: "In / s", sort: "sent", isNumber: true, hides: true, text: ({ queue }) => rate(queue.sent_per_second) },
      { label: "Out / s", sort: "deleted", isNumber: true, hides: true, text: ({ queue }) => rate(queue.deleted_per_second) },
      { label: "Oldest", sort: "age", isNumber: true, hides: true, text: ({ queue }) => since(queue.oldest_sent_at, now) },
      { label: "Drains in", sort: "drain", isNumber: true, hides: true, text: ({ queue }) => drain(queue) },
      { label: "Lately", hides: true, stamp: (row) => row.spark.join(), node: (row) => spark(row.spark) },
      { name: "Actions", stamp: ({ queue }) => `${queue.is_paused}`, node: ({ queue }) => button("⋯", () => queueActions(queue.name, queue.is_paused), { class: "icon", "aria-label": `Actions on ${queue.name}`, "aria-haspopup": "dialog" }) },
    ],
  });
  const none = h("div");
  const pages = h("div", { class: "bar" });
  const search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", on: { input: () => { asked.text = search.value; asked.offset = 0; clearTimeout(typing); typing = setTimeout(open, TYPING_MS); } } });
  const kinds = choice([["", "All queues"], ["live", "Without dead-letter queues"], ["dead", "Dead-letter queues"]], "", { "aria-label": "Kind", on: { change: (event) => { asked.kind = event.target.value; asked.offset = 0; open(); } } });
  const create = () => createQueue();
  put(main, h("div", { class: "bar" }, heading, h("span", { class: "grow" }), button("Create queue", create, { class: "primary", needs: ["admin"] })),
    h("div", { class: "tiles" }, tiles.map((each) => each.element)), h("div", { class: "bar" }, search, kinds), rows.element, none, pages);
  const draw = (said) => {
    now = said.at;
    for (const each of tiles) each.set(each.key.endsWith("_second") ? rate(said.totals[each.key]) : count(said.totals[each.key]));
    rows.update(said.rows);
    rows.element.hidden = !said.rows.length;
    if (said.rows.length) put(none);
    else if (said.totals.queues) put(none, empty("No queue matches", "Change the filter to see others."));
    else put(none, empty("No queues yet", "Create one here, or let an AWS SDK, a worker or curl do it.", button("Create queue", create, { class: "primary", needs: ["admin"] })));
    put(pages, said.is_whole ? null : h("span", { class: "muted" }, "Still looking at all the queues…"), said.matching > PAGE ? [
      button("Previous", () => { asked.offset = Math.max(0, asked.offset - PAGE); open(); }, { disabled: asked.offset === 0, "data-key": "previous" }),
      h("span", { class: "muted" }, `${count(asked.offset + 1)}–${count(Math.min(asked.offset + PAGE, said.matching))} of ${count(said.matching)}`),
      button("Next", () => { asked.offset += PAGE; open(); }, { disabled: asked.offset + PAGE >= said.matching, "data-key": "next" })] : []);
  };
  function open() {
    stop?.abort();
    stop = new AbortController();
    follow("overview", asked, AbortSignal.any([stop.signal, signal]), { overview: draw, refused: fail });
  }
  signal.addEventListener("abort", () => { clearTimeout(typing); stop?.abort(); });
  open();
}

function drain(queue) {
  if (!queue.ready) return "–";
  const faster = queue.deleted_per_second - queue.sent_per_second;
  return faster > 0 ? duration(queue.ready / faster) : queue.sent_per_second > 0 && faster < 0 ? "grows" : "–";
}

function createQueue() {
  const name = h("input", { required: true, pattern: "[A-Za-z0-9_.\\-]{1,80}", autocomplete: "off", spellcheck: "false" });
  const settings = settingsForm(null);
  return openForm({
    title: "Create a queue", action: "Create", isWide: true,
    fields: [field("Name", name, "Up to 80 letters, digits, hyphens, underscores and dots."), settings.element],
    work: async () => {
      await rest.createQueue(name.value, settings.changes());
      location.hash = place("queue", name.value);
    },
  });
}
