// SPDX-License-Identifier: MIT OR Apache-2.0
// The picture: drawn on a canvas, whole or enlarged, with a message over it.

import { element } from "./dom.js";

const LARGEST = 16;

/** The picture and what lies over it. */
export class Stage {
  #canvas = element("canvas", { role: "img", "aria-label": "No picture yet" });
  #context = this.#canvas.getContext("2d", { alpha: false });
  #badge = element("span", { class: "badge", text: "live", hidden: true });
  #message = null;
  #zoom = 1;
  #offset = { x: 0, y: 0 };
  #drag = null;
  node = element("div", { class: "stage" }, this.#canvas, this.#badge);

  constructor() {
    const { node } = this;
    node.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    node.addEventListener("pointerdown", (event) => {
      if (this.#zoom > 1) this.#drag = { x: event.clientX, y: event.clientY, moved: false };
    });
    node.addEventListener("pointermove", (event) => this.#move(event));
    addEventListener("pointerup", () => setTimeout(() => (this.#drag = null)));
    // The click that ends a drag, and one on a button of the message, do not play or pause.
    node.addEventListener("click", (event) => {
      if (this.#drag?.moved || event.target.closest(".stage-message")) event.stopImmediatePropagation();
    });
  }

  set live(live) {
    this.#badge.hidden = !live;
  }

  /** Forgets the picture. */
  clear() {
    this.message(null);
    this.live = false;
    this.showWhole();
    this.#canvas.hidden = true;
    this.#canvas.setAttribute("aria-label", "No picture yet");
  }

  /** Draws a picture at its own size; the browser scales it. */
  draw(picture) {
    const canvas = this.#canvas;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      [canvas.width, canvas.height] = [picture.width, picture.height];
    }
    this.#context.drawImage(picture, 0, 0);
    canvas.hidden = false;
  }

  /** Says to screen readers what is shown. */
  describe(mount, frame) {
    const text = frame === null ? "No picture yet" : mount.kind === "live" ? `${mount.title}, live` : `${mount.title}, frame ${frame}`;
    if (this.#canvas.getAttribute("aria-label") !== text) this.#canvas.setAttribute("aria-label", text);
  }

  /** Shows a message with a button over the picture; null removes it. */
  message(title, text, button, action) {
    if (title === null || this.#message?.dataset.text !== `${title} ${text}`) {
      this.#message?.remove();
      this.#message = null;
    }
    if (title === null || this.#message !== null) return;
    this.#message = element("div", { class: "stage-message", role: "alert", "data-text": `${title} ${text}` },
      element("h2", { text: title }), element("p", { text }), element("button", { type: "button", class: "accent", text: button, onclick: action }));
    this.node.append(this.#message);
  }

  /** Doubles the picture; from the largest size back to the whole one. */
  enlarge() {
    this.#set(this.#zoom >= LARGEST ? 1 : this.#zoom * 2);
  }

  /** Shows the whole picture. */
  showWhole() {
    this.#set(1);
  }

  #set(zoom, at = { x: 0, y: 0 }) {
    const next = Math.min(LARGEST, Math.max(1, zoom));
    const by = next / this.#zoom;
    // The point under the pointer stays where it is.
    this.#offset = { x: at.x - (at.x - this.#offset.x) * by, y: at.y - (at.y - this.#offset.y) * by };
    this.#zoom = next;
    this.#apply();
  }

  #apply() {
    const { clientWidth, clientHeight } = this.node;
    const limit = (value, side) => Math.max((-side * (this.#zoom - 1)) / 2, Math.min((side * (this.#zoom - 1)) / 2, value));
    this.#offset = { x: limit(this.#offset.x, clientWidth), y: limit(this.#offset.y, clientHeight) };
    const { x, y } = this.#offset;
    this.#canvas.style.transform = this.#zoom === 1 ? "" : `translate(${x}px, ${y}px) scale(${this.#zoom})`;
    this.node.classList.toggle("zoomed", this.#zoom > 1);
  }

  #wheel(event) {
    if (event.ctrlKey || (this.#zoom === 1 && event.deltaY > 0)) return;
    event.preventDefault();
    const box = this.node.getBoundingClientRect();
    const at = { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
    this.#set(this.#zoom * 2 ** (-event.deltaY / 240), at);
  }

  #move(event) {
    if (!this.#drag || event.buttons === 0) return;
    const [dx, dy] = [event.clientX - this.#drag.x, event.clientY - this.#drag.y];
    if (!this.#drag.moved && Math.hypot(dx, dy) < 4) return;
    this.#drag = { x: event.clientX, y: event.clientY, moved: true };
    this.#offset = { x: this.#offset.x + dx, y: this.#offset.y + dy };
    this.#apply();
  }
}
