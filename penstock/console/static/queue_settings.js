// The settings of a queue as a form, and what can be done with a queue as a whole.

import { rest } from "./api.js";
import { h, place } from "./dom.js";
import { count } from "./format.js";
import { act, button, choice, confirmByName, field, openForm } from "./widgets.js";

const SECONDS = [["visibility_timeout_seconds", "Visibility timeout (s)", "How long a lease lasts unless a receive says otherwise."], ["delay_seconds", "Delay (s)", "Of messages that name none."],
  ["retention_seconds", "Retention (s)", "Messages are forgotten so long after they were sent."], ["receive_wait_seconds", "Long poll (s)", "Of receives that name none."],
  ["max_message_bytes", "Largest message (bytes)", ""], ["deduplication_window_seconds", "Deduplication window (s)", ""]];
const LIMITS = [["max_in_flight", "Most in flight"], ["group_max_in_flight", "Most in flight of a group"]];
const DEFAULTS = { visibility_timeout_seconds: 30, delay_seconds: 0, retention_seconds: 345600, receive_wait_seconds: 0, max_message_bytes: 1048576, deduplication_window_seconds: 300,
  max_in_flight: null, group_max_in_flight: null, group_order: "fair", redelivery: "first", history: "off", is_fifo: false, content_based_deduplication: false, is_paused: false, redrive: null, tags: {}, edge_attributes: {} };

// A form of all settings; changes() tells only what is another than it was. settings: null for a queue to be made.
export function settingsForm(settings) {
  const was = settings || DEFAULTS;
  const number = (value) => h("input", { type: "number", min: "0", step: "any", value: value ?? "" });
  const seconds = SECONDS.map(([key, label, hint]) => ({ key, label, hint, input: number(was[key]) }));
  const limits = LIMITS.map(([key, label]) => ({ key, label, input: h("input", { type: "number", min: "1", placeholder: "no limit", value: was[key] ?? "" }) }));
  const deadQueue = h("input", { value: was.redrive?.dead_letter_queue || "", placeholder: "none", spellcheck: "false" });
  const deliveries = h("input", { type: "number", min: "1", max: "1000", value: was.redrive?.max_receive_count ?? 5 });
  const partitions = h("input", { type: "number", min: "1", max: "64", value: "1" });
  const partitioner = h("input", { value: "hash", spellcheck: "false" });
  const kind = choice([["standard", "Standard"], ["strict", "Strict groups"], ["fifo", "FIFO, as in SQS"]], "standard");
  const redelivery = choice([["first", "First, before new ones"], ["last", "Last, behind all"]], was.redelivery);
  const history = choice([["off", "Nothing"], ["errors", "What went wrong"], ["all", "Everything"]], was.history);
  const byContent = h("input", { type: "checkbox", checked: was.content_based_deduplication });
  const tags = h("textarea", { rows: "5", spellcheck: "false", placeholder: "team = billing" }, Object.entries(was.tags).map(([key, value]) => `${key} = ${value}`).join("\n"));
  const policy = h("textarea", { rows: "5", class: "mono", spellcheck: "false", placeholder: "none" }, was.edge_attributes?.Policy || "");
  const element = h("div", {},
    h("div", { class: "grid" },
      settings ? null : [field("Kind", kind, "Strict groups keep their order. It cannot be changed later."), field("Partitions", partitions, "Of how many parts it is made. Cannot be changed later.")],
      seconds.slice(0, 3).map(({ label, hint, input }) => field(label, input, hint)),
      field("Dead-letter queue", deadQueue, "Takes messages that were received too often; it must exist."), field("Deliveries before that", deliveries)),
    h("details", { open: settings !== null }, h("summary", {}, "More settings"), h("div", { class: "grid" },
      seconds.slice(3).map(({ label, hint, input }) => field(label, input, hint)), limits.map(({ label, input }) => field(label, input)),
      field("A failed delivery comes back", redelivery), field("History keeps", history, "The life of each message, as its page shows it."),
      settings ? null : field("Partitioner", partitioner, "Which groups are in which partition: hash, or qugo:4 for integers."),
      h("div", { class: "field check" }, h("label", {}, byContent, " Deduplicate by content"))),
    h("div", { class: "halves" }, field("Tags", tags, "A line each: name = value."), field("Access policy (JSON)", policy, "As in SQS: who else may do what."))));
  const changes = () => {
    const named = {};
    const set = (key, value) => { if (JSON.stringify(value) !== JSON.stringify(was[key])) named[key] = value; };
    for (const { key, input, label } of seconds) {
      if (input.value === "" || !input.checkValidity()) throw new Error(`${label} must be a number.`);
      set(key, Number(input.value));
    }
    for (const { key, input } of limits) set(key, input.value === "" ? null : Number(input.value));
    if (!settings && kind.value === "fifo") named.is_fifo = true;
    if (!settings && kind.value === "strict") named.group_order = "strict";
    if (!settings && Number(partitions.value) > 1) Object.assign(named, { partitions: Number(partitions.value), partitioner: partitioner.value.trim() });
    set("redrive", deadQueue.value.trim() ? { dead_letter_queue: deadQueue.value.trim(), max_receive_count: Number(deliveries.value) } : null);
    set("redelivery", redelivery.value);
    set("history", history.value);
    set("content_based_deduplication", byContent.checked);
    const said = Object.fromEntries(tags.value.split("\n").filter((each) => each.trim()).map((each) => {
      const at = each.indexOf("=");
      if (at < 1) throw new Error("A tag is written name = value.");
      return [each.slice(0, at).trim(), each.slice(at + 1).trim()];
    }));
    const gone = Object.fromEntries(Object.keys(was.tags).filter((key) => !Object.hasOwn(said, key)).map((key) => [key, null]));
    const tagChanges = { ...Object.fromEntries(Object.entries(said).filter(([key, value]) => was.tags[key] !== value)), ...gone };
    if (Object.keys(tagChanges).length) named.tags = tagChanges;
    const wanted = policy.value.trim();
    if (wanted !== (was.edge_attributes?.Policy || "").trim()) {
      if (wanted) JSON.parse(wanted);
      named.edge_attributes = { Policy: wanted || null };
    }
    return named;
  };
  return { element, changes };
}

// Change a queue's settings in a dialog.
export async function editQueue(name, done) {
  const described = await act(() => rest.describeQueue(name));
  if (!described) return;
  const form = settingsForm(described.queue.settings);
  await openForm({ title: `Settings of ${name}`, action: "Save", isWide: true, fields: [form.element], work: () => rest.updateQueue(name, form.changes()) }) && done?.();
}

export const pauseQueue = (name, isPaused) => act(() => rest.updateQueue(name, { is_paused: isPaused }), isPaused ? `${name} is paused: receives answer nothing, sends go on.` : `${name} goes on.`);

export const purgeQueue = (name) => confirmByName({ title: `Purge ${name}`, about: "All its messages are forgotten, those in flight too. There is no way back.", name, action: "Purge",
  work: () => rest.purgeQueue(name).then((reply) => { act(async () => reply, `${count(reply.purged_count)} messages of ${name} are gone.`); }) });

export const deleteQueue = (name) => confirmByName({ title: `Delete ${name}`, about: "The queue and all its messages are forgotten. There is no way back.", name, action: "Delete",
  work: async () => {
    await rest.deleteQueue(name);
    location.hash = "#/";
  } });

// All of that in a dialog, for a row of a list.
export function queueActions(name, isPaused) {
  const dialog = h("dialog", { class: "menu", "aria-label": `Actions on ${name}` });
  const entry = (text, work, kind = "", right = null) => button(text, () => { dialog.close(); work(); }, { class: kind, needs: right && [right, name] });
  dialog.append(h("p", { class: "name" }, name),
    entry("Open", () => { location.hash = place("queue", name); }), entry("Send and receive by hand", () => { location.hash = place("hand", name); }),
    entry("Edit settings", () => editQueue(name), "", "admin"), entry(isPaused ? "Resume" : "Pause", () => pauseQueue(name, !isPaused), "", "operate"),
    entry("Purge…", () => purgeQueue(name), "bad", "operate"), entry("Delete…", () => deleteQueue(name), "bad", "admin"), entry("Close", () => {}, "link"));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}
