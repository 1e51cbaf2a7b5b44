// Building the page. Text goes in as text nodes and attributes by name, so nothing that a message says can become HTML.

const SVG = "http://www.w3.org/2000/svg";
const REFUSED = /^(on|style$|srcdoc$|innerHTML$|outerHTML$)/;

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (REFUSED.test(name)) throw new Error(`${name} is not set here`);
    else if (name === "href" && !/^(#|\/(?!\/))/.test(value)) throw new Error("links stay on this server");
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// An HTML element: h("a", { href: "#/" , on: { click } }, "text", otherElement)
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

// An SVG element.
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// Put other children into an element; the focus stays on what has the same data-key.
export function put(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (focused) [...element.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
  return element;
}

// Set an element's text, if it is another.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The address of a place in the console; parts may be any text.
export const place = (...parts) => `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;

// Do something now and then again while a view is open and visible.
export function every(ms, signal, work) {
  let isAtIt = false;
  const once = async () => {
    if (isAtIt || document.hidden || signal.aborted) return;
    isAtIt = true;
    try { await work(); } catch (error) { if (!signal.aborted) console.debug(error); } finally { isAtIt = false; }
  };
  const timer = setInterval(once, ms);
  signal.addEventListener("abort", () => clearInterval(timer));
  document.addEventListener("visibilitychange", once, { signal });
  return once();
}

// Work of which only the latest call counts: what was begun before is called off by the signal it was given.
export function latest(signal, work) {
  let current = null;
  return async () => {
    current?.abort();
    current = new AbortController();
    const mine = AbortSignal.any([current.signal, signal]);
    try { await work(mine); } catch (error) { if (!mine.aborted) throw error; }
  };
}
