// SPDX-License-Identifier: MIT OR Apache-2.0
// The addresses of a mount, and the commands that play it elsewhere.

import { element, showDialog } from "./dom.js";
import { playPath } from "./api.js";
import { picture } from "./qr.js";

/** A word for a shell, quoted if it has to be. */
function word(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Rows of title, remark and text. `scan`: whether a phone can use it. */
export function addressesOf(mount, page) {
  const { urls } = mount;
  const rtsp = urls.rtsps ?? urls.rtsp;
  const full = (path) => new URL(path, page).href;
  const { hostname, port } = new URL(rtsp.replace(/^rtsps?:/, "http:"));
  const host = hostname.replace(/^\[|\]$/g, "");
  const rows = [
    { title: "RTSP", remark: "for players, cameras' recorders, Frigate", text: rtsp, scan: true },
    { title: "This page", remark: "for another browser", text: full(playPath(mount.name)), scan: true },
    { title: "VLC", text: `vlc ${word(rtsp)}` },
    { title: "ffplay", text: `ffplay ${word(rtsp)}` },
    {
      title: "GStreamer",
      text: `gst-launch-1.0 rtspsrc location=${word(rtsp)} latency=200 ! rtpjpegdepay ! jpegdec ! videoconvert ! autovideosink`,
    },
    {
      title: "OpenCV",
      remark: "Python",
      text: `python3 -c ${word(`import cv2; c = cv2.VideoCapture(${JSON.stringify(rtsp)}); print(c.read()[1].shape)`)}`,
    },
    { title: "Our player", text: `mjpeg-rtsp-client ${word(rtsp)}` },
  ];
  if (urls.lab !== null) {
    rows.push({
      title: "Lab client",
      remark: "the textbook's, in Python",
      text: `python3 ClientLauncher.py ${word(host)} ${port || "554"} 25000 ${word(urls.lab)}`,
    });
  }
  rows.push(
    { title: "Stream over HTTP", remark: "for Home Assistant, OctoPrint, <img>", text: full(urls.stream), scan: true },
    { title: "One picture", remark: "for scripts", text: `curl -o picture.jpg ${word(full(urls.snapshot))}` },
  );
  if (mount.kind !== "live") rows.push({ title: "The whole movie", text: `curl -O ${word(full(urls.movie))}` });
  return rows;
}

/** Copies a text. Where the page was not loaded by HTTPS or from this machine, only the old way works. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = element("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function showCode({ title, text }) {
  const code = picture(text) ?? element("p", { text: "The address is too long for a QR code." });
  showDialog(title, code, element("p", { class: "qr-text mono", text }));
}

/** The list of addresses with their buttons. `say` announces what has been done. */
export function addressList(mount, say) {
  const list = element("div", { class: "addresses" });
  for (const row of addressesOf(mount, location.href)) {
    const button = element("button", { type: "button", text: "Copy", "aria-label": `Copy: ${row.title}` });
    button.addEventListener("click", async () => {
      const done = await copy(row.text);
      button.textContent = done ? "Copied" : "Select it";
      say(done ? `${row.title} copied` : "The browser does not allow copying. Select the text and copy it.");
      setTimeout(() => (button.textContent = "Copy"), 1500);
      button.focus();
    });
    const scan = row.scan
      ? element("button", { type: "button", text: "QR", "aria-label": `QR code: ${row.title}`, onclick: () => showCode(row) })
      : null;
    list.append(element("section", {},
      element("h2", {}, `${row.title} `, row.remark ? element("small", { text: row.remark }) : null),
      element("div", { class: "address" }, element("code", { tabindex: "0", role: "group", "aria-label": row.title, text: row.text }), scan, button)));
  }
  return list;
}
