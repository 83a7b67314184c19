// SPDX-License-Identifier: MIT OR Apache-2.0
// Packets and messages of the last seconds, a row for each session.

import { wantsStillness } from "./dom.js";
import { count } from "./format.js";

/** Seconds that the line shows. */
const SECONDS = 30;
/** Sessions that have a row: those that spoke last. */
const ROWS = 4;
/** Events that are kept. */
const KEPT = 2000;
/** Time that one event of packets covers, in seconds. */
const COVERS = 0.25;

/** The line. */
export class Timeline {
  #canvas;
  #events = [];
  /** Difference of the server's clock to that of the browser, in milliseconds. */
  #skew = null;
  #frozenAt = null;
  #latest = null;

  constructor(canvas) {
    this.#canvas = canvas;
    const step = () => {
      if (!document.hidden && this.#frozenAt === null && this.#events.length > 0) this.draw();
      setTimeout(step, wantsStillness() ? 1000 : 100);
    };
    step();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Stops the line at this moment. */
  set frozen(frozen) {
    this.#frozenAt = frozen ? this.#now() : null;
  }

  clear() {
    this.#events = [];
    this.#latest = null;
  }

  add(event, session) {
    const time = Date.parse(event.time);
    // The newest event cannot lie in the future: clocks differ, and the network needs time.
    const skew = time - Date.now();
    if (this.#skew === null || skew > this.#skew) this.#skew = skew;
    if (event.kind === "packets") this.#latest = { event, session };
    if (["request", "reply", "packets", "end"].includes(event.kind)) this.#events.push({ event, session, time });
    if (this.#events.length > KEPT) this.#events.splice(0, this.#events.length - KEPT);
  }

  /** What the picture shows, as a sentence. */
  text() {
    if (this.#latest === null) return "No packets yet";
    const { event, session } = this.#latest;
    return `Session ${session.id}: ${count(event.packets, "packet")}, sequence numbers ${event.from_sequence} to ${event.to_sequence}, frame ${event.frame}`;
  }

  #now() {
    return this.#frozenAt ?? Date.now() + (this.#skew ?? 0);
  }

  draw() {
    const canvas = this.#canvas;
    const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
    if (width === 0) return;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    }
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const em = parseFloat(style.fontSize);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const small = 0.8125 * em;
    context.font = `${small}px system-ui, sans-serif`;
    const now = this.#now();
    const left = 2.5 * em;
    const bottom = height - 1.4 * small;
    const x = (time) => left + ((time - now) / 1000 / SECONDS + 1) * (width - left);
    this.#axis(context, { x, now, left, bottom, width, colour });
    const recent = this.#events.filter((it) => now - it.time < SECONDS * 1000);
    const rows = [...new Set(recent.map((it) => it.session).reverse())].slice(0, ROWS).reverse();
    if (rows.length === 0) return;
    const rowHeight = bottom / rows.length;
    rows.forEach((session, row) => {
      const base = (row + 1) * rowHeight - 2;
      this.#row(context, { session, recent, base, rowHeight, x, left, width, small, colour });
    });
  }

  #axis(context, { x, now, left, bottom, width, colour }) {
    context.textAlign = "center";
    context.textBaseline = "bottom";
    const step = width < 500 ? 10 : 5;
    for (let second = 0; second <= SECONDS; second += step) {
      const at = x(now - second * 1000);
      context.fillStyle = colour("--line");
      context.fillRect(Math.round(at) - (second === 0 ? 1 : 0), 0, 1, bottom);
      context.fillStyle = colour("--weak");
      context.textAlign = second === 0 ? "right" : at < left + 20 ? "left" : "center";
      context.fillText(second === 0 ? "now" : `${second} s ago`, at, this.#canvas.clientHeight);
    }
  }

  #row(context, { session, recent, base, rowHeight, x, left, width, small, colour }) {
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.fillStyle = colour("--text");
    context.fillText(session.id, 2, base - 3, left - 6);
    context.fillStyle = colour("--line");
    context.fillRect(left, base, width - left, 1);
    const space = Math.max(6, rowHeight - small - 6);
    const own = recent.filter((it) => it.session === session);
    const most = Math.max(1, ...own.map((it) => it.event.packets ?? 0));
    context.save();
    context.beginPath();
    context.rect(left, 0, width - left, base + 2);
    context.clip();
    let written = -Infinity;
    for (const { event, time } of own) {
      if (event.kind === "packets") {
        const high = Math.max(2, (event.packets / most) * space);
        const [from, to] = [x(time - COVERS * 1000), x(time)];
        context.fillStyle = colour("--accent-text");
        context.fillRect(from + 0.5, base - high, Math.max(1, to - from - 1), high);
        continue;
      }
      const at = x(time);
      context.fillStyle = colour(event.kind === "request" ? "--text" : "--weak");
      const isRequest = event.kind === "request";
      context.fillRect(at, base - space - (isRequest ? small : 0), 1.5, isRequest ? space + small : space);
      if (!isRequest) continue;
      // A word that has no space moves to the right, if it stays near its line.
      const word = event.summary.split(" ")[0];
      const start = Math.max(at + 4, written);
      if (start > at + 6 * small) continue;
      context.fillText(word, start, base - space - 3);
      written = start + context.measureText(word).width + 6;
    }
    context.restore();
  }
}
