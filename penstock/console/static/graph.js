// A workflow as a drawing: layers from left to right, each node behind all that it comes after; within a layer nodes lie
// near what they come after, so that few lines cross.

import { svg, place as address } from "./dom.js";
import { line } from "./format.js";

const NODE_WIDTH = 168;
const NODE_HEIGHT = 40;
const GAP_X = 56;
const GAP_Y = 16;
const SWEEPS = 4;

// Return where each node goes: its layer, and its place in the layer.
export function layout(nodes) {
  const layers = [];
  const layerOf = [];
  nodes.forEach((node, at) => {
    layerOf[at] = node.after.length ? 1 + Math.max(...node.after.map((each) => layerOf[each])) : 0;
    (layers[layerOf[at]] ||= []).push(at);
  });
  const before = nodes.map((node) => node.after);
  const behind = nodes.map(() => []);
  nodes.forEach((node, at) => node.after.forEach((each) => behind[each].push(at)));
  const row = [];
  const number = (layer) => layer.forEach((at, place) => { row[at] = place - (layer.length - 1) / 2; });
  layers.forEach(number);
  const sort = (layer, near) => {
    const middle = new Map(layer.map((at) => [at, near[at].length ? near[at].reduce((sum, each) => sum + row[each], 0) / near[at].length : row[at]]));
    layer.sort((one, other) => middle.get(one) - middle.get(other));
    number(layer);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    layers.forEach((layer) => sort(layer, before));
    [...layers].reverse().forEach((layer) => sort(layer, behind));
  }
  const tallest = Math.max(...layers.map((layer) => layer.length));
  return {
    width: layers.length * (NODE_WIDTH + GAP_X) - GAP_X,
    height: tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y,
    places: nodes.map((_, at) => ({ x: layerOf[at] * (NODE_WIDTH + GAP_X), y: (row[at] + (tallest - 1) / 2) * (NODE_HEIGHT + GAP_Y) })),
  };
}

// Return the drawing and how to bring it up to date with nodes of the same shape.
export function draw(nodes) {
  const { width, height, places } = layout(nodes);
  const edges = nodes.flatMap((node, at) => node.after.map((each) => {
    const from = places[each];
    const to = places[at];
    const x1 = from.x + NODE_WIDTH;
    const y1 = from.y + NODE_HEIGHT / 2;
    const y2 = to.y + NODE_HEIGHT / 2;
    const bend = Math.max(28, (to.x - x1) / 2);
    return { each, at, element: svg("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${to.x - bend} ${y2} ${to.x} ${y2}` }) };
  }));
  const boxes = nodes.map((node, at) => {
    const said = svg("text", { x: 26, y: 31, class: "sub" });
    const box = svg("a", { href: address("job", node.job_id), transform: `translate(${places[at].x} ${places[at].y})`, "data-key": node.job_id },
      svg("rect", { width: NODE_WIDTH, height: NODE_HEIGHT, rx: 8 }), svg("circle", { cx: 14, cy: 15, r: 4.5 }),
      svg("text", { x: 26, y: 19 }, line(node.name, 20)), said, svg("title", {}, `${node.name}: ${node.task}`));
    return { box, said };
  });
  const element = svg("svg", { class: "flow", viewBox: `-2 -2 ${width + 4} ${height + 4}`, width: width + 4, height: height + 4, role: "group", "aria-label": "The workflow's jobs" },
    edges.map((edge) => edge.element), boxes.map((each) => each.box));
  const update = (now) => {
    now.forEach((node, at) => {
      boxes[at].box.setAttribute("class", `node s-${node.status}`);
      const progress = node.record?.progress;
      const share = progress?.total ? ` ${Math.round(progress.done / progress.total * 100)} %` : "";
      boxes[at].said.textContent = `${node.status}${share}`;
    });
    edges.forEach((edge) => edge.element.setAttribute("class", `edge e-${now[edge.each].status}`));
  };
  update(nodes);
  return { element, update };
}
