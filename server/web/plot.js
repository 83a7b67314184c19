// SPDX-License-Identifier: MIT OR Apache-2.0
// Small plots of the last minute.

import { svg } from "./dom.js";

/** Values that a plot shows: one a second. */
export const SAMPLES = 60;
const [WIDTH, HEIGHT] = [120, 28];

/** The last minute of one value. */
export class Plot {
  #values = [];
  #line = svg("path", { fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" });
  #area = svg("path", { fill: "currentColor", opacity: "0.16" });
  /** The picture. What it says stands beside it as text. */
  node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", preserveAspectRatio: "none", "aria-hidden": "true" }, this.#area, this.#line);

  #least;

  /** The axis starts at zero and reaches at least `least`. */
  constructor(least) {
    this.#least = least;
  }

  /** Adds a value; null is a gap. */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES) this.#values.shift();
    const top = Math.max(this.#least, ...this.#values.map((it) => it ?? 0)) * 1.1;
    const start = SAMPLES - this.#values.length;
    let [line, area, from] = ["", "", null];
    this.#values.forEach((it, i) => {
      const x = (((start + i) * WIDTH) / (SAMPLES - 1)).toFixed(1);
      if (it === null) {
        if (from !== null) area += `V${HEIGHT}H${from}Z`;
        from = null;
        return;
      }
      const y = (HEIGHT - 1 - (it / top) * (HEIGHT - 2)).toFixed(1);
      line += `${from === null ? "M" : "L"}${x} ${y}`;
      area += from === null ? `M${x} ${HEIGHT}V${y}` : `L${x} ${y}`;
      from ??= x;
    });
    if (from !== null) area += `V${HEIGHT}H${from}Z`;
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
  }

  /** Marks that the value is a bad one. */
  set bad(bad) {
    this.node.classList.toggle("bad", bad);
  }
}
