// SPDX-License-Identifier: MIT OR Apache-2.0
// Keeps the pictures of the wall moving.
//
// Browsers open at most six connections to a host over HTTP/1.1, for all of its pages together. A stream for each
// tile would take them all: no page of this server could load any more. So the wall opens no stream. It asks for
// single pictures, at most three at once; a slow server is asked less often.

import { wantsStillness, readSetting, keepSetting } from "./dom.js";

/** Requests at once. */
const CONNECTIONS = 3;
/** Milliseconds between two pictures of a tile. */
const INTERVAL = 500;
/** With more tiles in view than this, each shows one standing picture. */
const MOVING_LIMIT = 40;
/** Without any input for this time the pictures stand still. */
const IDLE_AFTER = 5 * 60 * 1000;
/** Milliseconds until a picture that could not be loaded is asked for again. */
const RETRY = 5000;

/** Loads the pictures of tiles in view. A tile is an object with `mount` and `box`, the element of its picture. */
export class Previews {
  #tiles = new Set();
  #loading = 0;
  #timer = 0;
  #lastInput = performance.now();
  #wanted = readSetting("moving", wantsStillness() ? "no" : "yes") === "yes";
  #report;

  /** `report` gets a sentence when pictures stand still although they should move, otherwise an empty one. */
  constructor(report) {
    this.#report = report;
    const awake = () => {
      const wasIdle = this.#isIdle();
      this.#lastInput = performance.now();
      if (wasIdle) this.#run();
    };
    for (const event of ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchstart"]) {
      addEventListener(event, awake, { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => this.#run());
  }

  get moving() {
    return this.#wanted;
  }

  set moving(wanted) {
    this.#wanted = wanted;
    keepSetting("moving", wanted ? "yes" : "no");
    this.#run();
  }

  /** The tiles in view. Those that have left it load nothing any more. */
  show(tiles) {
    for (const tile of this.#tiles) {
      if (!tiles.has(tile)) tile.leaving?.();
    }
    this.#tiles = tiles;
    this.#run();
  }

  #isIdle() {
    return performance.now() - this.#lastInput > IDLE_AFTER;
  }

  #mayMove() {
    return this.#wanted && this.#tiles.size <= MOVING_LIMIT && !this.#isIdle();
  }

  #run() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#tiles.size === 0) return;
    this.#report(this.#sentence());
    const now = performance.now();
    const moving = this.#mayMove();
    let next = Infinity;
    // The tile that has waited longest comes first.
    const waiting = [...this.#tiles].filter((tile) => !tile.loading && !tile.mount.error).sort((a, b) => (a.due ?? 0) - (b.due ?? 0));
    for (const tile of waiting) {
      const due = tile.due ?? 0;
      if (due > 0 && !moving && !tile.failed) continue;
      if (due > now || this.#loading >= CONNECTIONS) {
        next = Math.min(next, Math.max(due, now + 20));
        continue;
      }
      this.#load(tile, now);
    }
    // Also looks whether the user has gone.
    this.#timer = setTimeout(() => this.#run(), Math.min(next - now, 10_000));
  }

  #sentence() {
    if (!this.#wanted) return "";
    if (this.#tiles.size > MOVING_LIMIT) return `The previews stand still: more than ${MOVING_LIMIT} are in view.`;
    return this.#isIdle() ? "The previews stand still: nothing has been pressed or moved for five minutes." : "";
  }

  #load(tile, now) {
    tile.loading = true;
    this.#loading += 1;
    tile.started ??= now;
    const image = new Image();
    image.alt = "";
    image.decoding = "async";
    // PerformanceObserver reports when such an image was painted.
    image.setAttribute("elementtiming", "preview");
    const done = (failed) => {
      if (!tile.loading) return;
      tile.loading = false;
      tile.leaving = null;
      this.#loading -= 1;
      tile.failed = failed;
      tile.due = failed ? performance.now() + RETRY : now + INTERVAL;
      tile.box.classList.toggle("failed", failed && !tile.box.firstElementChild);
      if (!failed) tile.box.replaceChildren(image);
      this.#run();
    };
    image.onload = () => done(false);
    image.onerror = () => done(true);
    tile.leaving = () => {
      image.onload = null;
      image.onerror = null;
      image.src = "";
      tile.loading = false;
      tile.leaving = null;
      this.#loading -= 1;
    };
    image.src = this.#address(tile, now);
  }

  #address(tile, now) {
    const { mount } = tile;
    // A live mount has one picture at a time, which must not come from the browser's cache.
    if (mount.kind === "live") return `${mount.urls.snapshot}?now=${Math.round(now)}`;
    const frame = mount.frames > 0 ? Math.floor(((now - tile.started) / 1000) * mount.framerate) % mount.frames : 0;
    return frame === 0 ? mount.urls.snapshot : `${mount.urls.snapshot}?frame=${frame}`;
  }
}
