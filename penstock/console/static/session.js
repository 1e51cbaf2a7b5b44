// Who is calling and what they may do, as the server says. The login itself is a cookie that no script can read.

import { h, put, say } from "./dom.js";

// Goes with all that the pages ask: pages of other sites cannot set it, so a cookie alone changes nothing.
export const HEADERS = { "x-penstock-console": "1" };

// Asked while the other modules are on their way.
export const whoIsIt = fetch("/access/me", { headers: HEADERS, credentials: "same-origin", cache: "no-store" }).catch(() => null);

let me = null;
let asking = null;
let lastName = "";
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

// Ask who it is and wait until the server knows. What was on the page stays there.
export function logIn() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

function ask() {
  const wasHere = me?.is_login;
  return new Promise((resolve) => {
    const id = h("input", { id: "login-id", autocomplete: "username", required: true, spellcheck: "false", value: lastName || (wasHere ? me.user : "") });
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
      lastName = response.ok ? id.value.trim() : lastName;
      if (!response.ok) {
        const problem = await response.json().catch(() => ({}));
        refuse(response.status === 401 ? "This is not accepted. Check both." : `${problem.detail || response.status} ${problem.hint || ""}`);
        return;
      }
      const known = await fetch("/access/me", { headers: HEADERS, credentials: "same-origin", cache: "no-store" });
      if (known.ok) know(await known.json());
      dialog.close();
      dialog.remove();
      resolve();
    };
    const dialog = h("dialog", { class: "login", "aria-labelledby": "login-title" },
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
        h("div", { class: "actions" }, submit)));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    (id.value ? secret : id).focus();
  });
}
