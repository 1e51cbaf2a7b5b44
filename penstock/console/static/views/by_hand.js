// Send, receive, delete and status by hand, with the JSON that a client would get.

import { rest } from "../api.js";
import { every, h, place, put } from "../dom.js";
import { clock, line, relative } from "../format.js";
import { changeVisibility, hold, inHand, remove, settle } from "../in_hand.js";
import { act, bodyBox, button, choice, empty, field, jsonBox, problemBox, table } from "../widgets.js";

export async function byHand({ main, heading, title, signal, parts }) {
  title("By hand");
  const queue = h("input", { value: parts[0] || "", list: "queues", required: true, autocomplete: "off", spellcheck: "false" });
  const known = h("datalist", { id: "queues" });
  const suggest = async () => put(known, (await rest.listQueues({ prefix: queue.value, limit: 50 })).queues.map(({ name }) => h("option", { value: name })));
  queue.addEventListener("input", () => suggest().catch(() => {}));
  suggest().catch(() => {});
  const name = () => {
    if (!queue.value.trim()) { queue.focus(); throw new Error("Which queue?"); }
    return queue.value.trim();
  };
  const path = (rest_) => `/v1/queues/${queue.value.trim() || "QUEUE"}${rest_}`;

  const body = h("textarea", { rows: "5", class: "mono", spellcheck: "false", placeholder: '{"hello": "world"}' });
  const copies = h("input", { type: "number", min: "1", max: "1000", value: "1" });
  const group = h("input", { spellcheck: "false" });
  const delay = h("input", { type: "number", min: "0", step: "any" });
  const dedup = h("input", { spellcheck: "false" });
  const attributes = h("textarea", { rows: "2", spellcheck: "false", placeholder: "source = console" });
  const send = card("Send", "Put messages into the queue.", [field("Body", body), h("div", { class: "grid" }, field("Copies", copies), field("Group", group), field("Delay (s)", delay), field("Deduplication id", dedup)), field("Attributes", attributes, "A line each: name = value.")], "Send", async () => {
    const draft = { body: body.value };
    if (group.value) draft.group_id = group.value;
    if (delay.value !== "") draft.delay_seconds = Number(delay.value);
    const named = Object.fromEntries(attributes.value.split("\n").filter((each) => each.trim()).map((each) => {
      const at = each.indexOf("=");
      if (at < 1) throw new Error("An attribute is written name = value.");
      return [each.slice(0, at).trim(), { string_value: each.slice(at + 1).trim() }];
    }));
    if (Object.keys(named).length) draft.attributes = named;
    const many = Array.from({ length: Number(copies.value) || 1 }, (_, at) => (dedup.value ? { ...draft, deduplication_id: Number(copies.value) > 1 ? `${dedup.value}-${at}` : dedup.value } : draft));
    return [`POST ${path("/messages")}`, await rest.send(name(), many)];
  });

  const size = h("input", { type: "number", min: "1", max: "1000", value: "1" });
  const wait = h("input", { type: "number", min: "0", max: "20", step: "any", value: "0" });
  const lease = h("input", { type: "number", min: "0", step: "any", placeholder: "the queue's" });
  const receive = card("Receive", "Take messages under a lease. They come back when it ends, unless they are deleted.", [h("div", { class: "grid" }, field("Batch size", size), field("Wait (s)", wait), field("Visibility timeout (s)", lease))], "Receive", async () => {
    const asked = { max_messages: Number(size.value), wait_seconds: Number(wait.value) };
    if (lease.value !== "") asked.visibility_timeout_seconds = Number(lease.value);
    const from = name();
    const reply = await rest.receive(from, asked, signal);
    hold(from, reply.deliveries);
    drawHeld();
    return [`POST ${path("/receive")}`, reply];
  });

  const heldArea = h("div");
  const rows = table({
    caption: "Deliveries in hand", stacks: true, key: (delivery) => delivery.receipt_handle,
    columns: [
      { label: "Body", node: (delivery) => h("a", { href: place("message", delivery.message_id), class: "preview" }, line(delivery.body, 60) || "(empty)") },
      { label: "Received", isNumber: true, text: (delivery) => String(delivery.receive_count) },
      { label: "Lease ends", isNumber: true, text: (delivery) => relative(delivery.visible_at) },
      { name: "Actions", node: (delivery) => h("div", { class: "bar" }, button("Delete", () => finish(delivery, remove)), button("30 s more", () => finish(delivery, changeVisibility(30))), button("Give back", () => finish(delivery, changeVisibility(0)))) },
    ],
  });
  const settled = h("div", { "aria-live": "polite" });
  const drawHeld = () => {
    const held = inHand();
    rows.update(held);
    rows.element.hidden = !held.length;
    put(heldArea, held.length ? [] : h("p", { class: "muted" }, "Nothing in hand. Receive something, or paste a receipt handle."));
  };
  async function finish({ queue: from, receipt_handle: handle_ }, action) {
    try {
      put(settled, answer("POST /v1/settle", await settle(from, handle_, action)));
    } catch (problem) {
      put(settled, problemBox(problem));
    }
    drawHeld();
  }
  const handle = h("input", { spellcheck: "false", autocomplete: "off" });
  const what = choice([["delete", "Delete"], ["return", "Give back now"], ["extend", "Hold 30 s longer"]], "delete");
  const settling = h("section", { class: "card" }, h("h2", {}, "Delete"), h("p", { class: "muted" }, "Finish with what is in hand, or with any receipt handle."), heldArea, rows.element,
    h("form", { class: "bar wrap ends", on: { submit: (event) => { event.preventDefault(); act(async () => finish({ queue: name(), receipt_handle: handle.value.trim() }, what.value === "delete" ? remove : changeVisibility(what.value === "return" ? 0 : 30))); } } },
      field("Receipt handle", handle), field("What to do", what), h("button", {}, "Do it")), settled);
  every(1000, signal, drawHeld);

  const stats = card("Status", "How the queue is.", [], "Ask", async () => [`GET ${path("")}`, await rest.describeQueue(name())]);
  put(main, heading, h("p", { class: "muted" }, "Each answer is shown as a client of the REST API gets it."), h("div", { class: "grid" }, field("Queue", queue)), known, h("div", { class: "cards by-hand" }, send, receive, settling, stats));
}

function answer(asked, reply) {
  return [h("p", { class: "asked" }, h("code", {}, asked), h("span", { class: "muted" }, ` ${clock(Date.now())}`)), jsonBox(reply, "Answer")];
}

// A form that shows what it asked and what came back.
function card(title, about, fields, action, work) {
  const said = h("div", { "aria-live": "polite" });
  const submit = h("button", { class: "primary" }, action);
  return h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "muted" }, about), h("form", { on: { submit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      put(said, answer(...await work()));
    } catch (problem) {
      put(said, problemBox(problem));
    } finally {
      submit.disabled = false;
    }
  } } }, fields, h("div", { class: "actions" }, submit)), said);
}
