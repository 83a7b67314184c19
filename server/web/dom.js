// SPDX-License-Identifier: MIT OR Apache-2.0
// Makes elements. All text is set as text, never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** An HTML element with attributes; `text` sets its text, `onNAME` listens to an event. */
export function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element, as `element` makes it. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** The element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets the text only if it differs, so that screen readers do not read it again. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Whether the user or the system asks for little motion. */
export function wantsStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Reads a setting of this browser, or the default. */
export function readSetting(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps a setting in this browser, if it allows that. */
export function keepSetting(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}

/** Lets the browser save bytes or text as a file. */
export function saveAs(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = element("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Shows a dialog that is removed when it closes. `Esc` closes it; the focus returns. */
export function showDialog(title, ...children) {
  const heading = element("h2", { id: "dialog-title", text: title });
  const close = element("button", { type: "button", class: "quiet", "aria-label": "Close", text: "×" });
  const dialog = element("dialog", { "aria-labelledby": "dialog-title" },
    element("div", { class: "dialog-top" }, heading, close), ...children);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
