// The frame around the views: navigation, addresses, the state of the connection.

import { connection, fetched, isTrouble, meet, Problem, retry } from "./api.js";
import { h, place, put, say } from "./dom.js";
import { clock } from "./format.js";
import { endedArea, keepsAudit, whoArea } from "./session.js";
import { notice, noticeArea, problemBox, problemText } from "./widgets.js";
import { overview } from "./views/overview.js";

// What most people see first is there at once; the others come when they are wanted, or when there is nothing to do.
const VIEWS = {
  "": async () => overview,
  queue: async () => (await fetched(import("./views/queue.js"))).queue,
  message: async () => (await fetched(import("./views/message.js"))).message,
  hand: async () => (await fetched(import("./views/by_hand.js"))).byHand,
  dead: async () => (await fetched(import("./views/dead_letters.js"))).deadLetters,
  jobs: async () => (await fetched(import("./views/jobs.js"))).jobs,
  job: async () => (await fetched(import("./views/job.js"))).job,
  workflows: async () => (await fetched(import("./views/workflows.js"))).workflows,
  workflow: async () => (await fetched(import("./views/workflows.js"))).workflow,
  workers: async () => (await fetched(import("./views/workers.js"))).workers,
  schedules: async () => (await fetched(import("./views/schedules.js"))).schedules,
  audit: async () => (await fetched(import("./views/audit.js"))).audit,
};
const PLACES = [["Queues", [], ["", "queue", "message"]], ["By hand", ["hand"], ["hand"]], ["Dead letters", ["dead"], ["dead"]],
  ["Jobs", ["jobs"], ["jobs", "job"]], ["Workflows", ["workflows"], ["workflows", "workflow"]], ["Workers", ["workers"], ["workers"]], ["Schedules", ["schedules"], ["schedules"]]];

const IDLE_MS = 1000;

const main = h("main", { id: "main", tabindex: "-1" });
const banner = h("div", { class: "banner", role: "alert" });
banner.hidden = true;
const nav = h("nav", { "aria-label": "Views" });
const search = h("input", { type: "search", placeholder: "Id of a message or job", "aria-label": "Id of a message or job" });

document.body.append(
  h("a", { href: "#main", class: "skip", on: { click: (event) => { event.preventDefault(); main.focus(); } } }, "To the content"),
  h("header", {}, h("a", { href: "#/", class: "brand" }, "Penstock"), nav,
    h("form", { class: "find", role: "search", on: { submit: (event) => { event.preventDefault(); if (search.value.trim()) { location.hash = place("message", search.value.trim()); search.value = ""; } } } }, search),
    whoArea),
  h("div", { class: "banners" }, endedArea, banner), main, noticeArea);

connection.addEventListener("state", ({ detail }) => {
  banner.hidden = detail === null;
  if (detail) put(banner, h("strong", {}, detail.message), ` ${detail.hint} `, h("span", {}, `What is shown is from before ${clock(detail.since)}; it goes on by itself.`));
  document.body.classList.toggle("stale", detail !== null);
});

// What goes wrong where nobody looks; a view that was left asks for nothing any more.
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError" || event.reason instanceof Problem) event.preventDefault();
  if (event.reason?.name !== "AbortError") notice(problemText(event.reason), "bad");
});

function drawNav(name) {
  put(nav, [...PLACES, ...(keepsAudit() ? [["Audit", ["audit"], ["audit"]]] : [])].map(([text, target, names]) => h("a", { href: place(...target), "aria-current": names.includes(name) ? "page" : null, "data-key": `nav-${text}` }, text)));
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

let current = null;

function show() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    parts = [""];
  }
  const name = parts[0];
  const view = VIEWS[Object.hasOwn(VIEWS, name) ? name : ""];
  // a view may handle a change within itself, and so keep what was typed
  if (current && current.view === view && current.moved?.(parts.slice(1), new URLSearchParams(query))) return;
  current?.stop.abort();
  const stop = new AbortController();
  current = { view, stop };
  drawNav(name);
  const heading = h("h1", {}, "");
  const content = h("div", { class: "view" });
  put(main, content);
  window.scrollTo(0, 0);
  const context = {
    main: content, heading, signal: stop.signal, parts: parts.slice(1), query: new URLSearchParams(query),
    title: (text) => { say(heading, text); document.title = `${text} · Penstock`; },
    fail: (problem) => {
      if (stop.signal.aborted) return;
      put(content, h("h1", {}, isTrouble(problem) ? "This cannot be shown now" : "This cannot be shown"), problemBox(problem), h("p", {}, h("a", { href: "#/" }, "All queues")));
      retry(problem, stop.signal, () => { current.moved = null; show(); });
    },
    onMove: (moved) => { current.moved = moved; },
  };
  view().then((draw) => { if (!stop.signal.aborted) return draw(context); }).catch(context.fail);
}

addEventListener("hashchange", () => { if (current) show(); });
drawNav("");
await meet().catch(() => {}); // the view tells what is wrong
show();
setTimeout(() => { for (const view of Object.values(VIEWS)) view().catch(() => {}); }, IDLE_MS);
