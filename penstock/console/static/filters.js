// Conditions on messages as a form, and as the server takes them.

import { h } from "./dom.js";
import { button, choice, field } from "./widgets.js";

const AGES = { min: 60, h: 3600, d: 86400 };

// A form of conditions; onChange is called when it is submitted or cleared.
export function filterForm(onChange, { hasState = true, start = {} } = {}) {
  const input = (props = {}) => h("input", { spellcheck: "false", autocomplete: "off", ...props });
  const state = choice([["", "Any state"], ["ready", "Ready"], ["delayed", "Delayed"], ["in_flight", "In flight"]], "", { "aria-label": "State", on: { change: () => onChange() } });
  const text = input({ type: "search", placeholder: "Text in the body", "aria-label": "Text in the body" });
  const path = input({ placeholder: "order.lines.0.sku" });
  const value = input({ placeholder: '"A-17" or 42' });
  const attribute = input();
  const attributeValue = input();
  const group = input({ value: start.group_id || "" });
  const receives = input({ type: "number", min: "1" });
  const age = input({ type: "number", min: "0", step: "any" });
  const unit = choice(Object.keys(AGES).map((each) => [each, each]), "min", { "aria-label": "Unit of the age" });
  const all = [text, path, value, attribute, attributeValue, group, receives, age];
  const more = h("details", { open: Boolean(start.group_id) }, h("summary", {}, "More conditions"), h("div", { class: "grid" },
    field("JSON path", path), field("… has the value (JSON)", value), field("Attribute", attribute), field("… has the value", attributeValue),
    field("Group", group), field("Received at least so often", receives), h("div", { class: "field" }, h("label", { for: "older" }, "Older than"), h("div", { class: "joined" }, age, unit))));
  age.id = "older";
  const form = h("form", { class: "filter", on: { submit: (event) => { event.preventDefault(); onChange(); } } },
    h("div", { class: "bar" }, hasState ? state : null, text, h("button", {}, "Search"), button("Clear", () => { all.forEach((each) => { each.value = ""; }); state.value = ""; onChange(); }, { class: "link" })), more);
  const conditions = () => {
    const said = {
      state: state.value, text: text.value, json_path: path.value, json_value: path.value ? asJson(value.value) : "", attribute: attribute.value, attribute_value: attribute.value ? attributeValue.value : "",
      group_id: group.value, min_receive_count: receives.value === "" ? "" : Number(receives.value), sent_before: age.value === "" ? "" : Math.round(Date.now() - Number(age.value) * AGES[unit.value] * 1000),
    };
    return Object.fromEntries(Object.entries(said).filter(([, each]) => each !== ""));
  };
  return { element: form, conditions };
}

// What people type without quotes is a text.
function asJson(typed) {
  if (typed === "") return "";
  try {
    JSON.parse(typed);
    return typed;
  } catch {
    return JSON.stringify(typed);
  }
}
