// SPDX-License-Identifier: MIT OR Apache-2.0
// QR codes (ISO/IEC 18004): bytes, error correction level M, versions 1 to 20, which hold 666 bytes.

import { svg } from "./dom.js";

/** For each version: error correction bytes of a block, and blocks. Level M. */
const BLOCKS = [
  [10, 1], [16, 1], [26, 1], [18, 2], [24, 2], [16, 4], [18, 4], [22, 4], [22, 5], [26, 5],
  [30, 5], [22, 8], [22, 9], [24, 9], [24, 10], [28, 10], [28, 11], [26, 13], [26, 14], [26, 16],
];

const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, value = 1; i < 255; i += 1) {
  EXP[i] = value;
  EXP[i + 255] = value;
  LOG[value] = i;
  value = value & 0x80 ? (value << 1) ^ 0x11d : value << 1;
}

function multiply(a, b) {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a] + LOG[b]];
}

/** The error correction bytes of a block (Reed-Solomon over GF(256)). */
function correction(data, length) {
  let generator = Uint8Array.of(1);
  for (let i = 0; i < length; i += 1) {
    const next = new Uint8Array(generator.length + 1);
    generator.forEach((factor, at) => {
      next[at] ^= factor;
      next[at + 1] ^= multiply(factor, EXP[i]);
    });
    generator = next;
  }
  const rest = new Uint8Array(data.length + length);
  rest.set(data);
  for (let i = 0; i < data.length; i += 1) {
    const factor = rest[i];
    for (let at = 0; factor !== 0 && at < generator.length; at += 1) rest[i + at] ^= multiply(generator[at], factor);
  }
  return rest.slice(data.length);
}

/** Positions of the centres of the alignment patterns on one axis. */
function alignment(version) {
  if (version === 1) return [];
  const number = Math.floor(version / 7) + 2;
  const last = version * 4 + 10;
  const step = Math.ceil((last - 6) / (number - 1) / 2) * 2;
  return [6, ...Array.from({ length: number - 1 }, (_, i) => last - step * i).reverse()];
}

/** Bytes of a version, without function patterns. */
function capacity(version) {
  const size = version * 4 + 17;
  const centres = alignment(version).length;
  let bits = size * size - 3 * 64 - 2 * 15 - 1 - 2 * (size - 16);
  if (centres > 0) bits -= (centres * centres - 3) * 25 - (centres - 2) * 2 * 5;
  if (version >= 7) bits -= 36;
  return Math.floor(bits / 8);
}

/** All bytes of the code: data in blocks, interleaved, then their error correction. */
function codewords(bytes) {
  for (let version = 1; version <= BLOCKS.length; version += 1) {
    const [length, blocks] = BLOCKS[version - 1];
    const total = capacity(version);
    const room = total - length * blocks;
    const counter = version < 10 ? 8 : 16;
    if (4 + counter + bytes.length * 8 > room * 8) continue;
    let bits = `0100${bytes.length.toString(2).padStart(counter, "0")}`;
    for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
    bits += "0".repeat(Math.min(4, room * 8 - bits.length));
    bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0");
    const data = bits.match(/.{8}/g).map((byte) => parseInt(byte, 2));
    for (let pad = 0xec; data.length < room; pad ^= 0xec ^ 0x11) data.push(pad);
    const short = Math.floor(room / blocks);
    const parts = [];
    for (let block = 0, at = 0; block < blocks; block += 1) {
      const size = short + (block >= blocks - (room % blocks) ? 1 : 0);
      parts.push(data.slice(at, at + size));
      at += size;
    }
    const ends = parts.map((part) => correction(part, length));
    const out = [];
    for (let i = 0; i <= short; i += 1) parts.forEach((part) => i < part.length && out.push(part[i]));
    for (let i = 0; i < length; i += 1) ends.forEach((end) => out.push(end[i]));
    return { version, out };
  }
  return null;
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

function remainder(value, degree, polynomial) {
  let rest = value;
  for (let i = 0; i < degree; i += 1) rest = (rest << 1) ^ ((rest >>> (degree - 1)) * polynomial);
  return rest;
}

class Grid {
  constructor(version) {
    this.size = version * 4 + 17;
    this.dark = Array.from({ length: this.size }, () => new Uint8Array(this.size));
    this.fixed = Array.from({ length: this.size }, () => new Uint8Array(this.size));
    this.#patterns(version);
  }

  #set(x, y, dark) {
    if (x < 0 || y < 0 || x >= this.size || y >= this.size) return;
    this.dark[y][x] = dark ? 1 : 0;
    this.fixed[y][x] = 1;
  }

  #patterns(version) {
    const last = this.size - 1;
    for (let i = 0; i < this.size; i += 1) {
      this.#set(6, i, i % 2 === 0);
      this.#set(i, 6, i % 2 === 0);
    }
    for (const [cx, cy] of [[3, 3], [last - 3, 3], [3, last - 3]]) {
      for (let dy = -4; dy <= 4; dy += 1) {
        for (let dx = -4; dx <= 4; dx += 1) {
          const ring = Math.max(Math.abs(dx), Math.abs(dy));
          this.#set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
        }
      }
    }
    const centres = alignment(version);
    const end = centres.length - 1;
    centres.forEach((cy, i) => centres.forEach((cx, j) => {
      if ((i === 0 && j === 0) || (i === 0 && j === end) || (i === end && j === 0)) return;
      for (let dy = -2; dy <= 2; dy += 1) {
        for (let dx = -2; dx <= 2; dx += 1) this.#set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
      }
    }));
    this.format(0);
    if (version < 7) return;
    const bits = (version << 12) | remainder(version, 12, 0x1f25);
    for (let i = 0; i < 18; i += 1) {
      const [a, b] = [this.size - 11 + (i % 3), Math.floor(i / 3)];
      this.#set(a, b, (bits >>> i) & 1);
      this.#set(b, a, (bits >>> i) & 1);
    }
  }

  /** Writes the mask's number and the level (M: 00), twice. */
  format(mask) {
    const bits = ((mask << 10) | remainder(mask, 10, 0x537)) ^ 0x5412;
    const bit = (i) => (bits >>> i) & 1;
    for (let i = 0; i <= 5; i += 1) this.#set(8, i, bit(i));
    this.#set(8, 7, bit(6));
    this.#set(8, 8, bit(7));
    this.#set(7, 8, bit(8));
    for (let i = 9; i < 15; i += 1) this.#set(14 - i, 8, bit(i));
    for (let i = 0; i < 8; i += 1) this.#set(this.size - 1 - i, 8, bit(i));
    for (let i = 8; i < 15; i += 1) this.#set(8, this.size - 15 + i, bit(i));
    this.#set(8, this.size - 8, true);
  }

  /** Fills in the bytes in pairs of columns from the right, upwards and downwards. */
  write(bytes) {
    let at = 0;
    for (let right = this.size - 1; right >= 1; right -= 2) {
      if (right === 6) right = 5;
      for (let step = 0; step < this.size; step += 1) {
        const y = ((right + 1) & 2) === 0 ? this.size - 1 - step : step;
        for (const x of [right, right - 1]) {
          if (this.fixed[y][x] || at >= bytes.length * 8) continue;
          this.dark[y][x] = (bytes[at >>> 3] >>> (7 - (at & 7))) & 1;
          at += 1;
        }
      }
    }
  }

  mask(number) {
    for (let y = 0; y < this.size; y += 1) {
      for (let x = 0; x < this.size; x += 1) {
        if (!this.fixed[y][x] && MASKS[number](x, y)) this.dark[y][x] ^= 1;
      }
    }
  }

  /** How hard it is to read: long runs, blocks, patterns like a finder, unequal numbers of dark and light. */
  penalty() {
    const column = (x) => this.dark.map((row) => row[x]);
    let points = 0;
    for (let i = 0; i < this.size; i += 1) {
      for (const line of [this.dark[i], column(i)]) {
        const text = Array.from(line).join("");
        for (const run of text.match(/0{5,}|1{5,}/g) ?? []) points += run.length - 2;
        points += 40 * (text.match(/(?=10111010000)|(?=00001011101)/g) ?? []).length;
      }
    }
    let dark = 0;
    for (let y = 0; y < this.size; y += 1) {
      for (let x = 0; x < this.size; x += 1) {
        dark += this.dark[y][x];
        if (x === 0 || y === 0) continue;
        const sum = this.dark[y][x] + this.dark[y - 1][x] + this.dark[y][x - 1] + this.dark[y - 1][x - 1];
        if (sum === 0 || sum === 4) points += 3;
      }
    }
    return points + 10 * Math.floor(Math.abs((dark / this.size ** 2) * 20 - 10));
  }
}

/** The modules of the QR code of a text, as rows of 0 (light) and 1 (dark); null if the text is too long. */
export function modules(text) {
  const code = codewords(new TextEncoder().encode(text));
  if (code === null) return null;
  const grid = new Grid(code.version);
  grid.write(code.out);
  let best = { points: Infinity, mask: 0 };
  for (let mask = 0; mask < MASKS.length; mask += 1) {
    grid.mask(mask);
    grid.format(mask);
    const points = grid.penalty();
    if (points < best.points) best = { points, mask };
    grid.mask(mask);
  }
  grid.mask(best.mask);
  grid.format(best.mask);
  return grid.dark;
}

/** The QR code of a text as a picture; null if the text is too long. */
export function picture(text) {
  const rows = modules(text);
  if (rows === null) return null;
  const border = 4;
  let path = "";
  rows.forEach((row, y) => row.forEach((dark, x) => {
    if (dark) path += `M${x + border} ${y + border}h1v1h-1z`;
  }));
  const side = rows.length + 2 * border;
  return svg("svg", { viewBox: `0 0 ${side} ${side}`, class: "qr", role: "img", "aria-label": `QR code of ${text}`, "shape-rendering": "crispEdges" },
    svg("rect", { width: side, height: side, fill: "#fff" }), svg("path", { d: path, fill: "#000" }));
}
