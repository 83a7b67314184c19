// SPDX-License-Identifier: MIT OR Apache-2.0
// The header of an RTP packet as the RFC draws it, and a sentence for each field.

import { element } from "./dom.js";

/** Fewer bits in a row where there is little space. */
const NARROW = 22;

/** Cuts fields into pieces that do not cross the end of a row. */
export function pieces(fields, width) {
  const cut = [];
  let column = 0;
  for (const field of fields) {
    let left = field.bits.replace(/[^01]/g, "").length;
    for (let isFirst = true; left > 0; isFirst = false) {
      const bits = Math.min(left, width - column);
      cut.push({ field, bits, isFirst });
      column = (column + bits) % width;
      left -= bits;
    }
  }
  return cut;
}

/** The header. */
export class HeaderView {
  #root;
  #shown = null;
  #width = 0;

  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => this.show(this.#shown, true)).observe(root);
    this.show(null, true);
  }

  /** Shows the header of an `rtp` event, or that there is none. */
  show(event, force = false) {
    const em = parseFloat(getComputedStyle(this.#root).fontSize);
    const width = this.#root.clientWidth < NARROW * em ? 16 : 32;
    if (!force && event === this.#shown && width === this.#width) return;
    if (force && event === this.#shown && width === this.#width && this.#root.hasChildNodes()) return;
    [this.#shown, this.#width] = [event, width];
    if (event === null) {
      this.#root.replaceChildren(element("p", { class: "weak", text: "It comes after PLAY." }));
      return;
    }
    const parts = drawing(event.fields, width, "Fields of the RTP header");
    if (event.jpeg_fields) {
      parts.push(element("p", { class: "weak", text: "The payload starts with the header of RTP/JPEG (RFC 2435):" }), ...drawing(event.jpeg_fields, width, "Fields of the RTP/JPEG header"));
    }
    this.#root.replaceChildren(...parts);
  }
}

/** Fields as boxes in rows of `width` bits, and as a list. */
function drawing(fields, width, name) {
  const ruler = element("div", { class: "ruler", "aria-hidden": "true" }, Array.from({ length: width / 8 }, (_, i) => element("span", { text: i * 8 })), element("span", { text: width - 1 }));
  const bits = element("div", { class: "bits", "aria-hidden": "true" });
  bits.style.gridTemplateColumns = `repeat(${width}, minmax(0, 1fr))`;
  for (const { field, bits: number, isFirst } of pieces(fields, width)) {
    const cell = element("div", { title: `${field.name}: ${field.bits}` },
      element("span", { class: "name", text: isFirst ? field.name : "…" }), element("span", { class: "value mono", text: isFirst ? field.value : "" }));
    cell.style.gridColumn = `span ${number}`;
    bits.append(cell);
  }
  const list = element("div", { class: "fields", role: "list", "aria-label": name }, fields.map((field) => element("div", { role: "listitem" },
    element("span", { class: "name", text: field.name }), element("span", { class: "value mono", text: field.value }), element("span", { class: "text", text: field.explanation ?? "" }))));
  return [ruler, bits, list];
}
