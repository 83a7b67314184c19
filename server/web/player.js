// SPDX-License-Identifier: MIT OR Apache-2.0
// The player's view: picture, seek bar, buttons, keys, addresses and viewers.

import { element, readSetting, keepSetting, saveAs, setText, showDialog } from "./dom.js";
import { describe, encodeName, getJson, playPath } from "./api.js";
import { count, framerate, size, wholeTime } from "./format.js";
import { addressList } from "./addresses.js";
import { actionOf, KEYS } from "./keys.js";
import { Playback, State } from "./playback.js";
import { SeekBar } from "./seek-bar.js";
import { Stage } from "./stage.js";
import { Viewers } from "./viewers.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
/** Milliseconds until the length is asked for again, while the server does not know it. */
const LENGTH_RETRY = 1000;

/** Name without its folder, and the rest. */
function folderOf(name) {
  const at = name.lastIndexOf("/");
  return at < 0 ? "" : name.slice(0, at);
}

/** A frame number of "249", or of a time such as "0:12.4" or "12.4 s"; null if it is neither. */
export function frameOf(text, rate) {
  const given = text.trim().toLowerCase();
  if (/^\d+$/.test(given)) return Number(given);
  const found = /^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)\s*s?$/.exec(given);
  if (!found) return null;
  const [, h = 0, m = 0, s] = found;
  return Math.floor((Number(h) * 3600 + Number(m) * 60 + Number(s)) * rate + 1e-6);
}

/** The player. */
export class Player {
  #root;
  #go;
  #name = null;
  #mount = null;
  #playback = null;
  #timer = 0;
  #section = null;
  #listed = null;
  #stage = new Stage();
  #bar = new SeekBar({ scrub: (frame) => this.#playback?.scrub(frame), seek: (frame) => this.#playback?.seek(frame) });
  #say = element("p", { class: "unseen", role: "status" });
  #play = element("button", { type: "button", class: "play accent", onclick: () => this.#do("toggle") });
  #before = element("button", { type: "button", class: "step", "aria-label": "One frame back", title: "One frame back (,)", text: "◂|", onclick: () => this.#do("previousFrame") });
  #after = element("button", { type: "button", class: "step", "aria-label": "One frame forward", title: "One frame forward (.)", text: "|▸", onclick: () => this.#do("nextFrame") });
  #speed = element("select", { "aria-label": "Speed", title: "Speed (+ and -)" }, SPEEDS.map((it) => element("option", { value: it, text: `${it}×`, selected: it === 1 })));
  #repeat = element("button", { type: "button", "aria-pressed": "false", text: "Repeat", title: "Play again and again (L)", onclick: () => this.#do("repeat") });
  #full = element("button", { type: "button", text: "Full screen", title: "Full screen (F)", onclick: () => this.#do("fullScreen") });
  #help = element("button", { type: "button", class: "quiet", text: "Keys", title: "All keys (?)", onclick: () => this.#do("keys") });
  #frame = element("span", { class: "frame" });
  #fps = element("span", { class: "weak" });
  #watch;
  #title = element("h1");
  #facts = element("p", { class: "facts" });
  #tabs;
  #panels;
  #viewers;
  #onKey = (event) => this.#key(event);

  /** `go` goes to an address of this document. */
  constructor(root, go) {
    [this.#root, this.#go] = [root, go];
    this.#watch = element("div", { class: "watch" }, this.#stage.node,
      element("div", { class: "controls", role: "group", "aria-label": "Player" }, this.#bar.node,
        element("div", { class: "buttons" }, this.#play, this.#before, this.#after, this.#speed, this.#repeat, this.#full, this.#help,
          element("div", { class: "facts" }, this.#frame, this.#fps)), this.#say));
    this.#speed.addEventListener("change", () => this.#setSpeed(Number(this.#speed.value)));
    this.#stage.node.addEventListener("click", () => this.#do("toggle"));
    this.#stage.node.addEventListener("dblclick", () => this.#do("fullScreen"));
    const panel = (id) => element("div", { id: `panel-${id}`, role: "tabpanel", "aria-labelledby": `tab-${id}`, tabindex: "-1" });
    this.#panels = { addresses: panel("addresses"), viewers: panel("viewers") };
    const tab = (id, text) => element("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, text, onclick: () => this.#showTab(id) });
    this.#tabs = { addresses: tab("addresses", "Play elsewhere"), viewers: tab("viewers", "Viewers") };
    const bar = element("div", { class: "tabs", role: "tablist", "aria-label": "About the movie" }, Object.values(this.#tabs));
    bar.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      const next = this.#tabs.addresses.getAttribute("aria-selected") === "true" ? "viewers" : "addresses";
      this.#showTab(next);
      this.#tabs[next].focus();
    });
    const side = element("aside", { class: "side", "aria-label": "About the movie" }, this.#title, this.#facts, bar, Object.values(this.#panels));
    root.replaceChildren(this.#watch, side);
    this.#viewers = new Viewers(this.#panels.viewers, { heading: "h2" });
    setInterval(() => this.#showRate(), 500);
  }

  /** Opens a movie by its name. */
  async open(name) {
    if (name === this.#name) return;
    this.close();
    this.#name = name;
    document.addEventListener("keydown", this.#onKey);
    this.#root.classList.toggle("alone", readSetting("wide", "no") === "yes");
    document.title = name.split("/").pop();
    setText(this.#title, document.title);
    setText(this.#facts, "");
    this.#stage.clear();
    this.#bar.clear();
    this.#panels.addresses.replaceChildren();
    this.#showControls();
    try {
      const mount = await getJson(`/api/v1/mounts/${encodeName(name)}`);
      if (name === this.#name) this.#start(mount);
    } catch (error) {
      if (name !== this.#name) return;
      this.#stage.message(error.status === 404 ? "There is no such movie" : "The movie cannot be opened", describe(error), "All movies", () => this.#go("/"));
    }
  }

  /** Ends what plays. */
  close() {
    document.removeEventListener("keydown", this.#onKey);
    clearTimeout(this.#timer);
    this.#playback?.close();
    this.#viewers.hide();
    [this.#name, this.#mount, this.#playback, this.#section, this.#listed] = [null, null, null, null, null];
  }

  #start(mount) {
    this.#mount = mount;
    this.#describe();
    this.#panels.addresses.replaceChildren(addressList(mount, (text) => setText(this.#say, text)));
    this.#showTab("addresses");
    if (mount.error !== null) {
      this.#stage.message("This movie cannot be shown", mount.error, "All movies", () => this.#go("/"));
      return;
    }
    const draw = (picture) => this.#stage.draw(picture);
    this.#playback = new Playback(mount, draw, () => this.#changed());
    this.#playback.repeats = this.#repeat.getAttribute("aria-pressed") === "true";
    this.#setSpeed(1);
    this.#stage.live = mount.kind === "live";
    this.#bar.open(mount);
    this.#playback.play();
    if (mount.kind !== "live" && mount.frames === null) this.#awaitLength();
  }

  #describe() {
    const mount = this.#mount;
    const parts = [
      mount.folder,
      mount.kind === "live" ? "live" : mount.frames === null ? "length not known yet" : `${count(mount.frames, "frame")}, ${wholeTime(mount.duration_seconds)}`,
      mount.width === null ? "" : `${mount.width}×${mount.height}`,
      framerate(mount.framerate),
      mount.kind === "live" ? "" : size(mount.size_bytes),
    ];
    setText(this.#facts, parts.filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · "));
  }

  #awaitLength() {
    const name = this.#name;
    this.#timer = setTimeout(async () => {
      try {
        const mount = await getJson(`/api/v1/mounts/${encodeName(name)}`);
        if (name !== this.#name) return;
        this.#mount = mount;
        this.#playback.update(mount);
        this.#describe();
        this.#bar.open(mount);
        this.#changed();
      } catch {
        // Asked again below.
      }
      if (name === this.#name && this.#mount.frames === null) this.#awaitLength();
    }, LENGTH_RETRY);
  }

  #showTab(id) {
    for (const [name, tab] of Object.entries(this.#tabs)) {
      const isShown = name === id;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
      this.#panels[name].hidden = !isShown;
    }
    if (id === "viewers" && this.#mount) this.#viewers.show(this.#mount.name);
    else this.#viewers.hide();
  }

  #changed() {
    const { state, frame, timestamp, error, undecodable } = this.#playback;
    this.#root.dataset.state = state;
    if (state === State.FAILED) this.#stage.message("Playing has stopped", error, "Try again", () => this.#playback.play());
    else this.#stage.message(null);
    this.#bar.move(frame, timestamp, this.#section);
    const damaged = undecodable > 0 ? ` · ${count(undecodable, "frame")} cannot be decoded` : "";
    setText(this.#frame, frame === null ? "" : `frame ${frame}${damaged}`);
    this.#stage.describe(this.#mount, frame);
    this.#showControls();
    this.#showRate();
  }

  #showRate() {
    const rate = this.#playback?.isPlaying ? `${this.#playback.framesPerSecond} frames/s` : "";
    setText(this.#fps, rate);
  }

  #showControls() {
    const playback = this.#playback;
    const seeks = playback !== null && !playback.isLive;
    const isPlaying = playback?.isPlaying ?? false;
    setText(this.#play, isPlaying ? "Pause" : "Play");
    this.#play.title = isPlaying ? "Pause (Space)" : "Play (Space)";
    this.#play.disabled = playback === null;
    for (const button of [this.#before, this.#after, this.#repeat, this.#speed]) button.disabled = !seeks;
    for (const control of [this.#before, this.#after, this.#repeat, this.#speed]) control.hidden = playback?.isLive ?? false;
  }

  #setSpeed(speed) {
    this.#speed.value = String(speed);
    this.#playback?.setSpeed(speed);
  }

  #key(event) {
    const action = actionOf(event);
    if (action === null) return;
    const isSeeking = !KEYS.find((it) => it.action === action).live;
    if (isSeeking && (this.#playback?.isLive ?? true)) return;
    event.preventDefault();
    this.#do(action);
  }

  #do(action) {
    const playback = this.#playback;
    const { framerate: rate = 1 } = this.#mount ?? {};
    const jump = (frames) => playback.seek((playback.target ?? 0) + frames);
    const step = (by) => this.#setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(playback.speed) + by))]);
    const actions = {
      toggle: () => (playback.isPlaying ? playback.pause() : playback.play()),
      play: () => playback.isPlaying || playback.play(),
      back: () => jump(-5 * rate),
      forward: () => jump(5 * rate),
      previousFrame: () => playback.show((playback.target ?? 0) - 1),
      nextFrame: () => playback.show((playback.target ?? -1) + 1),
      goTo: () => this.#askFrame(),
      markSection: () => this.#markSection(),
      repeat: () => this.#toggleRepeat(),
      faster: () => step(1),
      slower: () => step(-1),
      enlarge: () => this.#stage.enlarge(),
      wholePicture: () => this.#stage.showWhole(),
      save: () => this.#save(),
      previousMovie: () => this.#openNeighbour(-1),
      nextMovie: () => this.#openNeighbour(1),
      fullScreen: () => (document.fullscreenElement ? document.exitFullscreen() : this.#watch.requestFullscreen?.()),
      wide: () => this.#toggleWide(),
      leave: () => this.#leave(),
      keys: () => this.#showKeys(),
    };
    const withoutMovie = ["previousMovie", "nextMovie", "fullScreen", "wide", "leave", "keys"];
    if (playback !== null || withoutMovie.includes(action)) actions[action]();
  }

  #toggleRepeat() {
    this.#playback.repeats = !this.#playback.repeats;
    this.#repeat.setAttribute("aria-pressed", String(this.#playback.repeats));
    setText(this.#say, this.#playback.repeats ? "Plays again and again" : "Plays once");
  }

  #toggleWide() {
    const isWide = this.#root.classList.toggle("alone");
    keepSetting("wide", isWide ? "yes" : "no");
  }

  #leave() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.#root.classList.contains("alone")) this.#toggleWide();
    else this.#go(folderOf(this.#name) ? `/?folder=${encodeURIComponent(folderOf(this.#name))}` : "/");
  }

  #markSection() {
    const { frame } = this.#playback;
    if (frame === null) return;
    if (this.#section === null) this.#section = [frame, null];
    else if (this.#section[1] === null && frame > this.#section[0]) this.#section = [this.#section[0], frame];
    else this.#section = null;
    const whole = this.#section?.[1] ?? null;
    this.#playback.section = whole === null ? null : this.#section;
    const said = this.#section === null ? "No section" : whole === null ? `Section from frame ${frame}` : `Section from frame ${this.#section[0]} to ${whole}: repeated`;
    setText(this.#say, said);
    this.#changed();
  }

  #save() {
    const { image, frame } = this.#playback;
    if (image === null) return;
    const stem = this.#mount.title.replace(/\.[^.]*$/, "");
    saveAs(`${stem}-${frame}.jpg`, image, "image/jpeg");
  }

  async #openNeighbour(step) {
    const name = this.#name;
    try {
      const path = folderOf(name);
      this.#listed ??= await this.#listFolder(path);
      const at = this.#listed.indexOf(name);
      const next = this.#listed[at + step];
      if (name !== this.#name) return;
      if (at >= 0 && next) this.#go(playPath(next));
      else setText(this.#say, step < 0 ? "This is the first movie" : "This is the last movie");
    } catch (error) {
      setText(this.#say, describe(error));
    }
  }

  async #listFolder(folder) {
    const names = [];
    for (let total = 1; names.length < total;) {
      const query = new URLSearchParams({ folder, offset: names.length, limit: 500 });
      const list = await getJson(`/api/v1/mounts?${query}`);
      if (list.mounts.length === 0) break;
      names.push(...list.mounts.map((it) => it.name));
      total = list.total;
    }
    return names;
  }

  #askFrame() {
    const field = element("input", { type: "text", id: "go-to", autocomplete: "off", placeholder: "249 or 0:12.4", inputmode: "text" });
    const problem = element("p", { class: "warning", role: "alert" });
    const form = element("form", {}, element("p", {}, element("label", { for: "go-to", text: "Number of a frame, or a time" })), element("p", {}, field), problem,
      element("div", { class: "dialog-buttons" }, element("button", { type: "submit", class: "accent", text: "Go" })));
    const dialog = showDialog("Go to a frame or a time", form);
    field.focus();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const frame = frameOf(field.value, this.#mount.framerate);
      if (frame === null) {
        problem.textContent = "This is neither a frame's number, such as 249, nor a time, such as 0:12.4.";
        return;
      }
      dialog.close();
      this.#playback?.seek(frame);
    });
  }

  #showKeys() {
    const isLive = this.#playback?.isLive ?? false;
    const rows = KEYS.filter((it) => it.live || !isLive);
    showDialog("Keys", element("dl", { class: "keys" }, rows.flatMap((row) => [
      element("dt", {}, row.names.map((name) => element("kbd", { text: name }))), element("dd", { text: row.text })])));
  }
}
