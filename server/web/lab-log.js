// SPDX-License-Identifier: MIT OR Apache-2.0
// The list of requests, replies and what else happens.

import { element, setText } from "./dom.js";
import { count } from "./format.js";

/** Entries in the document. */
const ENTRIES = 400;
/** Distance from the end, in pixels, at which the list still follows what is added. */
const NEAR = 40;

/** Time of day, with milliseconds. */
export function clock(time) {
  const at = new Date(time);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

function head(event, session, what, arrow, meaning) {
  return element("header", {},
    element("span", { class: "session-tag", title: `Session ${session.id}`, text: session.id }),
    arrow ? element("span", { class: "arrow", "aria-hidden": "true", text: arrow }) : null,
    meaning ? element("span", { class: "unseen", text: meaning }) : null,
    element("span", { class: "what", text: what }),
    element("span", { class: "when", text: clock(event.time) }),
    element("span", { class: "peer", text: session.peer }));
}

function message(event, session) {
  const isRequest = event.kind === "request";
  const lines = (event.lines ?? []).map((line) => element("div", {}, element("dt", { class: "mono", text: line.text }), element("dd", { text: line.explanation ?? "" })));
  const remarks = (event.remarks ?? []).map((text) => element("p", { class: "remark", text }));
  return element("article", { class: `event ${event.kind}` },
    head(event, session, event.summary, isRequest ? "→" : "←", isRequest ? "Request:" : "Reply:"), element("dl", { class: "lines" }, lines), remarks);
}

function entry(event, session) {
  switch (event.kind) {
    case "request":
    case "reply":
      return message(event, session);
    case "session":
      return element("p", { class: "event begin", text: `${clock(event.time)} Session ${session.id}: ${event.peer} has connected${event.dialect === "lab" ? " and speaks the lab's dialect" : ""}` });
    case "rtp":
      return element("article", { class: "event rtp" }, head(event, session, `first RTP packet, ${count(event.payload_bytes, "byte")} of payload`, "⇠", "Packet:"));
    case "end":
      return element("p", { class: "event end", text: `${clock(event.time)} Session ${session.id} has ended: ${event.reason}` });
    default:
      return null;
  }
}

/** The list. It follows its end unless the user has scrolled away from it. */
export class Log {
  #root;
  #button;
  #follows = true;
  #bands = new Map();

  constructor(root, button) {
    [this.#root, this.#button] = [root, button];
    // Only who scrolls up leaves the end. The size of the text may change the distance too.
    let top = 0;
    root.addEventListener("scroll", () => {
      if (root.scrollHeight - root.scrollTop - root.clientHeight < NEAR) this.#follows = true;
      else if (root.scrollTop < top) this.#follows = false;
      top = root.scrollTop;
      button.hidden = this.#follows;
    }, { passive: true });
    new ResizeObserver(() => this.#stay()).observe(root);
    button.addEventListener("click", () => this.toNewest());
  }

  get isEmpty() {
    return this.#root.childElementCount === 0;
  }

  clear() {
    this.#root.replaceChildren();
    this.#bands.clear();
    this.#follows = true;
    this.#button.hidden = true;
  }

  /** Goes to the last entry, and follows again. */
  toNewest() {
    this.#root.scrollTop = this.#root.scrollHeight;
    this.#follows = true;
    this.#button.hidden = true;
  }

  /** Adds an event. Packets between two messages are one entry, which counts them. */
  add(event, session) {
    if (event.kind === "packets") {
      this.#addPackets(event, session);
      return;
    }
    const node = entry(event, session);
    if (node === null) return;
    if (event.kind !== "rtp") this.#bands.delete(session.id);
    this.#append(node);
  }

  #addPackets(event, session) {
    let band = this.#bands.get(session.id);
    if (!band) {
      band = { packets: 0, frames: 0, bytes: 0, from: event.from_sequence, node: element("p", { class: "event rtp" }) };
      this.#bands.set(session.id, band);
      this.#append(band.node);
    }
    band.packets += event.packets;
    band.frames += event.frames;
    band.bytes += event.bytes;
    setText(band.node, `Session ${session.id}: ⇠ ${count(band.packets, "packet")}, sequence numbers ${band.from} to ${event.to_sequence}, ${count(band.frames, "frame")}`);
  }

  #append(node) {
    this.#root.append(node);
    while (this.#root.childElementCount > ENTRIES) this.#root.firstElementChild.remove();
    this.#stay();
  }

  #stay() {
    if (this.#follows) this.#root.scrollTop = this.#root.scrollHeight;
  }
}
