// Schedules: when each comes next; make, edit, pause, resume, trigger, remove.

import { look, Problem, rest } from "../api.js";
import { every, h, latest, place, put, say } from "../dom.js";
import { duration, encode, instant, line, parse, relative, valueOf, visible } from "../format.js";
import { act, badge, button, choice, confirm, empty, field, openForm, table } from "../widgets.js";

const PREVIEW_PAUSE_MS = 250;

export function schedules({ main, heading, title, signal }) {
  title("Schedules");
  const rows = table({
    caption: "Schedules", stacks: true, key: ({ kept }) => kept.name,
    columns: [
      { label: "Schedule", stamp: ({ kept }) => `${kept.is_paused}`, node: ({ kept }) => [h("span", { class: "name" }, line(String(kept.name), 60)), " ", kept.is_paused ? badge("paused", "warn") : null, kept.home === undefined || kept.home === null ? null : badge("from code")] },
      { label: "Task", text: ({ kept }) => line(String(kept.rule.task), 50) },
      { label: "When", isLine: true, text: ({ kept: { rule } }) => (rule.cron ? line(`${rule.cron} ${rule.zone || "UTC"}`, 60) : `every ${duration(rule.every_seconds)}`) },
      { label: "Next", isLine: true, text: ({ kept, upcoming }) => (kept.is_paused ? "–" : upcoming.map((at) => relative(at)).join(", ")), title: ({ upcoming }) => upcoming.map(instant).join("\n") },
      { label: "Last", isLine: true, stamp: ({ kept }) => `${kept.last_job_id} ${Math.floor(Date.now() / 5000)}`, node: ({ kept }) => (kept.last_job_id ? h("a", { href: place("job", kept.last_job_id) }, relative(kept.last_at)) : "–") },
      { label: "Queue", hides: true, text: ({ kept }) => kept.rule.queue || "default" },
      { name: "Actions", stamp: ({ kept }) => JSON.stringify([kept.is_paused, kept.rule]), node: ({ kept }) => h("div", { class: "bar" },
        button(kept.is_paused ? "Resume" : "Pause", () => act(() => pause(kept.name, !kept.is_paused), kept.is_paused ? "It goes on with its next run." : "Nothing is sent until it is resumed.").then(load), { "aria-label": `${kept.is_paused ? "Resume" : "Pause"} ${kept.name}`, "data-key": `pause-${kept.name}`, needs: ["operate"] }),
        button("Trigger", () => act(() => trigger(kept), "A job is sent; the next runs stay what they are.").then((sent) => { if (sent) location.hash = place("job", sent); }), { "aria-label": `Trigger ${kept.name}`, needs: ["operate"] }),
        button("Edit", () => edit(kept).then(load), { "aria-label": `Edit ${kept.name}`, needs: ["operate"] }),
        button("Remove…", () => confirm({ title: `Remove ${line(String(kept.name), 60)}`, action: "Remove", about: kept.home ? "Jobs that were sent stay. Its app declares it in its code: it comes back when a worker starts." : "Jobs that were sent stay.", work: () => rest.deleteRecords([`schedule/${kept.name}`]) }).then(load), { class: "danger-quiet", "aria-label": `Remove ${kept.name}`, needs: ["operate"] })) },
    ],
  });
  const said = h("div");
  const bar = h("div", { class: "bar" });
  const pages = [""];
  put(main, h("div", { class: "bar" }, heading, h("span", { class: "grow" }), button("Create schedule", () => edit(null).then(load), { class: "primary", needs: ["operate"] })), rows.element, said, bar);
  const load = latest(signal, async (mine) => {
    const { schedules: all, next_after: next } = await look("schedules", { after: pages.at(-1) }, mine);
    all.sort((one, other) => Boolean(one.kept.is_paused) - Boolean(other.kept.is_paused) || one.upcoming[0] - other.upcoming[0]);
    rows.update(all);
    rows.element.hidden = !all.length;
    put(said, all.length ? [] : empty("No schedules", "Create one here, or declare it in the code of an app: workers write it down when they start."));
    put(bar, button("Previous", () => { pages.pop(); load(); }, { disabled: pages.length < 2, "data-key": "previous" }), button("Next", () => { pages.push(next); load(); }, { disabled: !next, "data-key": "next" }));
    bar.hidden = pages.length < 2 && !next;
  });
  return every(2000, signal, load);
}

// Make a schedule, or change one; its next runs are shown while somebody writes.
function edit(kept) {
  const rule = kept?.rule || {};
  const text = (value, props = {}) => h("input", { value: value ?? "", spellcheck: "false", autocomplete: "off", ...props });
  const name = text(kept?.name, { required: true, disabled: Boolean(kept) });
  const task = text(rule.task, { required: true });
  const args = h("textarea", { rows: "3", class: "mono", spellcheck: "false" }, JSON.stringify(rule.args || {}));
  const kind = choice([["cron", "Cron notation"], ["every", "Interval"]], rule.every_seconds ? "every" : "cron");
  const cron = text(rule.cron ?? "0 3 * * *", { class: "mono" });
  const zone = text(rule.zone ?? "UTC", { list: "zones" });
  const seconds = text(rule.every_seconds ?? 60, { type: "number", min: "1", step: "any" });
  const queue = text(rule.queue ?? "default", { required: true });
  const key = text(rule.key);
  const priority = text(rule.priority ?? 0, { type: "number", min: "0", max: "9" });
  const missed = choice([["last", "One job for all of them"], ["all", "Each"], ["skip", "Nothing"]], rule.catch_up || "last");
  const overlaps = h("input", { type: "checkbox", checked: rule.allows_overlap !== false });
  const next = h("p", { class: "muted preview-runs", role: "status" });
  const parts = [field("Cron", cron, "Minute, hour, day of the month, month, day of the week; or @daily."), field("Time zone", zone)];
  const interval = field("Every (s)", seconds);
  const timing = () => (kind.value === "cron" ? { cron: cron.value.trim(), zone: zone.value.trim() || "UTC" } : { every_seconds: Number(seconds.value) });
  const stop = new AbortController();
  const preview = latest(stop.signal, async (mine) => {
    await new Promise((resolve) => { setTimeout(resolve, PREVIEW_PAUSE_MS); });
    mine.throwIfAborted();
    try {
      const { upcoming } = await look("occurrences", timing(), mine);
      say(next, `Next runs, in this browser's time zone: ${upcoming.map((at) => instant(at).slice(0, 19)).join(", ")}`);
    } catch (problem) {
      if (!mine.aborted) say(next, [problem.message, problem.hint].filter(Boolean).join(" "));
    }
  });
  const show = () => {
    parts.forEach((part) => { part.hidden = kind.value !== "cron"; });
    interval.hidden = kind.value === "cron";
    preview();
  };
  for (const each of [kind, cron, zone, seconds]) each.addEventListener("input", show);
  show();
  return openForm({
    title: kept ? `Edit ${line(String(kept.name), 60)}` : "Create a schedule", action: kept ? "Save" : "Create", isWide: true,
    about: kept?.home ? "Its app declares it in its code: what is changed here lasts until a worker starts that declares it." : "A job is sent each time it comes, by whichever worker is there.",
    fields: [h("div", { class: "grid" }, field("Name", name), field("Task", task), field("Kind", kind), parts, interval), next, field("Arguments (JSON by name)", args),
      h("details", {}, h("summary", {}, "More"), h("div", { class: "grid" }, field("Queue", queue), field("Key", key), field("Priority", priority), field("What was missed sends", missed), h("div", { class: "field check" }, h("label", {}, overlaps, " Runs may overlap")))),
      h("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((each) => h("option", { value: each })))],
    work: async () => {
      let given;
      try { given = parse(args.value.trim() || "{}"); } catch { given = null; }
      if (given === null || typeof given !== "object" || Array.isArray(given)) throw new Error('The arguments are a JSON object: {"name": value}.');
      const wanted = { ...timing(), task: task.value.trim(), args: given, queue: queue.value.trim(), priority: Number(priority.value) || 0, catch_up: missed.value, allows_overlap: overlaps.checked, ...(key.value && { key: key.value }) };
      await save(name.value.trim(), kept, wanted);
    },
  }).finally(() => stop.abort());
}

// Write a rule down. Its next run is told anew where it has other times.
async function save(name, kept, rule) {
  const isTimed = kept && kept.rule.cron === rule.cron && (kept.rule.zone || "UTC") === (rule.zone || "UTC") && kept.rule.every_seconds === rule.every_seconds;
  const { now, upcoming } = await look("occurrences", { cron: rule.cron, zone: rule.zone, every_seconds: rule.every_seconds, count: 1 });
  await change(name, (before) => {
    if (!kept && before) throw new Problem(409, { message: `There is a schedule ${visible(name)} already.` });
    return { ...(before || { name, since: now, checked_at: now, next_at: upcoming[0] }), rule, ...(before && !isTimed && { since: now, checked_at: now, next_at: upcoming[0] }) };
  });
}

const pause = (name, isPaused) => change(name, async (kept) => {
  if (!kept) throw new Problem(404, { message: "This schedule is gone." });
  if (isPaused) return { ...kept, is_paused: true };
  const { cron, zone, every_seconds } = kept.rule;
  const { upcoming } = await look("occurrences", { cron, zone, every_seconds, since: kept.since, count: 1 });
  return { ...kept, is_paused: false, next_at: upcoming[0] };
});

// Change a schedule as it is kept, unless somebody else did so meanwhile.
async function change(name, work) {
  const key = `schedule/${name}`;
  for (let attempt = 0; attempt < 5; attempt++) {
    const { records: [record] } = await rest.getRecords([key]);
    const changed = await work(record ? valueOf(record) : null);
    try {
      await rest.apply({ guards: [{ key, value: record ? record.value : null }], records: [{ ...(record || { key }), value: encode(JSON.stringify(changed)) }] });
      return;
    } catch (problem) {
      if (problem.code !== "guard_failed") throw problem;
    }
  }
  throw new Problem(409, { message: "Others keep changing this schedule.", hint: "Try again." });
}

async function trigger({ rule }) {
  const message = { body: JSON.stringify({ task: rule.task, args: rule.args || {} }) };
  if (rule.key) message.group_id = rule.key;
  if (rule.priority) message.priority = rule.priority;
  const { outcomes: [sent] } = await rest.send(rule.queue || "default", [message]);
  if (sent.outcome === "refused") throw new Problem(400, sent.problem);
  return sent.message_id;
}
