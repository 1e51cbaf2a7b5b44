// The life of a message as far as it was kept, told in order.

import { h } from "./dom.js";
import { duration, instant, relative } from "./format.js";

const WORDS = { sent: "Sent", received: "Received", deleted: "Deleted", visibility_changed: "Lease changed", dead_lettered: "Dead-lettered", moved: "Moved", cancelled: "Cancelled", rescheduled: "Rescheduled", expired: "Expired" };

// events: as kept; more: { at, what, detail, kind } that are known from elsewhere.
export function timeline(events, more = []) {
  const all = [...events.map((event) => ({ at: event.at, what: WORDS[event.kind] || event.kind, detail: event.detail, queue: event.queue, kind: event.kind })), ...more.filter((each) => each.at)].sort((one, other) => one.at - other.at);
  if (!all.length) return null;
  return h("ol", { class: "timeline" }, all.map((each, place) => h("li", { class: `t-${each.kind}` },
    h("strong", {}, each.what), each.queue ? h("span", { class: "muted" }, ` ${each.queue}`) : null, each.detail ? h("span", { class: "detail" }, each.detail) : null,
    h("time", { title: relative(each.at) }, instant(each.at), place ? h("span", { class: "muted" }, ` +${duration((each.at - all[place - 1].at) / 1000)}`) : null))));
}
