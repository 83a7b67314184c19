// SPDX-License-Identifier: MIT OR Apache-2.0
// Reads multipart/x-mixed-replace from a response. An <img> shows such a stream too, but does not say which frame
// it shows: the frame number is in the header of each part.

const HEADER_LIMIT = 16 * 1024;
const BODY_LIMIT = 64 * 1024 * 1024;

/** A growing buffer of bytes that are taken from its front. */
class Bytes {
  #store = new Uint8Array(256 * 1024);
  #start = 0;
  #end = 0;

  get length() {
    return this.#end - this.#start;
  }

  push(chunk) {
    if (this.#end + chunk.length > this.#store.length) {
      const needed = this.length + chunk.length;
      const target = needed * 2 > this.#store.length ? new Uint8Array(needed * 2) : this.#store;
      target.set(this.view(this.length));
      [this.#store, this.#end, this.#start] = [target, this.length, 0];
    }
    this.#store.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The first bytes; valid until the next push. */
  view(length) {
    return this.#store.subarray(this.#start, this.#start + length);
  }

  take(length) {
    const taken = this.view(length).slice();
    this.#start += length;
    return taken;
  }

  /** Where CR LF CR LF starts, or -1. */
  endOfHeader() {
    const bytes = this.view(Math.min(this.length, HEADER_LIMIT));
    for (let at = bytes.indexOf(13); at >= 0; at = bytes.indexOf(13, at + 1)) {
      if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
    }
    return -1;
  }
}

/** Takes chunks of a body, gives its parts: `{ headers: Map, body: Uint8Array }`. */
export class MultipartParser {
  #bytes = new Bytes();
  #boundary;
  #headers = null;
  #ended = false;

  constructor(boundary) {
    this.#boundary = `--${boundary}`;
  }

  /** Whether the last boundary has been read. */
  get ended() {
    return this.#ended;
  }

  /** The parts that are complete with this chunk. */
  push(chunk) {
    this.#bytes.push(chunk);
    const parts = [];
    while (!this.#ended) {
      if (this.#headers === null && !this.#readHeaders()) break;
      const length = Number(this.#headers.get("content-length"));
      if (!Number.isInteger(length) || length < 0) throw new Error("A part of the stream has no valid Content-Length.");
      if (length > BODY_LIMIT) throw new Error(`A part of the stream has ${length} bytes; at most ${BODY_LIMIT} are read.`);
      if (this.#bytes.length < length) break;
      parts.push({ headers: this.#headers, body: this.#bytes.take(length) });
      this.#headers = null;
    }
    return parts;
  }

  #readHeaders() {
    // CR LF before a boundary belongs to the part before.
    while (this.#bytes.length >= 2 && this.#bytes.view(2)[0] === 13 && this.#bytes.view(2)[1] === 10) this.#bytes.take(2);
    const lead = this.#boundary.length + 2;
    if (this.#bytes.length < lead) return false;
    const first = new TextDecoder("latin1").decode(this.#bytes.view(lead));
    if (!first.startsWith(this.#boundary)) throw new Error("The stream has no boundary where one is due.");
    if (first.endsWith("--")) {
      this.#ended = true;
      return false;
    }
    const end = this.#bytes.endOfHeader();
    if (end < 0) {
      if (this.#bytes.length > HEADER_LIMIT) throw new Error("The header of a part is too long.");
      return false;
    }
    const text = new TextDecoder("latin1").decode(this.#bytes.take(end + 4));
    this.#headers = new Map();
    for (const line of text.split("\r\n").slice(1)) {
      const colon = line.indexOf(":");
      if (colon > 0) this.#headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    return true;
  }
}

/** The boundary that a Content-Type names, or null. */
export function boundaryOf(contentType) {
  const found = /^multipart\/x-mixed-replace\s*;.*?boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType ?? "");
  return found ? found[1] ?? found[2] : null;
}

/** The parts of a response, as they arrive. */
export async function* partsOf(response) {
  const boundary = boundaryOf(response.headers.get("content-type"));
  if (boundary === null) throw new Error("The server's answer is no multipart stream.");
  const parser = new MultipartParser(boundary);
  const reader = response.body.getReader();
  try {
    while (!parser.ended) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
