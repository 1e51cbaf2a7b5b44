// Workers: who lives, what they have in hand, how full they are.

import { rest } from "../api.js";
import { every, h, place, put } from "../dom.js";
import { count, line, since, valueOf, visible } from "../format.js";
import { badge, button, confirm, empty, notice, tile } from "../widgets.js";
import { progressBar } from "./jobs.js";

const SILENT_MS = 10000;
const MOST = 200;
const DRAIN_KEPT_MS = 86400000;

export function workers({ main, heading, title, signal }) {
  title("Workers");
  const beats = new Map();
  const tiles = ["workers", "machines", "slots", "jobs in hand"].map((label) => tile(label));
  const area = h("div", { class: "cards" });
  const said = h("div");
  put(main, heading, h("div", { class: "tiles" }, tiles.map((each) => each.element)), area, said);
  return every(2000, signal, async () => {
    const { records, next_after: more } = await rest.findRecords({ prefix: "worker/", limit: MOST }, signal);
    const all = records.map(valueOf).filter(Boolean);
    const now = performance.now();
    for (const worker of all) if (beats.get(worker.owner)?.beat !== worker.beat) beats.set(worker.owner, { beat: worker.beat, at: now });
    [all.length, new Set(all.map((worker) => worker.machine)).size, sum(all, "slots"), sum(all, "held_count")].forEach((value, at) => tiles[at].set(count(value)));
    put(area, all.map((worker) => card(worker, now - beats.get(worker.owner).at > SILENT_MS)));
    put(said, all.length ? (more ? h("p", { class: "muted" }, `The first ${MOST} are shown.`) : []) : empty("No workers live", "A worker tells of itself as soon as it starts: penstock work your_module:app"));
  });
}

const sum = (all, key) => all.reduce((total, each) => total + (each[key] || 0), 0);

const drain = (owner) => confirm({
  title: `Drain ${line(owner, 60)}`, action: "Drain", about: "It takes no more jobs, ends those that run, gives back the rest and goes. Whatever started it may start another one.",
  work: async () => {
    const { records: [living] } = await rest.getRecords([`worker/${owner}`]);
    if (!living) throw new Error("It is gone already.");
    await rest.putRecords([{ key: `drain/${owner}`, value: "", expires_at: Date.now() + DRAIN_KEPT_MS }]);
    notice("It is told, and hears of it within two seconds.");
  },
});

function card(worker, isSilent) {
  const running = worker.jobs || [];
  return h("section", { class: "card" },
    h("div", { class: "bar" }, h("h2", {}, line(worker.owner, 48)), h("span", { class: "grow" }), isSilent ? badge("not heard of", "bad") : worker.is_draining ? badge("draining", "warn") : badge("live", "good")),
    h("p", { class: "muted", title: visible(String(worker.machine || "")) }, `Process ${worker.pid} on ${line(String(worker.machine || "?").split(" ")[0], 40)}, for ${since(worker.started_at)}`),
    h("p", {}, "Takes from ", (worker.queues || []).map((name, at) => [at ? ", " : "", h("a", { href: place("queue", name), "data-key": `${worker.owner}-${name}` }, name)])),
    h("div", { class: "bar" }, h("progress", { max: worker.slots || 1, value: Math.min(running.length, worker.slots || 1), "aria-label": "Slots in use" }), h("span", { class: "muted line" }, `${running.length} of ${worker.slots} slots, ${worker.held_count || 0} in hand`), h("span", { class: "grow" }),
      isSilent || worker.is_draining ? null : button("Drain…", () => drain(worker.owner), { class: "link", "aria-label": `Drain ${worker.owner}`, "data-key": `drain-${worker.owner}`, needs: ["operate"] })),
    running.length ? h("ul", { class: "running" }, running.slice(0, 20).map((job) => h("li", {}, h("a", { href: place("job", job.job_id), "data-key": job.job_id }, line(job.task, 50)), h("span", { class: "muted" }, ` ${since(job.started_at)} `), progressBar(job.progress)))) : null,
    running.length > 20 ? h("p", { class: "muted" }, `and ${running.length - 20} more`) : null);
}
