// Asking the server: the REST API, the console's own questions, and streams of events.

import { parse } from "./format.js";
import { HEADERS, know, logIn, whoIsIt } from "./session.js";

// What went wrong, in the server's words where it had any.
export class Problem extends Error {
  constructor(status, said) {
    super(said.message || said.detail || said.title || `The server answered ${status}.`);
    this.status = status;
    this.code = said.code || "";
    this.hint = said.hint || "";
    this.field = said.field || "";
  }
}

// Tells whoever listens whether the server can be reached and its store works: event "state", detail null or a Problem.
export const connection = new EventTarget();
let trouble = null;

function note(problem) {
  if (trouble === null && problem === null) return;
  if (problem) problem.since = trouble?.since ?? Date.now();
  trouble = problem;
  connection.dispatchEvent(new CustomEvent("state", { detail: problem }));
}

// Whether something went wrong that will be right again when the server and its store are.
export const isTrouble = (problem) => problem instanceof Problem && (problem.status === 0 || problem.status >= 500);

const away = () => new Problem(0, { message: "The server cannot be reached.", hint: "What you typed is still here; try again when it is back." });

async function send(method, path, { query, body, signal } = {}) {
  const parameters = new URLSearchParams(Object.entries(query || {}).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const target = parameters.size ? `${path}?${parameters}` : path;
  for (;;) {
    let response;
    try {
      response = await fetch(target, {
        method, signal, cache: "no-store", credentials: "same-origin", redirect: "error",
        headers: { ...HEADERS, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      const problem = away();
      note(problem);
      throw problem;
    }
    if (response.status === 401) {
      await logIn();
      continue;
    }
    if (response.ok) return response;
    const problem = new Problem(response.status, await response.json().catch(() => ({})));
    if (isTrouble(problem)) note(problem);
    throw problem;
  }
}

export async function ask(method, path, options) {
  const response = await send(method, path, options);
  const answer = parse(await response.text());
  note(null);
  return answer;
}

const ours = (queue) => (queue?.includes("/") ? undefined : queue); // one of another account is not named

const q = (name) => `/v1/queues/${encodeURIComponent(name)}`;

// The REST API, as far as the pages use it.
export const rest = {
  listQueues: (query) => ask("GET", "/v1/queues", { query }),
  describeQueue: (name, signal) => ask("GET", q(name), { signal }),
  createQueue: (name, settings) => ask("POST", "/v1/queues", { body: { queue: name, settings } }),
  updateQueue: (name, settings) => ask("PATCH", q(name), { body: { settings } }),
  deleteQueue: (name) => ask("DELETE", q(name)),
  purgeQueue: (name) => ask("POST", `${q(name)}/purge`, { body: {} }),
  listGroups: (name, query, signal) => ask("GET", `${q(name)}/groups`, { query, signal }),
  updateGroup: (name, group, isParked) => ask("PATCH", `${q(name)}/groups/${encodeURIComponent(group)}`, { body: { is_parked: isParked } }),
  send: (name, messages) => ask("POST", `${q(name)}/messages`, { body: { messages } }),
  receive: (name, body, signal) => ask("POST", `${q(name)}/receive`, { body, signal }),
  settle: (settlements) => ask("POST", "/v1/settle", { body: { settlements } }),
  findMessage: (id, signal) => ask("GET", `/v1/messages/${encodeURIComponent(id)}`, { signal }),
  history: (id, signal) => ask("GET", `/v1/messages/${encodeURIComponent(id)}/history`, { signal }),
  // by id, in a queue: who may operate that one needs no right on the others
  cancel: (ids, queue) => ask("POST", "/v1/messages/cancel", { body: { message_ids: ids, queue: ours(queue) } }),
  deleteMessages: (ids, queue) => ask("POST", "/v1/messages/delete", { body: { message_ids: ids, queue: ours(queue) } }),
  reschedule: (ids, deliverAt, queue) => ask("POST", "/v1/messages/reschedule", { body: { message_ids: ids, deliver_at: deliverAt, queue: ours(queue) } }),
  startMove: (body) => ask("POST", "/v1/moves", { body }),
  listMoves: (source, signal) => ask("GET", "/v1/moves", { query: { source, limit: 10 }, signal }),
  cancelMove: (id) => ask("POST", `/v1/moves/${encodeURIComponent(id)}/cancel`),
  findRecords: (query, signal) => ask("GET", "/v1/records", { query, signal }),
  getRecords: (keys) => ask("POST", "/v1/records/get", { body: { keys } }),
  putRecords: (records) => ask("POST", "/v1/records", { body: { records } }),
  deleteRecords: (keys) => ask("POST", "/v1/records/delete", { body: { keys } }),
  apply: (effects) => ask("POST", "/v1/apply", { body: { effects } }),
};

// Find out who is calling; asks them to log in where that is needed.
export async function meet() {
  const answer = await whoIsIt;
  know(answer?.ok ? await answer.json() : await ask("GET", "/access/me"));
}

export const auditLog = (query, signal) => ask("GET", "/access/audit", { query, signal });

// The console's own questions.
export const look = (what, query, signal) => ask("GET", `/console/api/${what}`, { query, signal });

const BETWEEN_TRIES_MS = 2000;

// Where work went wrong because the server or its store was away, do it when they answer again.
export async function retry(problem, signal, work) {
  for (let tried = problem; isTrouble(tried); ) {
    await new Promise((resolve) => { setTimeout(resolve, BETWEEN_TRIES_MS); });
    if (signal.aborted) return;
    tried = await ask("GET", "/v1/queues", { query: { limit: 1 }, signal }).catch((error) => error);
    if (!isTrouble(tried) && !signal.aborted) work();
  }
}

// Get a module that may not have been there at first.
export const fetched = (module) => module.catch(() => { throw away(); });

const LONGEST_SEARCH_MS = 30000;

// Ask on from where an answer ended until something is found; told(next) hears how far it is. Each answer is of a bounded
// part; in between, others have their turn.
export async function search(what, query, signal, found, told) {
  const until = performance.now() + LONGEST_SEARCH_MS;
  for (let after = query.after; ; ) {
    const answer = await look(what, { ...query, after }, signal);
    after = answer.next_after ?? null;
    if (found(answer) || after === null || performance.now() > until) return answer;
    told(after);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    signal.throwIfAborted();
  }
}

// Wait until the page is looked at; a browser has six connections to a server, for all its pages together.
const seen = (signal) => new Promise((resolve) => {
  if (!document.hidden || signal.aborted) { resolve(); return; }
  document.addEventListener("visibilitychange", resolve, { once: true, signal });
  signal.addEventListener("abort", resolve, { once: true });
});

// Follow a stream of server-sent events until the signal; it is opened again whenever it ends, and ends while nobody looks
// at the page. A reader of fetch rather than EventSource, which cannot send a header.
export async function follow(what, query, signal, handlers) {
  let pause = 500;
  while (!signal.aborted) {
    await seen(signal);
    const hidden = new AbortController();
    const mine = AbortSignal.any([signal, hidden.signal]);
    document.addEventListener("visibilitychange", () => hidden.abort(), { once: true, signal: mine });
    try {
      const response = await send("GET", `/console/api/${what}`, { query, signal: mine });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      let isTroubled = false;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        rest += value;
        const events = rest.split("\n\n");
        rest = events.pop();
        for (const each of events) {
          const [, kind, data] = each.match(/^event: (.*)\ndata: (.*)$/s);
          const said = JSON.parse(data);
          if (kind === "problem") {
            isTroubled = true;
            if (handlers.problem?.(said) !== true) note(new Problem(503, said));
          } else {
            handlers[kind]?.(said);
            if (!isTroubled) note(null);
            isTroubled = false;
            pause = 500;
          }
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (hidden.signal.aborted) continue;
      if (error instanceof Problem && !isTrouble(error)) {
        handlers.refused?.(error);
        return;
      }
      if (!(error instanceof Problem)) note(new Problem(0, { message: "The connection to the server was lost.", hint: "Trying again." }));
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
      signal.addEventListener("abort", resolve, { once: true });
    });
    pause = Math.min(8000, pause * 2);
  }
}

// The first event of a kind.
export function first(what, query, kind) {
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    follow(what, query, stop.signal, {
      [kind]: (said) => { stop.abort(); resolve(said); },
      refused: reject,
    });
  });
}
