// SPDX-License-Identifier: MIT OR Apache-2.0
// The player's keys: one table for what they do and for their list. They are those of the window
// `mjpeg-rtsp-client`, without those that a browser has for itself.

/** Rows: keys as KeyboardEvent names them, their names, the action, its description, whether live mounts have it. */
export const KEYS = [
  { keys: [" "], names: ["Space"], action: "toggle", text: "Play or pause", live: true },
  { keys: ["p"], names: ["P"], action: "play", text: "Play", live: true },
  { keys: ["ArrowLeft"], names: ["Left"], action: "back", text: "Back 5 seconds" },
  { keys: ["ArrowRight"], names: ["Right"], action: "forward", text: "Forward 5 seconds" },
  { keys: [","], names: [","], action: "previousFrame", text: "One frame back" },
  { keys: ["."], names: ["."], action: "nextFrame", text: "One frame forward" },
  { keys: ["g"], names: ["G"], action: "goTo", text: "Go to a frame or a time" },
  { keys: ["a"], names: ["A"], action: "markSection", text: "Mark the start of a section, its end, or neither" },
  { keys: ["l"], names: ["L"], action: "repeat", text: "Play again and again, or once" },
  { keys: ["PageUp"], names: ["Page up"], action: "previousMovie", text: "The movie before", live: true },
  { keys: ["PageDown"], names: ["Page down"], action: "nextMovie", text: "The next movie", live: true },
  { keys: ["+", "="], names: ["+"], action: "faster", text: "Faster" },
  { keys: ["-"], names: ["-"], action: "slower", text: "Slower" },
  { keys: ["f"], names: ["F"], action: "fullScreen", text: "Full screen", live: true },
  { keys: ["z"], names: ["Z"], action: "enlarge", text: "Enlarge the picture (also by the wheel)", live: true },
  { keys: ["0"], names: ["0"], action: "wholePicture", text: "The whole picture", live: true },
  { keys: ["w"], names: ["W"], action: "wide", text: "The picture at full width", live: true },
  { keys: ["s"], control: true, names: ["Ctrl", "S"], action: "save", text: "Save the picture, as it is in the movie", live: true },
  { keys: ["Escape"], names: ["Esc"], action: "leave", text: "Close what is on top, or go back to the movies", live: true },
  { keys: ["?"], names: ["?"], action: "keys", text: "This list", live: true },
];

/** Elements that use a key of the list themselves. */
const OWN_KEYS = [
  { keys: [" "], of: "button, a, input, select, summary" },
  { keys: ["ArrowLeft", "ArrowRight", "PageUp", "PageDown"], of: "input, select, code, [role=tab]" },
];

/** The action of a key press, or null. */
export function actionOf(event) {
  if (event.altKey || event.metaKey) return null;
  const { target } = event;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const row = KEYS.find((it) => it.keys.includes(key) && Boolean(it.control) === event.ctrlKey);
  if (!row || target.matches?.("input:not([type=range]), textarea, dialog, dialog *")) return null;
  if (OWN_KEYS.some((it) => it.keys.includes(key) && target.matches?.(it.of))) return null;
  // Letters choose an entry of a list.
  if (target.matches?.("select") && !row.control && key.length === 1) return null;
  return row.action;
}
