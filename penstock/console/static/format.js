// Figures, times and bodies as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (value) => (value === null || value === undefined ? "–" : WHOLE.format(value));

// A rate per second.
export function rate(value) {
  if (!value) return "0";
  if (value < 0.1) return "<0.1";
  return value < 10 ? value.toFixed(1) : WHOLE.format(value);
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// A duration: the two largest units that matter.
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return seconds <= 0 ? "0\u00a0s" : `${Math.max(1, Math.round(seconds * 1000))}\u00a0ms`;
  if (seconds < 10) return `${Math.round(seconds * 10) / 10}\u00a0s`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const whole = Math.floor(rest / size);
    if (whole || parts.length) {
      if (whole) parts.push(`${whole}\u00a0${unit}`);
      rest -= whole * size;
      if (parts.length === 2 || (parts.length === 1 && whole >= 10)) break;
    }
  }
  return parts.slice(0, 2).join(" ");
}

export const since = (at, now = Date.now()) => (at ? duration(Math.max(0, now - at) / 1000) : "–");

// An instant relative to now: "in 3 min", "3 min ago".
export function relative(at, now = Date.now()) {
  if (!at) return "–";
  const seconds = (at - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${duration(seconds)}` : `${duration(-seconds)} ago`;
}

// An instant in full, in the browser's zone.
export function instant(at) {
  if (!at) return "–";
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const two = (value, width = 2) => String(value).padStart(width, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}

export const clock = (at) => instant(at).slice(11, 19);

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1048576) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1048576).toFixed(1)} MiB`;
}

// Text with what cannot be seen made visible: control characters, and those that turn the direction of writing.
export const visible = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u0080-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
  (character) => {
    const code = character.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });

// One line of a text.
export const line = (text, most = 160) => {
  const flat = visible(text.slice(0, most * 2)).replace(/\s+/g, " ").trim();
  return flat.length > most ? `${flat.slice(0, most)}…` : flat;
};

// Numbers that JavaScript cannot hold stay as they were written: they are put into the text untouched.
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return indent(text);
}

function indent(text) {
  let out = "";
  let depth = 0;
  const newline = () => `\n${"  ".repeat(depth)}`;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs) || [];
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      if (next === "}" || next === "]") { out += token + next; at++; continue; }
      depth++;
      out += token + newline();
    } else if (token === "}" || token === "]") {
      depth--;
      out += newline() + token;
    } else if (token === ",") out += token + newline();
    else if (token === ":") out += ": ";
    else out += token;
  }
  return out;
}

export const decode = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
export const encode = (text) => btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));

// The JSON in a record's value, or null where it is none.
export function valueOf(record) {
  try {
    return parse(new TextDecoder().decode(decode(record.value)));
  } catch {
    return null;
  }
}

// Instants between what an <input type=datetime-local> shows and ms since the epoch.
export function toInput(at) {
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

// JSON with whole numbers as they were written, also those that JavaScript cannot hold.
export const parse = (text) => JSON.parse(text, (_, value, context) => (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && JSON.rawJSON && context?.source ? JSON.rawJSON(context.source) : value));
