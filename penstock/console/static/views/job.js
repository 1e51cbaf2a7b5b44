// One job: what it was asked, how its attempts went, what came of it.

import { look, rest } from "../api.js";
import { every, h, place, put } from "../dom.js";
import { count, duration, encode, instant, parse, relative, visible } from "../format.js";
import { timeline } from "../timeline.js";
import { act, badge, bodyBox, button, confirm, empty, facts, jsonBox, notice, status } from "../widgets.js";
import { progressBar } from "./jobs.js";

const CANCEL_KEPT_MS = 86400000;
const ENDED_KEPT_MS = 86400000;

export async function job({ main, heading, title, signal, parts }) {
  const id = parts[0];
  title("Job");
  let stamp = null;
  const load = async () => {
    const said = await look("job", { job_id: id }, signal);
    const now = JSON.stringify(said);
    if (now !== stamp) draw(said);
    stamp = now;
  };
  const draw = ({ job: short, message, record, history, logs, is_called_off: isCalledOff, expires_at: expiresAt }) => {
    if (short.status === "unknown") {
      title("Job");
      put(main, h("p", { class: "crumbs" }, h("a", { href: place("jobs") }, "Jobs")), heading, h("p", { class: "id" }, visible(id)), empty("Nothing is known of this job", "There never was one of this id, or what was known of it has expired."), timeline(history));
      return;
    }
    title(short.task || "Job");
    const envelope = read(message?.body);
    const isEnded = ["succeeded", "failed", "cancelled"].includes(short.status);
    const failure = record?.failure;
    const known = [{ at: history.some((event) => event.kind === "sent") ? null : message?.sent_at, what: "Sent", kind: "sent" }, { at: record?.started_at, what: `Attempt ${Math.max(1, record?.attempts || 1)} started`, detail: record?.worker, kind: "received" },
      { at: record?.finished_at, what: short.status[0].toUpperCase() + short.status.slice(1), kind: short.status === "succeeded" ? "deleted" : "dead_lettered" }, { at: isEnded || !message || message.state === "ready" ? null : message.visible_at, what: short.status === "running" ? "Its lease ends, unless it is renewed" : "Next attempt", kind: "next" }];
    put(main, h("p", { class: "crumbs" }, h("a", { href: place("jobs") }, "Jobs"), " / ", h("a", { href: `${place("jobs")}?status=${short.status}` }, short.status)),
      h("div", { class: "bar wrap" }, heading, status(short.status), isCalledOff && !isEnded ? badge("called off", "warn") : null, h("span", { class: "grow" }),
        isEnded || isCalledOff ? null : button("Cancel…", () => confirm({ title: "Cancel this job", about: "One that runs is told to stop; one that waits is gone, and what comes after it in a workflow is skipped.", action: "Cancel it", work: () => callOff(message, record, short).then(load) }), { class: "danger-quiet", "data-key": "cancel", needs: ["operate"] }),
        short.status === "failed" && message?.dead_letter_source ? button("Retry", () => act(() => rest.startMove({ source: message.queue, keeps_ids: true, filter: { message_ids: [id] } }), "It goes back to its queue.").then(() => setTimeout(load, 300)), { class: "primary", "data-key": "retry", needs: ["operate", message?.queue] }) : null,
        short.status === "retrying" && message ? button("Retry now", () => act(() => rest.reschedule([id], Date.now(), message.queue), "Its next attempt may start.").then(load), { "data-key": "now", needs: ["operate", message.queue] }) : null,
        message ? h("a", { href: place("message", id) }, "As a message") : null),
      h("p", { class: "id" }, visible(id)),
      h("div", { class: "columns" },
        h("section", {},
          failure ? [h("h2", {}, "What went wrong"), h("p", { class: "problem" }, h("strong", {}, visible(failure.kind || "")), failure.message ? `: ${visible(failure.message)}` : ""), failure.traceback ? h("pre", { class: "code", tabindex: "0", "aria-label": "Traceback" }, visible(failure.traceback)) : null] : null,
          record?.progress ? [h("h2", {}, "Progress"), progressBar(record.progress), h("p", {}, `${count(record.progress.done)}${record.progress.total ? ` of ${count(record.progress.total)}` : ""} ${visible(record.progress.note || "")}`)] : null,
          record && "result" in record ? [h("h2", {}, "Result"), jsonBox(record.result, "Result")] : null,
          envelope?.args ? [h("h2", {}, "Arguments"), Object.keys(envelope.args).length ? jsonBox(envelope.args, "Arguments") : h("p", { class: "muted" }, "It takes none.")] : message ? [h("h2", {}, "Body"), bodyBox(message.body)] : h("p", { class: "muted" }, "The message is gone, and its arguments with it."),
          logs.length ? [h("h2", {}, "Log"), logs.map((each) => logOf(each, logs.length > 1))] : null,
          record && "checkpoint" in record ? [h("h2", {}, "Checkpoint"), jsonBox(record.checkpoint, "Checkpoint")] : null),
        h("section", {}, h("h2", {}, "Facts"), facts([
          ["Queue", short.queue ? h("a", { href: place("queue", short.queue) }, short.queue) : null], ["Attempts", count(record?.attempts || message?.receive_count || 0)], ["Deliveries", message ? count(message.receive_count || 0) : null], ["Key", message?.group_id && visible(message.group_id)], ["Priority", message?.priority || null],
          ["Worker", record?.worker && visible(record.worker)], ["Took", record?.started_at && record.finished_at ? duration((record.finished_at - record.started_at) / 1000) : null], ["Workflow", (record?.workflow_id || envelope?.place?.workflow_id) ? h("a", { href: place("workflow", record?.workflow_id || envelope.place.workflow_id) }, visible(envelope?.place?.node || "show")) : null],
          ["After", envelope?.place?.after?.length ? `${envelope.place.after.length} other jobs` : null], ["Known until", expiresAt ? relative(expiresAt) : null]]),
          h("h2", {}, "Life"), timeline(history, known))));
  };
  await load();
  return every(2000, signal, load);

  // A mark first, which a worker heeds that has the job or gets it. If nobody has it, it ends here, with all that hangs
  // on its end: what comes after it in a workflow is told, and what it held is let go.
  async function callOff(message, record, short) {
    const now = Date.now();
    await rest.putRecords([{ key: `cancel/${id}`, value: "", expires_at: now + CANCEL_KEPT_MS }]);
    const { outcomes: [outcome] } = await rest.cancel([id]);
    if (outcome === "done") {
      const { place: stand, holds = [] } = read(message?.body) || {};
      const { progress, checkpoint, ...kept } = record || {};
      const ended = { task: short.task, queue: short.queue, ...kept, status: "cancelled", finished_at: now };
      const tags = { task: ended.task, status: ended.status, ...(stand && { workflow: stand.workflow_id }) };
      await rest.apply({
        forgets: [...holds, `cancel/${id}`],
        records: [{ key: `job/${id}`, value: encode(JSON.stringify(ended)), tags, expires_at: now + Math.max(ENDED_KEPT_MS, stand?.keep_ms || 0) }],
        arrivals: (stand?.dependents || []).filter((each) => each.despite_failure !== false).map((each) => ({ join_id: each.join_id, part_id: id })),
      });
    }
    notice(outcome === "done" ? "It is cancelled." : "It runs, and is told to stop.");
  }
}

// What an attempt logged, a line each; what is not understood is left out.
function logOf({ attempt, kept }, isNamed) {
  const lines = Array.isArray(kept?.lines) ? kept.lines.filter(Array.isArray) : [];
  return [isNamed ? h("p", { class: "muted" }, `Attempt ${attempt}`) : null, kept?.dropped_count ? h("p", { class: "muted" }, `${count(kept.dropped_count)} earlier lines are not kept.`) : null,
    h("pre", { class: "code log", tabindex: "0", "aria-label": `Log of attempt ${attempt}` }, lines.flatMap(([at, level, logger, text]) => [
      h("span", { class: "muted" }, `${instant(at).slice(11)} `), h("span", { class: /ERROR|CRITICAL/.test(level) ? "bad" : /WARN/.test(level) ? "warn" : "muted" }, visible(String(level))), h("span", { class: "muted", title: String(logger) }, ` ${visible(String(logger)).slice(0, 40)} `), `${visible(String(text))}\n`]))];
}

function read(body) {
  try {
    return parse(body);
  } catch {
    return null;
  }
}
