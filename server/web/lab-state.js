// SPDX-License-Identifier: MIT OR Apache-2.0
// The lab's state diagram: the current state filled, the last transition marked.

import { setText, svg } from "./dom.js";

const STATES = ["init", "ready", "playing"];
const [WIDTH, HEIGHT, GAP, TOP] = [104, 46, 64, 26];
const LEFT = (i) => 2 + i * (WIDTH + GAP);
/** From, to, word, the line, its tip, where the word stands. */
const WAYS = [
  ["init", "ready", "SETUP", `M${LEFT(0) + WIDTH} 40H${LEFT(1) - 8}`, `M${LEFT(1)} 40l-9 -5v10z`, [LEFT(1) - GAP / 2 - 3, 32]],
  ["ready", "playing", "PLAY", `M${LEFT(1) + WIDTH} 40H${LEFT(2) - 8}`, `M${LEFT(2)} 40l-9 -5v10z`, [LEFT(2) - GAP / 2 - 3, 32]],
  ["playing", "ready", "PAUSE", `M${LEFT(2)} 58H${LEFT(1) + WIDTH + 8}`, `M${LEFT(1) + WIDTH} 58l9 -5v10z`, [LEFT(2) - GAP / 2 + 3, 76]],
  ["ready", "init", "TEARDOWN", `M${LEFT(1) + 34} 72V84Q${LEFT(1) + 34} 96 ${LEFT(1) + 20} 96H${LEFT(0) + 84}Q${LEFT(0) + 70} 96 ${LEFT(0) + 70} 81`, `M${LEFT(0) + 70} 72l-5 9h10z`, [LEFT(0) + WIDTH + GAP / 2, 111]],
  ["playing", "init", "TEARDOWN", `M${LEFT(2) + 52} 72V108Q${LEFT(2) + 52} 124 ${LEFT(2) + 36} 124H${LEFT(0) + 50}Q${LEFT(0) + 34} 124 ${LEFT(0) + 34} 108V81`, `M${LEFT(0) + 34} 72l-5 9h10z`, [LEFT(1) + WIDTH + GAP / 2, 118]],
];

/** The diagram. */
export class StateDiagram {
  #boxes = new Map();
  #ways = new Map();
  #svg;

  constructor(root) {
    for (const [from, to, word, line, tip, [x, y]] of WAYS) {
      const way = svg("g", {}, svg("path", { class: "way", d: line }), svg("path", { class: "tip", d: tip }), svg("text", { class: "word", x, y }, word));
      this.#ways.set(`${from}-${to}`, way);
    }
    STATES.forEach((state, i) => {
      const middle = LEFT(i) + WIDTH / 2;
      const name = svg("text", { class: "name", x: middle, y: TOP + 29 }, state.toUpperCase());
      const number = svg("text", { class: "count", x: middle, y: TOP - 9 });
      const box = svg("g", {}, svg("rect", { class: "box", x: LEFT(i), y: TOP, width: WIDTH, height: HEIGHT, rx: 9 }), name);
      this.#boxes.set(state, { box, number, node: svg("g", {}, box, number) });
    });
    this.#svg = svg("svg", { viewBox: "0 0 444 132", class: "diagram", role: "img", "aria-label": "No session" },
      [...this.#ways.values()], [...this.#boxes.values()].map((it) => it.node));
    root.replaceChildren(this.#svg);
  }

  /** Lights a session's state. `others`: all sessions, which are counted. */
  show(session, others) {
    for (const [state, { box, number }] of this.#boxes) {
      box.classList.toggle("lit", session?.state === state);
      const here = others.filter((it) => it.state === state).length;
      setText(number, here > 0 && others.length > 1 ? `${here} session${here === 1 ? "" : "s"}` : "");
    }
    for (const [name, way] of this.#ways) way.classList.toggle("taken", session?.transition === name);
    const text = session ? `Session ${session.id} is in the state ${session.state.toUpperCase()}` : "No session";
    if (this.#svg.getAttribute("aria-label") !== text) this.#svg.setAttribute("aria-label", text);
  }
}
