// Dead letters: why they died, and back with some or all of them, at a rate.

import { first, look, rest, retry } from "../api.js";
import { every, h, latest, place, put } from "../dom.js";
import { filterForm } from "../filters.js";
import { clock, count, instant, line, relative } from "../format.js";
import { act, badge, button, choice, confirm, empty, field, notice, openForm, picking, problemBox, status, table } from "../widgets.js";
import { resend } from "./message.js";

export async function deadLetters(view) {
  return view.parts[0] ? one(view) : all(view);
}

async function all({ main, heading, title, signal }) {
  title("Dead letters");
  const rows = table({
    caption: "Dead-letter queues", key: ({ queue }) => queue.name,
    columns: [
      { label: "Dead-letter queue", node: ({ queue }) => h("a", { href: place("dead", queue.name), class: "name" }, queue.name) },
      { label: "Dead letters", isNumber: true, text: ({ queue }) => count(queue.ready + queue.delayed) },
      { label: "In flight", isNumber: true, text: ({ queue }) => count(queue.in_flight) },
      { label: "Oldest", isNumber: true, text: ({ queue }) => (queue.oldest_sent_at ? relative(queue.oldest_sent_at) : "–") },
    ],
  });
  const none = h("div");
  put(main, heading, h("p", { class: "muted" }, "Queues that take what other queues could not get rid of."), rows.element, none);
  return every(5000, signal, async () => {
    const said = await first("overview", { kind: "dead", sort: "ready", is_descending: true, limit: 200 }, "overview");
    rows.update(said.rows);
    rows.element.hidden = !said.rows.length;
    put(none, said.rows.length ? [] : empty("No dead-letter queues", "A queue gets one in its settings: messages that are received too often then go there instead of round and round."));
  });
}

async function one({ main, heading, title, signal, parts }) {
  const name = parts[0];
  title(`Dead letters in ${name}`);
  const chosen = new Set();
  let causes = [];
  const form = filterForm(() => { chosen.clear(); load(); }, { hasState: false });
  const note = h("p", { class: "muted" });
  const said = h("div");
  const picks = picking(chosen, (cause) => cause.cause, (cause) => `${cause.kind || "no reason"} in ${cause.place}`, () => drawActions());
  const rows = table({
    caption: "Causes", stacks: true, key: (cause) => cause.cause,
    columns: [
      picks.column,
      { label: "Cause", stamp: (cause) => cause.message, node: (cause) => [h("strong", {}, cause.kind || "Received too often"), h("div", { class: "muted" }, cause.message ? line(cause.message, 120) : `each up to ${cause.receive_count} times without being deleted`)] },
      { label: "Where", text: (cause) => line(cause.place, 50) || "–" },
      { label: "Count", isNumber: true, text: (cause) => count(cause.count) },
      { label: "Tasks", hides: true, text: (cause) => line(cause.tasks.join(", "), 40) || "–" },
      { label: "From", hides: true, text: (cause) => cause.sources.join(", ") || "–" },
      { label: "Latest sent", isNumber: true, text: (cause) => relative(cause.last_sent_at) },
      { name: "Example", stamp: (cause) => cause.message_ids[0], node: (cause) => h("a", { href: place("message", cause.message_ids[0]) }, "example") },
    ],
  });
  const actions = h("div", { class: "bar wrap" });
  const moves = h("div");
  const moveRows = table({
    caption: "Moves", stacks: true, key: (move) => move.move_id,
    columns: [
      { label: "Begins", isNumber: true, text: (move) => (isPending(move) ? relative(move.started_at) : move.started_at > Date.now() ? "–" : clock(move.started_at)), title: (move) => instant(move.started_at) },
      { label: "To", text: (move) => move.target || "where each came from" },
      { label: "Status", stamp: (move) => isPending(move) + move.status + (move.failure || ""), node: (move) => [status(isPending(move) ? "waiting" : move.status), move.failure ? ` ${line(move.failure, 80)}` : null] },
      { label: "Moved", isNumber: true, text: (move) => count(move.moved_count || 0) },
      { label: "Rate", isNumber: true, text: (move) => (move.rate_per_second ? `${move.rate_per_second} / s` : "as fast as it goes") },
      { name: "Actions", stamp: (move) => isPending(move) + move.status, node: (move) => (move.status !== "running" ? null
        : button(isPending(move) ? "Undo" : "Stop", () => act(() => rest.cancelMove(move.move_id), ({ move: now }) => (now.moved_count ? `Stopped; the ${count(now.moved_count)} that were moved stay moved.` : "Undone; nothing was moved.")).then(loadMoves), { "data-key": move.move_id, needs: ["operate"] })) },
    ],
  });
  put(main, h("p", { class: "crumbs" }, h("a", { href: place("dead") }, "Dead letters")), h("div", { class: "bar wrap" }, heading, h("span", { class: "grow" }), h("a", { href: place("queue", name) }, "As a queue")), form.element, note, actions, rows.element, said, h("h2", {}, "Moves"), moves, moveRows.element);
  // What is chosen, as conditions of a move: causes name their messages, which a filter cannot tell apart.
  const isPending = (move) => move.status === "running" && !move.moved_count && move.started_at > Date.now();
  const wanted = () => {
    const conditions = form.conditions();
    if (chosen.size) conditions.message_ids = causes.filter((cause) => chosen.has(cause.cause)).flatMap((cause) => cause.message_ids);
    return Object.keys(conditions).length ? conditions : null;
  };
  const chosenText = () => (chosen.size ? ((number) => `${count(number)} ${number === 1 ? "message" : "messages"}`)(wanted().message_ids.length) : Object.keys(form.conditions()).length ? "all that match" : "all");
  const drawActions = () => put(actions,
    button(`Redrive ${chosenText()}…`, redrive, { class: "primary", "data-key": "redrive", disabled: !causes.length, needs: ["operate", name] }), button("Dry run", dryRun, { "data-key": "dry" , disabled: !causes.length }),
    chosen.size === 1 ? button("Edit one…", editOne, { "data-key": "edit", needs: ["operate", name] }) : null,
    chosen.size ? button("Delete them…", remove, { class: "danger-quiet", "data-key": "remove", needs: ["operate", name] }) : null);
  async function tally() {
    if (chosen.size) return wanted().message_ids.length;
    let after = 0;
    let total = 0;
    while (after !== null) {
      const part = await look("count", { queue: name, after, ...form.conditions() }, signal);
      total += part.count;
      after = part.next_after ?? null;
      notice(`${count(total)} so far`);
    }
    return total;
  }
  const dryRun = () => act(tally, (total) => `${count(total)} messages would be moved; nothing was.`);
  async function redrive() {
    const target = h("input", { placeholder: "where each came from", spellcheck: "false" });
    const rate = h("input", { type: "number", min: "1", placeholder: "as fast as it goes" });
    const keeps = h("input", { type: "checkbox", checked: true });
    const wait = choice([["0", "At once"], ["10", "In 10 s"], ["60", "In a minute"], ["600", "In 10 minutes"]], "10");
    await openForm({
      title: `Redrive ${chosenText()}`, action: "Redrive", about: "They go back to be received again. Until it begins, a redrive can be undone; while it runs, it can be stopped.",
      fields: [h("div", { class: "grid" }, field("To the queue", target), field("Messages per second", rate), field("Begins", wait)), h("div", { class: "field check" }, h("label", {}, keeps, " They keep their ids, as jobs must"))],
      work: async () => {
        const asked = { source: name, keeps_ids: keeps.checked, delay_seconds: Number(wait.value) };
        if (target.value.trim()) asked.target = target.value.trim();
        if (rate.value) asked.rate_per_second = Number(rate.value);
        const filter = wanted();
        if (filter) asked.filter = filter;
        await rest.startMove(asked);
        chosen.clear();
        await Promise.all([load(), loadMoves()]);
      },
    });
  }
  async function editOne() {
    const cause = causes.find((each) => chosen.has(each.cause));
    const found = cause && await act(() => rest.findMessage(cause.message_ids[0], signal));
    if (found) resend(found, { title: "Edit and send back", target: found.dead_letter_source || name });
  }
  const remove = () => confirm({
    title: `Delete ${chosenText()}`, about: "They are forgotten for good.", action: "Delete",
    work: async () => {
      const ids = wanted().message_ids;
      for (let start = 0; start < ids.length; start += 500) await rest.deleteMessages(ids.slice(start, start + 500));
      chosen.clear();
      await load();
    },
  });
  const load = latest(signal, async (mine) => {
    try {
      const answer = await look("causes", { queue: name, ...form.conditions() }, mine);
      causes = answer.causes;
      rows.update(causes);
      picks.sync();
      rows.element.hidden = !causes.length;
      put(note, answer.next_after ? `By cause, of the first ${count(answer.looked_at)}; a redrive of all takes the others, too.` : `${count(answer.looked_at)} dead letters by cause.`);
      put(said, causes.length ? [] : empty("No dead letters", "Nothing here, or nothing that matches."));
    } catch (problem) {
      if (mine.aborted) return;
      put(said, problemBox(problem));
      retry(problem, signal, load);
    }
    drawActions();
  });
  drawActions();
  await load();
  const loadMoves = latest(signal, async (mine) => {
    const before = moves.dataset.running;
    const answer = await rest.listMoves(name, mine);
    moveRows.update(answer.moves);
    moveRows.element.hidden = !answer.moves.length;
    put(moves, answer.moves.length ? [] : h("p", { class: "muted" }, "No moves yet."));
    moves.dataset.running = String(answer.moves.some((move) => move.status === "running"));
    if (before === "true" && moves.dataset.running === "false") load();
  });
  return every(2000, signal, loadMoves);
}
