// Who changed what, when, from where, and with which result: for those who administer the server.

import { auditLog } from "../api.js";
import { h, put } from "../dom.js";
import { instant, visible } from "../format.js";
import { badge, button, empty, table } from "../widgets.js";

export function audit({ main, heading, title, signal }) {
  title("Audit");
  const pages = [""];
  const search = (label) => h("input", { type: "search", placeholder: label, "aria-label": label });
  const who = search("Who");
  const target = search("Queue, key or user");
  const said = h("div");
  const bar = h("div", { class: "bar" });
  const rows = table({
    caption: "Audit log", stacks: true, key: (entry) => `${entry.at}-${entry.request_id}-${entry.action}-${entry.target}`,
    columns: [
      { label: "When", text: (entry) => instant(entry.at) },
      { label: "Who", text: (entry) => visible(entry.who) },
      { label: "Did", text: (entry) => entry.action },
      { label: "To", text: (entry) => visible(entry.target || "–") },
      { label: "What", hides: true, text: (entry) => visible(entry.detail || "–") },
      { label: "Result", stamp: (entry) => entry.result || "", node: (entry) => (entry.result ? badge(entry.result, "bad") : "done") },
      { label: "From", hides: true, text: (entry) => entry.source_ip || "–" },
    ],
  });
  const load = async () => {
    const answer = await auditLog({ after: pages.at(-1), limit: 50, who: who.value.trim(), target: target.value.trim() }, signal);
    rows.update(answer.entries);
    rows.element.hidden = !answer.entries.length;
    put(said, answer.entries.length ? "" : empty("Nothing was noted", "Administration and changes by hand in the console are."));
    put(bar, button("Later", () => { pages.pop(); load(); }, { disabled: pages.length < 2, "data-key": "previous" }),
      button("Earlier", () => { pages.push(answer.next_after); load(); }, { disabled: !answer.next_after, "data-key": "next" }));
  };
  put(main, heading, h("form", { class: "bar", on: { submit: (event) => { event.preventDefault(); pages.length = 1; load(); } } }, who, target, h("button", {}, "Search")), said, rows.element, bar);
  return load();
}
