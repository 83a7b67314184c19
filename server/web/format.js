// SPDX-License-Identifier: MIT OR Apache-2.0
// Numbers as text.

/** Seconds as m:ss.t, or h:mm:ss.t from an hour on. */
export function time(seconds) {
  const tenths = Math.max(0, Math.floor(seconds * 10 + 1e-6));
  const [h, m, s] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
  const end = `${String(s).padStart(2, "0")}.${tenths % 10}`;
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${end}` : `${m}:${end}`;
}

/** Seconds without tenths, such as 0:25 or 1:02:03. */
export function wholeTime(seconds) {
  return time(seconds).replace(/\.\d$/, "");
}

/** Bits per second. */
export function rate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}

/** Bytes. */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

/** A count with its noun. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A frame rate without needless digits. */
export function framerate(value) {
  return `${Number(value.toFixed(2))} frames/s`;
}
