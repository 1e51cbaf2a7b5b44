// Schedules: when each comes next; pause, resume, trigger.

import { Problem, rest } from "../api.js";
import { every, h, place, put } from "../dom.js";
import { duration, encode, instant, line, relative, valueOf } from "../format.js";
import { act, badge, button, empty, table } from "../widgets.js";

const MOST = 500;

export function schedules({ main, heading, title, signal }) {
  title("Schedules");
  const rows = table({
    caption: "Schedules", key: (schedule) => schedule.name,
    columns: [
      { label: "Schedule", stamp: (schedule) => `${schedule.is_paused}`, node: (schedule) => [h("span", { class: "name" }, line(schedule.name, 60)), " ", schedule.is_paused ? badge("paused", "warn") : null] },
      { label: "Task", text: (schedule) => line(schedule.rule.task, 50) },
      { label: "When", text: (schedule) => (schedule.rule.cron ? `${schedule.rule.cron} ${schedule.rule.zone || "UTC"}` : `every ${duration(schedule.rule.every_seconds)}`) },
      { label: "Next", text: (schedule) => (schedule.is_paused ? "–" : upcoming(schedule)), title: (schedule) => instant(schedule.next_at) },
      { label: "Last", stamp: (schedule) => `${schedule.last_job_id} ${Math.floor(Date.now() / 5000)}`, node: (schedule) => (schedule.last_job_id ? h("a", { href: place("job", schedule.last_job_id) }, relative(schedule.last_at)) : "–") },
      { label: "Queue", hides: true, text: (schedule) => schedule.rule.queue || "default" },
      { name: "Actions", stamp: (schedule) => `${schedule.is_paused}`, node: (schedule) => h("div", { class: "bar" },
        button(schedule.is_paused ? "Resume" : "Pause", () => act(() => pause(schedule.name, !schedule.is_paused), schedule.is_paused ? "It goes on; what was missed is treated as its rule says." : "Nothing is sent until it is resumed.").then(load), { "aria-label": `${schedule.is_paused ? "Resume" : "Pause"} ${schedule.name}`, needs: ["operate"] }),
        button("Trigger", () => act(() => trigger(schedule), "A job is sent; the next runs stay what they are.").then((sent) => { if (sent) location.hash = place("job", sent); }), { "aria-label": `Trigger ${schedule.name}`, needs: ["operate"] })) },
    ],
  });
  const said = h("div");
  put(main, heading, rows.element, said);
  async function load() {
    const { records, next_after: more } = await rest.findRecords({ prefix: "schedule/", limit: MOST }, signal);
    const all = records.map(valueOf).filter((schedule) => schedule?.rule).sort((one, other) => Boolean(one.is_paused) - Boolean(other.is_paused) || one.next_at - other.next_at);
    rows.update(all);
    rows.element.hidden = !all.length;
    put(said, all.length ? (more ? h("p", { class: "muted" }, `The first ${MOST} are shown.`) : []) : empty("No schedules", "An app declares them in its code; workers write them down when they start."));
  }
  return every(2000, signal, load);
}

// The next runs, as far as the notation tells without a calendar.
function upcoming({ next_at: next, rule }) {
  if (!rule.every_seconds) return relative(next);
  return [0, 1, 2].map((step) => relative(next + step * rule.every_seconds * 1000)).join(", ");
}

// Change a schedule as it is kept, unless somebody else did so meanwhile.
async function pause(name, isPaused) {
  const key = `schedule/${name}`;
  for (let attempt = 0; attempt < 5; attempt++) {
    const { records: [record] } = await rest.getRecords([key]);
    if (!record) throw new Problem(404, { message: "This schedule is gone." });
    const { name: first, ...kept } = valueOf(record);
    const changed = { name: first, ...kept, is_paused: isPaused };
    if (!isPaused && kept.rule.every_seconds && kept.next_at < Date.now()) {
      const every = kept.rule.every_seconds * 1000;
      changed.next_at = Math.round(kept.since + Math.ceil((Date.now() - kept.since) / every) * every);
    }
    try {
      await rest.apply({ guards: [{ key, value: record.value }], records: [{ ...record, value: encode(JSON.stringify(changed)) }] });
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
