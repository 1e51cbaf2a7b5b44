// One message: its body, its attributes, its life, and what can be done to it by id.

import { Problem, rest } from "../api.js";
import { h, place, put } from "../dom.js";
import { count, decode, duration, instant, line, relative, since, size, toInput, visible } from "../format.js";
import { changeVisibility, inHand, settle } from "../in_hand.js";
import { timeline } from "../timeline.js";
import { act, badge, bodyBox, button, confirm, empty, facts, field, notice, openForm, status } from "../widgets.js";

export async function message({ main, heading, title, signal, parts }) {
  const id = parts[0];
  title("Message");
  const load = async () => {
    const [found, past] = await Promise.all([
      rest.findMessage(id, signal).catch((problem) => { if (problem instanceof Problem && problem.status === 404) return null; throw problem; }),
      rest.history(id, signal).catch((problem) => { if (problem instanceof Problem && problem.status === 400) return { events: [] }; throw problem; })]);
    draw(found, past.events);
  };
  const draw = (found, events) => {
    if (!found) {
      const where = events.at(-1)?.queue;
      put(main, heading, h("p", { class: "id" }, visible(id)), empty("There is no such message", events.length ? "It is gone; this is what its queue's history kept of it." : "It was deleted or has expired, or never was. A queue whose history keeps everything would tell what became of it.",
        h("p", {}, h("a", { href: place("job", id) }, "Look for a job of this id"), where ? [" · ", h("a", { href: place("queue", where) }, where)] : null)), timeline(events));
      return;
    }
    const isHeld = found.state === "in_flight";
    const known = events.some((event) => event.kind === "sent") ? [] : [{ at: found.sent_at, what: "Sent", queue: found.queue, kind: "sent" }];
    if (!events.some((event) => event.kind === "received") && found.first_received_at) known.push({ at: found.first_received_at, what: "First received", kind: "received" });
    if (isHeld) known.push({ at: found.visible_at, what: "Its lease ends", detail: relative(found.visible_at), kind: "next" });
    if (found.state === "delayed") known.push({ at: found.visible_at, what: "May be received", detail: relative(found.visible_at), kind: "next" });
    put(main, h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Queues"), " / ", h("a", { href: place("queue", found.queue) }, found.queue)),
      h("div", { class: "bar wrap" }, heading, status(found.state), found.dead_letter_source ? badge("dead letter", "bad") : null, h("span", { class: "grow" }),
        button("Edit and re-send…", () => resend(found), { needs: ["send", found.queue] }), isHeld ? changing(found, load) : button("Reschedule…", () => reschedule(found, load), { needs: ["operate", found.queue] }),
        isHeld ? null : button("Cancel…", () => confirm({ title: "Cancel this message", about: "It is forgotten, unless somebody receives it first.", action: "Cancel it", work: async () => told(await rest.cancel([id], found.queue), load) }), { class: "danger-quiet", needs: ["operate", found.queue] }),
        button("Delete…", () => confirm({ title: "Delete this message", about: isHeld ? "Somebody holds it and cannot finish it any more." : "It is forgotten.", action: "Delete", work: async () => told(await rest.deleteMessages([id], found.queue), load) }), { class: "danger-quiet", needs: ["operate", found.queue] })),
      h("p", { class: "id" }, visible(id)),
      h("div", { class: "columns" },
        h("section", {}, h("h2", {}, "Body"), bodyBox(found.body), attributes("Attributes", found.attributes), attributes("System attributes", found.system_attributes)),
        h("section", {}, h("h2", {}, "Facts"), facts([
          ["Sent", `${instant(found.sent_at)}, ${relative(found.sent_at)}`], ["Received", found.receive_count === 1 ? "once" : `${count(found.receive_count || 0)} times`], ["First received", found.first_received_at ? `${instant(found.first_received_at)}, after ${duration((found.first_received_at - found.sent_at) / 1000)}` : null],
          ["Receivable", found.state === "ready" ? "now" : `${instant(found.visible_at)}, ${relative(found.visible_at)}`], ["Expires", found.expires_at ? relative(found.expires_at) : null], ["Group", found.group_id && visible(found.group_id)], ["Priority", found.priority || null],
          ["Deduplication id", found.deduplication_id && visible(found.deduplication_id)], ["Sender", found.sender_id && visible(found.sender_id)], ["Dead-lettered from", found.dead_letter_source], ["Sequence number", String(found.sequence_number)]]),
          /^\s*\{.*"task"/s.test(found.body.slice(0, 2000)) ? h("p", {}, h("a", { href: place("job", id) }, "This is a job: attempts, result, traceback")) : null,
          h("h2", {}, "Life"), timeline(events, known), events.length ? null : h("p", { class: "muted" }, "The queue keeps no history; its settings can have it keep every event."))));
  };
  return load();
}

// Only who holds a message can change how long; on this page that is who received it by hand.
function changing(found, load) {
  const mine = inHand().find((delivery) => delivery.message_id === found.message_id);
  const why = mine ? {} : { disabled: true, title: "Only who holds it can. It was not received by hand on this page." };
  return button("Change visibility…", () => {
    const seconds = h("input", { type: "number", min: "0", step: "any", required: true, value: "30" });
    openForm({
      title: "Change visibility", action: "Change", fields: [field("Seconds from now", seconds, "0 gives it back: others may receive it at once.")],
      work: async () => {
        const { outcomes: [{ result }] } = await settle(found.queue, mine.receipt_handle, changeVisibility(Number(seconds.value)));
        notice(result === "done" ? "Done." : "It is not in hand any more.");
        await load();
      },
    });
  }, { needs: ["receive", found.queue], ...why });
}

async function told({ outcomes }, load) {
  if (outcomes[0] === "in_flight") throw new Error("Somebody holds it now.");
  notice(outcomes[0] === "gone" ? "It was gone already." : "Done.");
  await load();
}

function attributes(label, all) {
  const entries = Object.entries(all || {});
  if (!entries.length) return null;
  return [h("h2", {}, label), facts(entries.map(([name, { data_type: type, string_value: text, binary_value: bytes }]) => [
    `${visible(name)} (${visible(type || "String")})`, text === undefined || text === null ? binary(bytes || "") : visible(text) || "(empty)"]))];
}

function binary(base64) {
  const bytes = decode(base64);
  const hex = Array.from(bytes.slice(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return h("span", {}, h("code", {}, bytes.length > 64 ? `${hex} …` : hex), h("span", { class: "muted" }, ` ${size(bytes.length)}`));
}

// Send an edited copy; the attributes, the group and the priority go with it.
export function resend(found, { title = "Edit and re-send", target = found.queue } = {}) {
  const body = h("textarea", { rows: "12", class: "mono", spellcheck: "false" }, found.body);
  const queue = h("input", { value: target, spellcheck: "false" });
  const group = h("input", { value: found.group_id || "", spellcheck: "false" });
  const delay = h("input", { type: "number", min: "0", step: "any", value: "" });
  const removes = h("input", { type: "checkbox", checked: true });
  return openForm({
    title, action: "Send", isWide: true, about: "A new message is sent; it has another id.",
    fields: [field("Body", body), h("div", { class: "grid" }, field("Queue", queue), field("Group", group), field("Delay (s)", delay, "Empty: the queue's.")), h("div", { class: "field check" }, h("label", {}, removes, " Delete the original when it is sent"))],
    work: async () => {
      const draft = { body: body.value, attributes: found.attributes || {}, system_attributes: found.system_attributes || {} };
      if (found.priority) draft.priority = found.priority;
      if (group.value) draft.group_id = group.value;
      if (delay.value !== "") draft.delay_seconds = Number(delay.value);
      if (found.deduplication_id) draft.deduplication_id = crypto.getRandomValues(new Uint32Array(4)).join("-");
      const { outcomes: [sent] } = await rest.send(queue.value.trim(), [draft]);
      if (sent.outcome === "refused") throw new Problem(400, sent.problem);
      if (removes.checked) await rest.deleteMessages([found.message_id]);
      notice(`Sent to ${queue.value.trim()}.`);
      location.hash = place("message", sent.message_id);
      return sent;
    },
  });
}

function reschedule(found, load) {
  const at = h("input", { type: "datetime-local", step: "1", value: toInput(Math.max(Date.now(), found.visible_at)) });
  return openForm({
    title: "Reschedule", action: "Reschedule", about: "It may be received from this instant on; one in the past means now.", fields: [field("When, in this browser's time zone", at)],
    work: async () => told(await rest.reschedule([found.message_id], new Date(at.value).getTime(), found.queue), load),
  });
}
