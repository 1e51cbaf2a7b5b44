// Jobs by status, queue and task.

import { search } from "../api.js";
import { every, h, latest, place, put } from "../dom.js";
import { clock, count, duration, line, relative } from "../format.js";
import { button, empty, field, problemBox, status, table, tabs } from "../widgets.js";

const STATUSES = ["running", "waiting", "delayed", "retrying", "blocked", "failed", "succeeded", "cancelled"];

export const progressBar = (progress) => (progress?.total ? h("progress", { max: progress.total, value: progress.done, "aria-label": "Progress" }) : null);

export function jobs({ main, heading, title, signal, query }) {
  title("Jobs");
  const wanted = STATUSES.includes(query.get("status")) ? query.get("status") : "running";
  const asked = { status: wanted, queue: query.get("queue") || "", task: query.get("task") || "", after: "" };
  const pages = [""];
  const queue = h("input", { value: asked.queue, placeholder: "any queue", "aria-label": "Queue", spellcheck: "false" });
  const task = h("input", { type: "search", value: asked.task, placeholder: "any task", "aria-label": "Task", spellcheck: "false" });
  const address = (name) => `${place("jobs")}?${new URLSearchParams({ status: name, ...(asked.queue && { queue: asked.queue }), ...(asked.task && { task: asked.task }) })}`;
  const nav = h("div");
  const said = h("div");
  const bar = h("div", { class: "bar" });
  const hasEnded = ["failed", "succeeded", "cancelled"].includes(wanted);
  const rows = table({
    caption: `Jobs, ${wanted}`, stacks: true, key: (job) => job.job_id,
    columns: [
      { label: "Task", node: (job) => h("a", { href: place("job", job.job_id), class: "name" }, line(job.task, 60) || "(no task)") },
      { label: "Status", stamp: (job) => job.status, node: (job) => status(job.status) },
      { label: "Queue", text: (job) => job.queue },
      { label: "Key", hides: true, text: (job) => line(job.message?.message.group_id || "", 24) || "–" },
      { label: "Attempts", isNumber: true, text: (job) => count(job.record?.attempts || (job.message?.message.receive_count ?? 0)) },
      hasEnded ? { label: "Ended", isNumber: true, text: (job) => relative(job.record?.finished_at), title: (job) => clock(job.record?.finished_at) } : { label: "Sent", isNumber: true, text: (job) => relative(job.message?.message.sent_at) },
      hasEnded ? { label: "Took", isNumber: true, text: (job) => (job.record?.started_at && job.record.finished_at ? duration((job.record.finished_at - job.record.started_at) / 1000) : "–") } : { label: "Next", isNumber: true, text: (job) => (wanted === "running" ? "–" : relative(job.message?.message.visible_at)) },
      { label: wanted === "running" ? "Progress" : "What happened", hides: wanted !== "failed", stamp: (job) => JSON.stringify([job.record?.progress, job.record?.failure?.message]), node: (job) => (job.record?.failure ? [h("strong", {}, line(job.record.failure.kind || "", 40)), " ", line(job.record.failure.message || "", 80)] : progressBar(job.record?.progress) || job.record?.progress?.note || "–") },
    ],
  });
  const id = h("input", { type: "search", placeholder: "Job id", "aria-label": "Job id", spellcheck: "false" });
  put(main, h("div", { class: "bar wrap" }, heading, h("span", { class: "grow" }), h("form", { class: "bar", on: { submit: (event) => { event.preventDefault(); if (id.value.trim()) location.hash = place("job", id.value.trim()); } } }, id, h("button", {}, "Open"))), nav,
    h("form", { class: "bar wrap", on: { submit: (event) => { event.preventDefault(); asked.queue = queue.value.trim(); asked.task = task.value.trim(); pages.length = 1; drawNav(); load(); } } }, queue, task, h("button", {}, "Filter")), rows.element, said, bar);
  const drawNav = () => put(nav, tabs(STATUSES.map((name) => [address(name), name[0].toUpperCase() + name.slice(1)]), wanted[0].toUpperCase() + wanted.slice(1)));
  drawNav();
  const load = latest(signal, async (mine) => {
    try {
      const answer = await search("jobs", { ...asked, after: pages.at(-1) }, mine, (part) => part.jobs.length, () => put(said, h("p", { class: "muted" }, "Looking through the queues…")));
      const next = answer.next_after ?? null;
      rows.update(answer.jobs);
      rows.element.hidden = !answer.jobs.length;
      put(said, answer.jobs.length ? [] : next ? empty("None so far", "There are more to look through.") : empty(`No jobs are ${wanted}`, asked.queue || asked.task ? "Change the filter to see others." : wanted === "running" ? "When a worker takes a job, it appears here." : "Nothing here right now."));
      put(bar, button("Previous", () => { pages.pop(); load(); }, { disabled: pages.length < 2, "data-key": "previous" }), button("Next", () => { pages.push(next); load(); }, { disabled: next === null, "data-key": "next" }));
      bar.hidden = pages.length < 2 && next === null;
    } catch (problem) {
      if (!mine.aborted) put(said, problemBox(problem));
    }
  });
  return every(2000, signal, load);
}
