// SPDX-License-Identifier: MIT OR Apache-2.0
// The seek bar: where the picture on screen is in the movie, and the picture under the pointer.

import { element, setText } from "./dom.js";
import { time } from "./format.js";

/** The seek bar of a movie. `scrub` gets each frame that the user passes, `seek` the one that is chosen. */
export class SeekBar {
  #mount = null;
  #scrub;
  #seek;
  #now = element("output", { text: "0:00.0" });
  #left = element("span", { text: "" });
  #input = element("input", { type: "range", min: "0", max: "0", step: "1", value: "0", "aria-label": "Position", disabled: true });
  #image = element("img", { alt: "" });
  #tipText = element("div");
  #tip = element("div", { class: "seek-tip", hidden: true, "aria-hidden": "true" }, this.#image, this.#tipText);
  #dragging = false;
  #scrubbed = false;
  #wanted = null;
  #loading = false;

  constructor({ scrub, seek }) {
    [this.#scrub, this.#seek] = [scrub, seek];
    this.node = element("div", { class: "seek-row" }, this.#now, element("div", { class: "seek" }, this.#input, this.#tip), this.#left);
    this.#input.addEventListener("input", () => this.#passed());
    this.#input.addEventListener("pointerdown", () => (this.#dragging = true));
    for (const event of ["pointerup", "pointercancel", "change"]) this.#input.addEventListener(event, () => this.#chosen());
    this.#input.addEventListener("pointermove", (event) => this.#point(event));
    for (const event of ["pointerleave", "blur", "pointercancel"]) this.#input.addEventListener(event, () => this.#hideTip());
  }

  /** Empties the bar. */
  clear() {
    this.#mount = null;
    this.#input.disabled = true;
    this.#input.value = "0";
    this.node.hidden = false;
    setText(this.#now, "0:00.0");
    setText(this.#left, "");
    this.#hideTip();
    this.#paint(0, null);
  }

  /** Takes a movie's length. */
  open(mount) {
    this.#mount = mount;
    const seeks = mount.kind !== "live" && mount.frames !== null && mount.frames > 1;
    this.#input.disabled = !seeks;
    this.#input.max = String(Math.max(1, (mount.frames ?? 1) - 1));
    this.node.hidden = mount.kind === "live";
  }

  /** Shows the position of the frame on screen. */
  move(frame, timestamp, section) {
    const mount = this.#mount;
    if (mount === null || frame === null) return;
    setText(this.#now, time(timestamp ?? frame / mount.framerate));
    if (mount.frames !== null) setText(this.#left, `-${time(Math.max(0, (mount.frames - 1 - frame) / mount.framerate))}`);
    if (!this.#dragging) this.#input.value = String(frame);
    this.#input.setAttribute("aria-valuetext", this.#text(frame));
    this.#paint(this.#dragging ? Number(this.#input.value) : frame, section);
  }

  #text(frame) {
    const of = this.#mount.frames === null ? "" : ` of ${this.#mount.frames}`;
    return `${time(frame / this.#mount.framerate)}, frame ${frame}${of}`;
  }

  #percent(frame) {
    return `${(100 * frame) / Math.max(1, Number(this.#input.max))}%`;
  }

  #paint(frame, section) {
    const { style } = this.#input;
    style.setProperty("--done", this.#percent(frame));
    style.setProperty("--from", this.#percent(section?.[0] ?? 0));
    style.setProperty("--to", this.#percent(section ? section[1] ?? section[0] + 1 : 0));
  }

  #passed() {
    const frame = Number(this.#input.value);
    this.#scrubbed = true;
    this.#paint(frame, null);
    this.#scrub(frame);
  }

  #chosen() {
    this.#dragging = false;
    if (!this.#scrubbed) return;
    this.#scrubbed = false;
    this.#seek(Number(this.#input.value));
  }

  #point(event) {
    if (this.#input.disabled || event.pointerType === "touch") return;
    const box = this.#input.getBoundingClientRect();
    // The middle of the knob moves between its halves at both ends.
    const knob = 14;
    const part = Math.min(1, Math.max(0, (event.clientX - box.left - knob / 2) / (box.width - knob)));
    const frame = Math.round(part * Number(this.#input.max));
    setText(this.#tipText, `${time(frame / this.#mount.framerate)} · frame ${frame}`);
    this.#tip.hidden = false;
    const width = this.#tip.offsetWidth;
    const left = Math.min(box.width - width, Math.max(0, event.clientX - box.left - width / 2));
    this.#tip.style.left = `${left}px`;
    this.#wanted = frame;
    this.#load();
  }

  /** Loads the wanted picture. While one is loaded, only the last one wanted counts. */
  #load() {
    if (this.#loading || this.#wanted === null) return;
    this.#loading = true;
    const next = new Image();
    const done = () => {
      this.#loading = false;
      this.#load();
    };
    const mount = this.#mount;
    next.onload = () => {
      if (mount === this.#mount) this.#image.src = next.src;
      done();
    };
    next.onerror = done;
    next.src = mount.urls.frames.replace("{number}", this.#wanted);
    this.#wanted = null;
  }

  #hideTip() {
    this.#tip.hidden = true;
    this.#wanted = null;
  }
}
