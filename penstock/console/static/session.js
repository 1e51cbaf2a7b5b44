// Who is calling: the key a server asks for, kept until the browser's tab is closed. Nothing else touches it.

import { h } from "./dom.js";

const PLACE = "penstock.key";
let asking = null;

// Headers that prove who is calling.
export function credentials() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { authorization: `Bearer ${key}` } : {};
}

export const hasKey = () => sessionStorage.getItem(PLACE) !== null;

export function leave() {
  sessionStorage.removeItem(PLACE);
  location.reload();
}

// Ask for a key and wait until there is one. What was on the page stays there.
export function logIn(problem) {
  asking ??= ask(problem).finally(() => { asking = null; });
  return asking;
}

function ask(problem) {
  const isRefused = hasKey();
  sessionStorage.removeItem(PLACE);
  return new Promise((resolve) => {
    const id = h("input", { id: "login-id", autocomplete: "username", required: true, spellcheck: "false" });
    const secret = h("input", { id: "login-secret", type: "password", autocomplete: "current-password", required: true });
    const said = h("p", { class: "problem", role: "alert" }, isRefused ? "This key is not accepted. Check both halves." : "");
    said.hidden = !isRefused;
    const dialog = h("dialog", { class: "login", "aria-labelledby": "login-title" },
      h("form", { method: "dialog", on: { submit: (event) => {
        event.preventDefault();
        sessionStorage.setItem(PLACE, `${id.value.trim()}:${secret.value}`);
        dialog.close();
        dialog.remove();
        resolve();
      } } },
        h("h2", { id: "login-title" }, "This server asks for a key"),
        h("p", { class: "muted" }, "The same access key that AWS clients sign with. It stays in this tab."),
        said,
        h("label", { for: "login-id" }, "Access key id"), id,
        h("label", { for: "login-secret" }, "Secret"), secret,
        h("div", { class: "actions" }, h("button", { class: "primary" }, "Continue"))));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    id.focus();
  });
}
