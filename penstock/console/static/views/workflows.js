// Workflows: the latest, and one drawn as a graph with the state of its jobs.

import { look } from "../api.js";
import { every, h, place, put } from "../dom.js";
import { count, duration, instant, line, relative } from "../format.js";
import { draw as drawGraph } from "../graph.js";
import { button, empty, facts, status, table } from "../widgets.js";

const ORDER = ["succeeded", "running", "retrying", "waiting", "delayed", "blocked", "failed", "cancelled", "unknown"];

export function workflows({ main, heading, title, signal }) {
  title("Workflows");
  const pages = [""];
  const rows = table({
    caption: "Workflows", stacks: true, key: (flow) => flow.workflow_id,
    columns: [
      { label: "Workflow", node: (flow) => h("a", { href: place("workflow", flow.workflow_id), class: "name" }, line(flow.tasks.join(" → "), 70)) },
      { label: "Jobs", isNumber: true, text: (flow) => count(flow.node_count) },
      { label: "State", stamp: (flow) => JSON.stringify(flow.counts), node: (flow) => (Object.keys(flow.counts).length ? share(flow.counts) : "too many to count here") },
      { label: "Sent", isNumber: true, text: (flow) => relative(flow.sent_at), title: (flow) => instant(flow.sent_at) },
    ],
  });
  const said = h("div");
  const bar = h("div", { class: "bar" });
  put(main, heading, rows.element, said, bar);
  async function load() {
    const answer = await look("workflows", { after: pages.at(-1) }, signal);
    rows.update(answer.workflows);
    rows.element.hidden = !answer.workflows.length;
    put(said, answer.workflows.length ? [] : empty("No workflows", "Chains, groups, chords and graphs of jobs appear here when they are sent."));
    const next = answer.next_after ?? null;
    put(bar, button("Previous", () => { pages.pop(); load(); }, { disabled: pages.length < 2, "data-key": "previous" }), button("Next", () => { pages.push(next); load(); }, { disabled: next === null, "data-key": "next" }));
    bar.hidden = pages.length < 2 && next === null;
  }
  return every(3000, signal, load);
}

// How many jobs have which status, as a bar and in words.
function share(counts) {
  const entries = ORDER.filter((name) => counts[name]).map((name) => [name, counts[name]]);
  return h("span", { class: "shares" }, entries.map(([name, number]) => h("span", { class: `status s-${name}` }, `${count(number)} ${name}`)));
}

export async function workflow({ main, heading, title, signal, parts }) {
  title("Workflow");
  let graph = null;
  const state = h("div");
  const about = h("div");
  const canvas = h("div", { class: "canvas", tabindex: "0", role: "region", "aria-label": "Graph" });
  const load = async () => {
    const flow = await look("workflow", { workflow_id: parts[0] }, signal);
    const counts = {};
    for (const node of flow.nodes) counts[node.status] = (counts[node.status] || 0) + 1;
    if (!graph) {
      graph = drawGraph(flow.nodes);
      put(canvas, graph.element);
      put(main, h("p", { class: "crumbs" }, h("a", { href: place("workflows") }, "Workflows")), heading, h("p", { class: "id" }, flow.workflow_id), state, canvas, about);
    } else graph.update(flow.nodes);
    put(state, share(counts));
    const started = flow.nodes.map((node) => node.record?.started_at).filter(Boolean);
    const ended = flow.nodes.map((node) => node.record?.finished_at);
    put(about, flow.node_count > flow.nodes.length ? h("p", { class: "muted" }, `The first ${count(flow.nodes.length)} of ${count(flow.node_count)} jobs.`) : null,
      facts([["Sent", instant(flow.sent_at)], ["First start", started.length ? instant(Math.min(...started)) : null], ["Took", ended.every(Boolean) && started.length ? duration((Math.max(...ended) - Math.min(...started)) / 1000) : null], ["Retries of the whole", flow.retries || null]]));
  };
  await load();
  return every(2000, signal, load);
}
