// SPDX-License-Identifier: MIT OR Apache-2.0
// Who is watching: a table of sessions with plots of the last minute.

import { element, setText, showDialog } from "./dom.js";
import { describe, getJson, playPath, request } from "./api.js";
import { count, rate, wholeTime } from "./format.js";
import { Plot } from "./plot.js";

/** Milliseconds between two looks. */
const INTERVAL = 1000;
/** Rows that are shown; the filter finds the others. */
const ROWS = 100;
const HEADS = ["Viewer", "Movie", "Over", "Rate", "Loss", "Jitter", ""];
const TRANSPORTS = { udp: "UDP", tcp: "TCP", multicast: "multicast", tunnel: "HTTP tunnel", http: "HTTP" };
const DIALECTS = { rtsp: "RTSP", lab: "lab", http: "browser" };

function cell(label, ...children) {
  return element("div", { role: "cell", "data-label": label }, ...children);
}

class Row {
  constructor(session, mayClose, close) {
    this.plots = { rate: new Plot(1000), loss: new Plot(0.01), jitter: new Plot(1) };
    this.peer = element("span", { class: "mono" });
    this.agent = element("small");
    this.mount = element("a");
    this.position = element("small", { class: "number" });
    this.over = element("span");
    this.state = element("small");
    this.texts = { rate: element("span", { class: "number" }), loss: element("span", { class: "number" }), jitter: element("span", { class: "number" }) };
    const end = element("div", { role: "cell", class: "last" });
    if (mayClose) end.append(element("button", { type: "button", text: "Close", "aria-label": `Close the session of ${session.peer}`, onclick: () => close(this.session) }));
    this.node = element("div", { role: "row", class: "session" },
      cell("Viewer", this.peer, this.agent), cell("Movie", this.mount, this.position), cell("Over", this.over, this.state),
      cell("Rate", this.texts.rate, this.plots.rate.node), cell("Loss", this.texts.loss, this.plots.loss.node),
      cell("Jitter", this.texts.jitter, this.plots.jitter.node), end);
  }

  update(session) {
    this.session = session;
    const { receiver } = session;
    setText(this.peer, session.peer);
    setText(this.agent, [session.user, session.agent].filter(Boolean).join(" · "));
    setText(this.mount, session.mount ?? "none yet");
    if (session.mount === null) this.mount.removeAttribute("href");
    else this.mount.href = playPath(session.mount);
    const frame = session.frame === null ? [] : [`frame ${session.frame}`];
    setText(this.position, [...frame, `for ${wholeTime(session.duration_seconds)}`].join(" · "));
    const transport = TRANSPORTS[session.transport] ?? session.transport;
    const dialect = DIALECTS[session.dialect] ?? session.dialect;
    setText(this.over, session.dialect === "http" ? "browser, HTTP" : `${dialect}, ${transport}`);
    setText(this.state, [session.state, session.encrypted ? "encrypted" : ""].filter(Boolean).join(" · "));
    setText(this.texts.rate, `${rate(session.bits_per_second)} · ${session.frames_per_second.toFixed(1)} fps`);
    this.plots.rate.push(session.bits_per_second);
    const unknown = session.dialect === "rtsp" ? "no report yet" : "not reported";
    setText(this.texts.loss, receiver ? `${(receiver.fraction_lost * 100).toFixed(1)} % · ${receiver.lost} lost` : unknown);
    this.plots.loss.push(receiver ? receiver.fraction_lost : null);
    this.plots.loss.bad = receiver !== null && receiver.fraction_lost > 0;
    setText(this.texts.jitter, receiver ? `${receiver.jitter_ms.toFixed(1)} ms${roundTrip(receiver)}` : unknown);
    this.plots.jitter.push(receiver ? receiver.jitter_ms : null);
  }
}

function roundTrip(receiver) {
  return receiver.round_trip_ms === null ? "" : ` · RTT ${receiver.round_trip_ms.toFixed(1)} ms`;
}

/** The table. */
export class Viewers {
  #root;
  #rows = new Map();
  #body = element("div", { role: "rowgroup" });
  #summary = element("p", { class: "weak", role: "status" });
  #filter = element("input", { type: "search", placeholder: "Filter by address, movie or user", "aria-label": "Filter the viewers" });
  #empty = element("div", { class: "empty", hidden: true });
  #table;
  #timer = 0;
  #mount = null;
  #shown = false;
  #mayClose = false;
  #visit = 0;

  constructor(root, { heading }) {
    this.#root = root;
    const head = element("div", { role: "row", class: "session head" },
      HEADS.map((text) => element("div", { role: "columnheader" }, text || element("span", { class: "unseen", text: "Close" }))));
    this.#table = element("div", { class: "sessions", role: "table", "aria-label": "Sessions" }, element("div", { role: "rowgroup" }, head), this.#body);
    root.replaceChildren(
      element("div", { class: "viewers-top" }, element(heading, { text: "Who is watching" }), this.#summary, heading === "h1" ? this.#filter : null),
      this.#table, this.#empty);
    this.#filter.addEventListener("input", () => this.#load());
    document.addEventListener("visibilitychange", () => {
      if (this.#shown && !document.hidden) this.#load();
    });
  }

  /** Shows the sessions of a mount, or all. */
  async show(mount) {
    [this.#mount, this.#shown] = [mount, true];
    this.#rows.clear();
    this.#body.replaceChildren();
    const visit = (this.#visit += 1);
    try {
      this.#mayClose = (await getJson("/api/v1/server")).may_close_sessions;
    } catch {
      this.#mayClose = false;
    }
    if (visit === this.#visit && this.#shown) this.#load();
  }

  /** Stops loading. */
  hide() {
    this.#shown = false;
    this.#visit += 1;
    clearTimeout(this.#timer);
  }

  async #load() {
    clearTimeout(this.#timer);
    const visit = (this.#visit += 1);
    try {
      const { sessions } = await getJson("/api/v1/sessions");
      if (visit !== this.#visit || !this.#shown) return;
      this.#render(sessions);
    } catch (error) {
      if (visit !== this.#visit || !this.#shown) return;
      this.#table.hidden = true;
      this.#empty.hidden = false;
      const refused = error.status === 401 || error.status === 403 || error.status === 404;
      this.#empty.replaceChildren(
        element("h2", { text: refused ? "You may not see who is watching" : "The sessions cannot be loaded" }),
        element("p", { text: describe(error) }));
      setText(this.#summary, "");
    }
    if (!document.hidden) this.#timer = setTimeout(() => this.#load(), INTERVAL);
  }

  #render(all) {
    const wanted = this.#filter.value.trim().toLowerCase();
    const isMeant = (it) => (this.#mount === null || it.mount === this.#mount)
      && [it.peer, it.mount, it.user, it.agent].some((text) => text?.toLowerCase().includes(wanted) || wanted === "");
    const sessions = all.filter(isMeant);
    const shown = sessions.slice(0, ROWS);
    const ids = new Set(shown.map((it) => it.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.node.remove();
      this.#rows.delete(id);
    }
    for (const session of shown) {
      let row = this.#rows.get(session.id);
      if (!row) {
        row = new Row(session, this.#mayClose, (it) => this.#ask(it));
        this.#rows.set(session.id, row);
        this.#body.append(row.node);
      }
      row.update(session);
    }
    const playing = sessions.filter((it) => it.state === "playing").length;
    const more = sessions.length > ROWS ? `, the first ${ROWS} are shown` : "";
    setText(this.#summary, sessions.length === 0 ? "" : `${count(sessions.length, "session")}, ${playing} playing${more}`);
    this.#table.hidden = sessions.length === 0;
    this.#empty.hidden = sessions.length > 0;
    if (sessions.length === 0) {
      this.#empty.replaceChildren(
        element("h2", { text: wanted ? "No session matches the filter" : "Nobody is watching" }),
        element("p", { text: wanted ? "" : "A viewer appears here as soon as a player connects." }));
    }
  }

  #ask(session) {
    const problem = element("p", { class: "warning", role: "alert" });
    const yes = element("button", { type: "button", class: "accent", text: "Close the session" });
    const no = element("button", { type: "button", text: "Cancel" });
    const dialog = showDialog("Close this session?",
      element("p", { text: `The player at ${session.peer} will stop${session.mount ? ` playing ${session.mount}` : ""}. It may connect again.` }),
      problem, element("div", { class: "dialog-buttons" }, no, yes));
    no.addEventListener("click", () => dialog.close());
    no.focus();
    yes.addEventListener("click", async () => {
      try {
        await request(`/api/v1/sessions/${encodeURIComponent(session.id)}/close`, { method: "POST" });
        dialog.close();
        this.#load();
      } catch (error) {
        problem.textContent = describe(error);
      }
    });
  }
}
