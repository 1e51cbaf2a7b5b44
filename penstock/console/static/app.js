// The frame around the views: navigation, addresses, the state of the connection.

import { connection, meet, Problem } from "./api.js";
import { h, place, put, say } from "./dom.js";
import { clock } from "./format.js";
import { whoArea } from "./session.js";
import { notice, noticeArea, problemBox, problemText } from "./widgets.js";
import { byHand } from "./views/by_hand.js";
import { deadLetters } from "./views/dead_letters.js";
import { job } from "./views/job.js";
import { jobs } from "./views/jobs.js";
import { message } from "./views/message.js";
import { overview } from "./views/overview.js";
import { queue } from "./views/queue.js";
import { schedules } from "./views/schedules.js";
import { workers } from "./views/workers.js";
import { workflow, workflows } from "./views/workflows.js";

const VIEWS = { "": overview, queue, message, hand: byHand, dead: deadLetters, jobs, job, workflows, workflow, workers, schedules };
const PLACES = [["Queues", [], ["", "queue", "message"]], ["By hand", ["hand"], ["hand"]], ["Dead letters", ["dead"], ["dead"]],
  ["Jobs", ["jobs"], ["jobs", "job"]], ["Workflows", ["workflows"], ["workflows", "workflow"]], ["Workers", ["workers"], ["workers"]], ["Schedules", ["schedules"], ["schedules"]]];

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
  banner, main, noticeArea);

connection.addEventListener("state", ({ detail }) => {
  banner.hidden = detail === null;
  if (detail) put(banner, h("strong", {}, detail.message), ` ${detail.hint} `, h("span", {}, `What is shown is from before ${clock(Date.now())}.`));
  document.body.classList.toggle("stale", detail !== null);
});

// What goes wrong where nobody looks; a view that was left asks for nothing any more.
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError" || event.reason instanceof Problem) event.preventDefault();
  if (event.reason?.name !== "AbortError") notice(problemText(event.reason), "bad");
});

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
  put(nav, PLACES.map(([text, target, names]) => h("a", { href: place(...target), "aria-current": names.includes(name) ? "page" : null, "data-key": `nav-${text}` }, text)));
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const heading = h("h1", {}, "");
  const content = h("div", { class: "view" });
  put(main, content);
  window.scrollTo(0, 0);
  const context = {
    main: content, heading, signal: stop.signal, parts: parts.slice(1), query: new URLSearchParams(query),
    title: (text) => { say(heading, text); document.title = `${text} · Penstock`; },
    fail: (problem) => { if (!stop.signal.aborted) put(content, h("h1", {}, "This cannot be shown"), problemBox(problem), h("p", {}, h("a", { href: "#/" }, "All queues"))); },
    onMove: (moved) => { current.moved = moved; },
  };
  Promise.resolve(view(context)).catch(context.fail);
}

addEventListener("hashchange", () => { if (current) show(); });
await meet().catch(() => {}); // the view tells what is wrong
show();
