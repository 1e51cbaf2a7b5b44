// One queue: how it does, its messages without consuming them, its groups, its settings.

import { follow, rest, retry, search } from "../api.js";
import { chart } from "../charts.js";
import { every, h, latest, place, put } from "../dom.js";
import { filterForm } from "../filters.js";
import { clock, count, duration, instant, line, rate, relative, since } from "../format.js";
import { lacking } from "../session.js";
import { deleteQueue, pauseQueue, purgeQueue, settingsForm } from "../queue_settings.js";
import { act, badge, button, choice, confirm, empty, facts, picking, problemBox, status, table, tabs, tile } from "../widgets.js";

const PARTS = { messages: "Messages", groups: "Groups", settings: "Settings" };
const MOST_POINTS = 300;

export function queue({ main, heading, title, signal, parts, query, fail, onMove }) {
  const name = parts[0];
  let part = null;
  let stop = null;
  let described = null;
  title(name);
  const badges = h("span", { class: "badges" });
  const actions = h("div", { class: "bar wrap" });
  const numbers = [["ready", "ready"], ["delayed", "delayed"], ["in_flight", "in flight"], ["age", "oldest"], ["sent", "sent / s"], ["deleted", "done / s"], ["drain", "drains in"]].map(([key, label]) => ({ key, ...tile(label) }));
  const charts = [
    chart("Throughput per second", [{ label: "sent", kind: "a", of: (point) => point[4] }, { label: "done", kind: "b", of: (point) => point[5] }], rate),
    chart("Messages", [{ label: "ready", kind: "a", of: (point) => point[1] }, { label: "in flight", kind: "b", of: (point) => point[3] }, { label: "delayed", kind: "c", of: (point) => point[2] }], count),
    chart("Age of the oldest", [{ label: "age", kind: "a", of: (point) => point[6] }], duration),
    chart("Latency, 95 of 100 within", [{ label: "waited", kind: "a", of: (point) => point[7] ?? null }, { label: "held", kind: "b", of: (point) => point[8] ?? null }], duration)];
  let past = [[], [], []];
  let wanted = 0;
  const spans = choice([["0", "10 minutes"], ["1", "A day"], ["2", "A week"]], "0", { "aria-label": "Span of the charts", on: { change: () => { wanted = Number(spans.value); drawCharts(); } } });
  const drawCharts = () => charts.forEach((each) => each.update(past[wanted]));
  const drawSettings = (now) => {
    const settings = now.settings;
    if (JSON.stringify(described?.settings) !== JSON.stringify(settings)) {
      put(badges, settings.is_paused ? badge("paused", "warn") : null, settings.is_fifo ? badge("FIFO") : settings.group_order === "strict" ? badge("strict order") : null,
        settings.partitions > 1 ? badge(`${settings.partitions} partitions`) : null, settings.redrive ? h("a", { href: place("dead", settings.redrive.dead_letter_queue) }, "dead letters") : null);
      put(actions, button("By hand", () => { location.hash = place("hand", name); }), button(settings.is_paused ? "Resume" : "Pause", () => pauseQueue(name, !settings.is_paused).then((reply) => reply && drawSettings(reply.queue)), { "data-key": "pause", needs: ["operate", name] }),
        button("Purge…", () => purgeQueue(name), { class: "danger-quiet", needs: ["operate", name] }), button("Delete…", () => deleteQueue(name), { class: "danger-quiet", needs: ["admin", name] }));
    }
    described = now;
  };
  const nav = h("div");
  const content = h("div");
  put(main, h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Queues")), h("div", { class: "bar wrap" }, heading, badges, h("span", { class: "grow" }), actions),
    h("div", { class: "tiles" }, numbers.map((each) => each.element)), h("div", { class: "bar" }, h("h2", {}, "Over time"), h("span", { class: "grow" }), spans), h("div", { class: "charts", tabindex: "0", role: "region", "aria-label": "Charts" }, charts.map((each) => each.element)), nav, content);
  const open = (wanted, conditions) => {
    if (wanted === part && !conditions?.size) return;
    part = wanted;
    stop?.abort();
    stop = new AbortController();
    put(nav, tabs(Object.entries(PARTS).map(([key, text]) => [place("queue", name, key), text]), PARTS[part]));
    const view = { messages: showMessages, groups: showGroups, settings: showSettings }[part];
    const mine = AbortSignal.any([stop.signal, signal]);
    const draw = () => view(name, content, mine, conditions, () => described).catch((problem) => {
      if (mine.aborted) return;
      put(content, problemBox(problem));
      retry(problem, mine, draw);
    });
    draw();
  };
  onMove((moved, conditions) => {
    if (moved[0] !== name) return false;
    open(PARTS[moved[1]] ? moved[1] : "messages", conditions);
    return true;
  });
  follow("queue", { queue: name }, signal, {
    history: (said) => { past = said; drawCharts(); },
    queue: ({ queue: now, point }) => {
      const [at, ready, delayed, inFlight, sent, deleted, age] = point;
      if (past[0].at(-1)?.[0] !== at) {
        past[0] = [...past[0], point].slice(-MOST_POINTS);
        if (!wanted) drawCharts();
      }
      const faster = deleted - sent;
      const shown = { ready: count(ready), delayed: count(delayed), in_flight: count(inFlight), age: now.oldest_sent_at ? duration(age) : "–", sent: rate(sent), deleted: rate(deleted), drain: ready && faster > 0 ? duration(ready / faster) : ready && faster < 0 ? "grows" : "–" };
      for (const each of numbers) each.set(shown[each.key]);
      drawSettings(now);
    },
    problem: (said) => { if (said.code === "queue_not_found") { fail({ message: "This queue is gone.", hint: "Somebody deleted it." }); return true; } return false; },
    refused: fail,
  });
  signal.addEventListener("abort", () => stop?.abort());
  open(PARTS[parts[1]] ? parts[1] : "messages", query);
}

async function showMessages(name, content, signal, conditions, described) {
  let halt = null;
  const chosen = new Set();
  const pages = [0];
  let next = null;
  let shown = [];
  let turns = 0;
  const form = filterForm(() => { pages.length = 1; load(); }, { start: { group_id: conditions?.get("group") } });
  const note = h("span", { class: "muted" });
  const said = h("div");
  const remove = button("Delete selected…", () => confirm({
    title: `Delete ${count(chosen.size)} messages`, about: "Whatever their state; who holds one cannot finish it any more.", action: "Delete",
    work: async () => { await rest.deleteMessages([...chosen], name); chosen.clear(); load(); },
  }), { class: "danger-quiet", needs: ["operate", name] });
  const mark = () => { remove.hidden = !chosen.size; };
  const picks = picking(chosen, ({ message }) => message.message_id, ({ message }) => message.message_id, () => mark(), () => shown);
  const rows = table({
    caption: `Messages of ${name}`, key: ({ message }) => message.message_id,
    columns: [
      picks.column,
      { label: "Sent", isNumber: true, hides: true, text: ({ message }) => clock(message.sent_at), title: ({ message }) => instant(message.sent_at) },
      { label: "State", stamp: ({ message }) => message.state, node: ({ message }) => status(message.state) },
      { label: "Body", node: ({ message, characters }) => h("a", { href: place("message", message.message_id), class: "preview" }, line(message.body, 110) || (characters ? "(blank)" : "(empty)")) },
      { label: "Group", hides: true, text: ({ message }) => (message.group_id ? line(message.group_id, 24) : "–") },
      { label: "Attributes", hides: true, text: ({ message }) => line(Object.entries(message.attributes || {}).map(([key, { string_value }]) => `${key}=${string_value ?? "(binary)"}`).join(" "), 40) || "–" },
      { label: "Received", isNumber: true, hides: true, text: ({ message }) => count(message.receive_count || 0) },
      { label: "Next", isNumber: true, hides: true, text: ({ message }) => (message.state === "ready" ? "now" : relative(message.visible_at)) },
    ],
  });
  const bar = h("div", { class: "bar" });
  put(content, form.element, h("div", { class: "bar steady" }, note, h("span", { class: "grow" }), remove, button("Refresh", () => load(), { class: "link" })), said, rows.element, bar);
  mark();
  async function load() {
    const turn = ++turns;
    halt?.abort();
    halt = new AbortController();
    const mine = AbortSignal.any([halt.signal, signal]);
    const query = { queue: name, limit: 50, after: pages.at(-1), ...form.conditions() };
    let answer = { messages: [], next_after: query.after };
    try {
      answer = await search("messages", query, mine, ({ messages }) => messages.length, (after) => {
        answer.next_after = after;
        put(note, `Searching: ${Math.min(99, Math.round(after / Math.max(1, described()?.sent_total || 1) * 100))} % looked through `, button("Stop", () => halt.abort(), { class: "link", "data-key": "stop" }));
      });
    } catch (problem) {
      if (signal.aborted || turn !== turns) return;
      if (problem.name !== "AbortError") {
        put(said, problemBox(problem));
        retry(problem, mine, load);
        return;
      }
    }
    if (turn !== turns) return;
    next = answer.next_after ?? null;
    put(said);
    shown = answer.messages;
    rows.update(shown);
    picks.sync();
    mark();
    rows.element.hidden = !answer.messages.length;
    const isFiltered = Object.keys(form.conditions()).length > 0;
    put(note, answer.messages.length ? `${count(answer.messages.length)} on this page, looked at ${clock(Date.now())}; looking takes nothing` : "");
    if (!answer.messages.length) put(said, next ? empty("None so far", "None of those looked through matches; there are more to look through.") : empty(isFiltered ? "No message matches" : pages.length > 1 ? "No more messages" : "No messages", isFiltered ? "Change the conditions to see others." : "Send one by hand, or wait for a producer."));
    put(bar, button("Previous", () => { pages.pop(); load(); }, { disabled: pages.length < 2, "data-key": "previous" }), button(answer.messages.length ? "Next" : "Look further", () => { pages.push(next); load(); }, { disabled: next === null, "data-key": "next" }));
    bar.hidden = pages.length < 2 && next === null;
  }
  return load();
}

const NO_GROUPS = { "": ["No groups", "Messages that were sent with a group appear here while they wait."], parked: ["No group is parked", "A parked group keeps its messages until it is let go on."],
  blocked: ["No group is blocked", "In a queue of strict order, messages wait behind one of their group that is in flight or is tried again later."] };

async function showGroups(name, content, signal) {
  const asked = { queue: name, after: "", limit: 100, kind: "" };
  const rows = table({
    caption: `Groups of ${name}`, stacks: true, key: ({ group }) => group.group_id,
    columns: [
      { label: "Group", node: ({ group }) => h("a", { href: `${place("queue", name, "messages")}?group=${encodeURIComponent(group.group_id)}` }, line(group.group_id, 60)) },
      { label: "Waiting", isNumber: true, text: ({ group }) => count(group.waiting) },
      { label: "In flight", isNumber: true, text: ({ group }) => count(group.in_flight) },
      { label: "Next", isLine: true, stamp: ({ group }) => `${group.is_parked} ${group.is_noisy} ${group.ready_at} ${Math.floor(Date.now() / 5000)}`, node: ({ group }) => [group.is_parked ? badge("parked", "warn") : group.ready_at === null ? "–" : group.ready_at <= Date.now() ? (group.in_flight ? "when its turn comes" : "now") : `${relative(group.ready_at)} at the latest`, " ", group.is_noisy ? badge("noisy") : null] },
      { label: "Held up by", stamp: ({ head }) => JSON.stringify(head && [head.job_id, head.status, head.record?.failure]), node: ({ head }) => (head ? [h("a", { href: place(head.task ? "job" : "message", head.job_id) }, line(head.task || head.message.message.body, 40) || "(empty)"), " ", status(head.task ? head.status : head.message.message.state), head.record?.failure ? h("span", { class: "muted" }, ` ${line(head.record.failure.kind || "", 30)}`) : null] : "–") },
      { name: "Actions", stamp: ({ group }) => `${group.is_parked}`, node: ({ group }) => button(group.is_parked ? "Unpark" : "Park", async () => { await act(() => rest.updateGroup(name, group.group_id, !group.is_parked), group.is_parked ? "It goes on." : "Nothing of it is received until it is unparked."); load(); }, { "aria-label": `${group.is_parked ? "Unpark" : "Park"} ${group.group_id}`, "data-key": `park-${group.group_id}`, needs: ["operate", name] }) },
    ],
  });
  const said = h("div");
  const bar = h("div", { class: "bar" });
  const kinds = choice([["", "All groups"], ["blocked", "Blocked"], ["parked", "Parked"]], "", { "aria-label": "Which groups", on: { change: () => { asked.kind = kinds.value; asked.after = ""; load(); } } });
  put(content, h("div", { class: "bar spaced" }, kinds), said, rows.element, bar);
  const load = latest(signal, async (mine) => {
    const answer = await search("groups", asked, mine, ({ groups }) => groups.length, () => {});
    rows.update(answer.groups);
    rows.element.hidden = !answer.groups.length;
    put(said, answer.groups.length ? [] : empty(...NO_GROUPS[asked.kind]));
    const next = answer.next_after ?? null;
    put(bar, button("First", () => { asked.after = ""; load(); }, { disabled: !asked.after, "data-key": "first" }), button("Next", () => { asked.after = next; load(); }, { disabled: next === null, "data-key": "next" }));
    bar.hidden = !asked.after && next === null;
  });
  return every(3000, signal, load);
}

async function showSettings(name, content, signal) {
  const { queue: described } = await rest.describeQueue(name, signal);
  const form = settingsForm(described.settings);
  const said = h("div");
  put(content, h("form", { on: { submit: async (event) => {
    event.preventDefault();
    put(said);
    try {
      await rest.updateQueue(name, form.changes());
      await act(async () => true, "Saved.");
      showSettings(name, content, signal);
    } catch (problem) {
      put(said, problemBox(problem));
    }
  } } }, form.element, said, h("div", { class: "actions" }, h("button", { class: "primary", disabled: Boolean(lacking(["admin", name])), title: lacking(["admin", name]) || null }, "Save"))),
    facts([["Created", instant(described.created_at)], ["Changed", instant(described.modified_at)], ["Purged", described.purged_at ? instant(described.purged_at) : null],
      ["Order", described.settings.is_fifo ? "FIFO" : described.settings.group_order],
      ["Partitions", described.settings.partitions > 1 ? `${described.settings.partitions}, by ${described.settings.partitioner}` : null], ["Sent ever", count(described.sent_total)], ["Received ever", count(described.received_total)], ["Deleted ever", count(described.deleted_total)], ["Oldest message", described.oldest_sent_at ? `${since(described.oldest_sent_at)} old` : null]]));
}
