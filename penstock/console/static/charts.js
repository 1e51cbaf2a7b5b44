// Lines drawn by hand: sparklines in tables, and charts that tell their values under the pointer.

import { h, put, say, svg } from "./dom.js";
import { clock, instant } from "./format.js";

export function spark(values) {
  const width = 90;
  const height = 22;
  if (values.length < 2) return h("span", { class: "unseen" }, "no history yet");
  const highest = Math.max(...values);
  const most = Math.max(1, highest * 1.25);
  const at = (value, place) => `${(place / (values.length - 1) * width).toFixed(1)},${(height - 2 - value / most * (height - 4)).toFixed(1)}`;
  const points = values.map(at).join(" ");
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `ready and delayed: from ${values[0]} to ${values.at(-1)}, at most ${highest}` },
    svg("polygon", { points: `0,${height} ${points} ${width},${height}` }), svg("polyline", { points }));
}

const WIDTH = 600;
const HEIGHT = 120;
const DAY_MS = 86400000;

// A chart of some lines: { label, of(point), kind }; where nothing was measured, of() is null and the line goes on behind.
// Returns { element, update(points) }.
export function chart(title, lines, show) {
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
  const values = lines.map((line) => h("b", {}, "–"));
  const legend = h("p", { class: "legend" }, lines.map((line, at) => h("span", { class: `l-${line.kind}` }, line.label, " ", values[at])));
  const when = h("b");
  const top = h("span", { class: "top muted" });
  const none = h("span", { class: "none" });
  const begin = h("span", { class: "muted" });
  const end = h("span", { class: "muted" });
  const element = h("figure", { class: "chart" }, h("figcaption", {}, h("strong", {}, title)), legend, h("div", { class: "plot" }, top, none, plot), h("div", { class: "axis" }, begin, when, end));
  let points = [];
  let hovered = null;
  let tellTime = clock;
  const tell = () => {
    const point = points[hovered ?? points.length - 1];
    if (!point) return;
    lines.forEach((line, at) => {
      const value = hovered === null ? points.findLast((each) => line.of(each) !== null) : point;
      say(values[at], value && line.of(value) !== null ? show(line.of(value)) : "–");
    });
    say(when, hovered === null ? "" : tellTime(point[0]));
  };
  const draw = () => {
    if (points.length < 2) {
      put(plot);
      say(none, "Collecting…");
      tell();
      return;
    }
    const from = points[0][0];
    const span = Math.max(1, points.at(-1)[0] - from);
    const most = Math.max(1e-9, ...points.flatMap((point) => lines.map((line) => line.of(point))));
    const place = (point, line) => `${((point[0] - from) / span * WIDTH).toFixed(1)},${(HEIGHT - 3 - line.of(point) / most * (HEIGHT - 10)).toFixed(1)}`;
    put(plot, [0.25, 0.5, 0.75].map((part) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part })),
      lines.map((line) => svg("polyline", { class: `l-${line.kind}`, points: points.filter((point) => line.of(point) !== null).map((point) => place(point, line)).join(" ") })),
      hovered === null ? null : svg("line", { class: "cursor", x1: (points[hovered][0] - from) / span * WIDTH, x2: (points[hovered][0] - from) / span * WIDTH, y1: 0, y2: HEIGHT }));
    say(none, "");
    say(top, most <= 1e-9 ? "" : show(most));
    tellTime = span > DAY_MS ? (at) => instant(at).slice(5, 16) : clock;
    say(begin, tellTime(from));
    say(end, tellTime(points.at(-1)[0]));
    tell();
  };
  plot.addEventListener("pointermove", (event) => {
    if (points.length < 2) return;
    const box = plot.getBoundingClientRect();
    const at = points[0][0] + (event.clientX - box.left) / box.width * (points.at(-1)[0] - points[0][0]);
    hovered = points.reduce((best, point, place) => (Math.abs(point[0] - at) < Math.abs(points[best][0] - at) ? place : best), 0);
    draw();
  });
  plot.addEventListener("pointerleave", () => { hovered = null; draw(); });
  return { element, update: (said) => { points = said; hovered = null; draw(); } };
}
