// Who is calling and what they may do, as the server says. The login itself is a cookie that no script can read.

import { h, put, say } from "./dom.js";

// Goes with all that the pages ask: pages of other sites cannot set it, so a cookie alone changes nothing.
export const HEADERS = { "x-penstock-console": "1" };

// Asked while the other modules are on their way.
export const whoIsIt = fetch("/access/me", { headers: HEADERS, credentials: "same-origin", cache: "no-store" }).catch(() => null);

let me = null;
const area = h("span", { class: "who" });
export const whoArea = area;

// Take over what the server answered of who is calling.
export function know(answer) {
  me = answer;
  put(area, me.user && !me.is_open ? h("span", { title: `May ${me.allow.join(", ")} in account ${me.account}` }, me.user) : null,
    me.is_login ? h("button", { type: "button", class: "link", on: { click: leave } }, "Log out") : null);
}

const isLike = (pattern, name) => new RegExp(`^${pattern.replace(/[.]/g, "\\.").replaceAll("*", ".*").replaceAll("?", ".")}$`, "s").test(name);

// Whether somebody has a right, for a queue or, without one, for all. The server decides; this only saves asking.
export function can(right, queue = "") {
  if (me === null) return true;
  const name = queue.slice(queue.lastIndexOf("/") + 1);
  return me.grants.some((grant) => grant.rights.includes(right) && (name ? isLike(grant.pattern, name) : grant.pattern === "*"));
}

// Whether there is an audit log that this caller may read.
export const keepsAudit = () => me !== null && !me.is_open && can("admin");

// Why a control cannot be used; empty if it can. `needs` is a right and the queue it is needed for.
export const lacking = (needs) => (!needs || can(...needs) ? "" : `${me.user} may not do this: it needs the right to ${needs[0] === "admin" ? "administer" : needs[0]}${needs[1] ? "" : " all queues"}.`);

async function leave() {
  await fetch("/access/logout", { method: "POST", headers: HEADERS, credentials: "same-origin" });
  location.reload();
}

const LATELY_MS = 3000;
const last = {};
for (const kind of ["input", "submit", "click"]) addEventListener(kind, (event) => { if (!event.target.closest?.(".login")) last[kind] = performance.now(); }, true);
const isLately = (...kinds) => kinds.some((kind) => performance.now() - last[kind] < LATELY_MS);

// Says that the login has ended, where a dialog would take the keyboard from somebody who is typing.
const ended = h("div", { class: "ended", role: "alert" }, h("strong", {}, "Your login has ended."), " What you typed is still here. ", h("button", { type: "button", on: { click: () => open() } }, "Log in"));
ended.hidden = true;
export const endedArea = ended;

let asking = null;
let done = null;
let dialog = null;

// Wait until the server knows who it is. It asks at once, unless somebody is typing or has put it off. What was on the
// page stays there.
export function logIn() {
  asking ??= new Promise((resolve) => { done = resolve; });
  if (!me?.is_login || isLately("submit", "click") || (ended.hidden && !isLately("input"))) open();
  else ended.hidden = Boolean(dialog);
  return asking;
}

function entered(known) {
  const isOther = me?.is_login && known.user !== me.user;
  dialog?.close();
  ended.hidden = true;
  if (isOther) { location.reload(); return; } // what is shown is somebody else's
  know(known);
  asking = null;
  done();
}

const askAgain = () => fetch("/access/me", { headers: HEADERS, credentials: "same-origin", cache: "no-store" });

// somebody may have logged in on another page of this browser
document.addEventListener("visibilitychange", async () => {
  if (!asking || document.hidden) return;
  const known = await askAgain().catch(() => null);
  if (asking && known?.ok) entered(await known.json());
});

function open() {
  if (dialog) return;
  const wasHere = Boolean(me?.is_login);
  const id = h("input", { id: "login-id", autocomplete: "username", required: true, spellcheck: "false", value: wasHere ? me.user : "" });
  const secret = h("input", { id: "login-secret", type: "password", autocomplete: "current-password", required: true });
  const said = h("p", { class: "problem", role: "alert" });
  said.hidden = true;
  const submit = h("button", { class: "primary" }, "Log in");
  const refuse = (text) => { say(said, text); said.hidden = false; secret.focus(); };
  const send = async () => {
    const response = await fetch("/access/login", {
      method: "POST", credentials: "same-origin", headers: { ...HEADERS, "content-type": "application/json" },
      body: JSON.stringify({ name: id.value.trim(), secret: secret.value }),
    });
    if (response.ok) {
      const known = await askAgain();
      if (known.ok) entered(await known.json());
      else refuse("The browser did not keep the login. It has to accept cookies of this server.");
      return;
    }
    const problem = await response.json().catch(() => ({}));
    refuse(response.status === 401 ? "This is not accepted. Check both." : `${problem.detail || response.status} ${problem.hint || ""}`);
  };
  dialog = h("dialog", { class: "login", "aria-labelledby": "login-title" },
    h("form", { method: "dialog", on: { submit: async (event) => {
      event.preventDefault();
      if (submit.disabled) return;
      submit.disabled = true;
      try { await send(); } catch { refuse("The server cannot be reached."); } finally { submit.disabled = false; }
    } } },
      h("h2", { id: "login-title" }, wasHere ? "Your login has ended" : "Log in"),
      h("p", { class: "muted" }, wasHere ? "What you typed is still here. Log in to go on." : "As a user of this server, or with an access key as AWS clients have it."),
      said,
      h("label", { for: "login-id" }, "User or access key id"), id,
      h("label", { for: "login-secret" }, "Password or secret"), secret,
      h("div", { class: "actions" }, wasHere ? h("button", { type: "button", on: { click: () => dialog.close() } }, "Later") : null, submit)));
  dialog.addEventListener("cancel", (event) => { if (!wasHere) event.preventDefault(); });
  dialog.addEventListener("close", () => { dialog.remove(); dialog = null; ended.hidden = !asking || !wasHere; });
  document.body.append(dialog);
  dialog.showModal();
  (id.value ? secret : id).focus();
}
