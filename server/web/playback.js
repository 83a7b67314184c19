// SPDX-License-Identifier: MIT OR Apache-2.0
// Plays a mount: reads its stream, decodes the frames and hands them over to be drawn. It has no element of the page.

import { describe, request } from "./api.js";
import { partsOf } from "./multipart.js";

/** What a playback is doing. */
export const State = Object.freeze({ PAUSED: "paused", CONNECTING: "connecting", PLAYING: "playing", ENDED: "ended", FAILED: "failed" });

function decode(body) {
  return createImageBitmap(new Blob([body], { type: "image/jpeg" }));
}

/** The playback of one mount. */
export class Playback {
  #mount;
  #draw;
  #changed;
  #abort = null;
  #state = State.PAUSED;
  #speed = 1;
  #frame = null;
  #timestamp = null;
  #error = "";
  #pending = null;
  #drawing = false;
  #wanted = null;
  #fetching = false;
  #image = null;
  #undecodable = 0;
  #arrivals = [];
  #suspended = false;
  #resumes = false;
  #onVisibility = () => this.#suspend();
  /** The frames between which it plays again and again, or null. */
  section = null;
  /** Whether it starts again at the end. */
  repeats = false;

  /** `draw` gets each picture, `changed` is called when anything else than the picture changes. */
  constructor(mount, draw, changed) {
    this.#mount = mount;
    this.#draw = draw;
    this.#changed = changed;
    // A page that nobody sees gives its connection back: browsers open six to a server, for all pages together.
    document.addEventListener("visibilitychange", this.#onVisibility);
  }

  get state() { return this.#state; }
  get speed() { return this.#speed; }
  /** Number of the frame that is on screen, or null. */
  get frame() { return this.#frame; }
  /** Seconds of that frame in the movie, as the server states them, or null. */
  get timestamp() { return this.#timestamp; }
  get error() { return this.#error; }
  /** The bytes of the picture on screen, or null. */
  get image() { return this.#image; }
  get undecodable() { return this.#undecodable; }
  get isLive() { return this.#mount.kind === "live"; }
  get isPlaying() { return this.#state === State.PLAYING || this.#state === State.CONNECTING; }

  /** Frames that arrived in the last second. */
  get framesPerSecond() {
    const since = performance.now() - 1000;
    this.#arrivals = this.#arrivals.filter((at) => at >= since);
    return this.#arrivals.length;
  }

  /** The mount's newer description; its number of frames may have become known. */
  update(mount) {
    this.#mount = mount;
  }

  /** Plays from a frame, or from the one on screen. */
  play(from = null) {
    this.#stop();
    const last = (this.#mount.frames ?? Infinity) - 1;
    let start = from ?? this.#frame ?? 0;
    if (from === null && start >= last) start = this.section?.[0] ?? 0;
    this.#set(State.CONNECTING);
    this.#abort = new AbortController();
    this.#run(start, this.#abort.signal);
  }

  /** Stops at the frame on screen. */
  pause() {
    if (!this.isPlaying) return;
    this.#stop();
    this.#set(State.PAUSED);
  }

  /** Goes to a frame; plays on from there if it plays, or played before `scrub`. */
  seek(frame) {
    const target = this.#clamp(frame);
    if (this.isPlaying || this.#resumes) this.play(target);
    else this.show(target);
  }

  /** Shows a frame that the user passes on the way to another one. */
  scrub(frame) {
    const resumes = this.isPlaying || this.#resumes;
    this.show(frame);
    this.#resumes = resumes;
  }

  /** Shows one frame and pauses. While one is loaded, only the last one asked for counts. */
  async show(frame) {
    this.#stop();
    this.#set(State.PAUSED);
    this.#wanted = this.#clamp(frame);
    if (this.#fetching) return;
    this.#fetching = true;
    while (this.#wanted !== null) {
      const number = this.#wanted;
      this.#wanted = null;
      await this.#fetchFrame(number);
    }
    this.#fetching = false;
  }

  /** Frame of the last `show` that has not been drawn yet, otherwise the one on screen. */
  get target() {
    return this.#wanted ?? this.#frame;
  }

  /** Sets how fast it plays. */
  setSpeed(speed) {
    this.#speed = speed;
    if (this.isPlaying) this.play(this.#frame);
    else this.#changed();
  }

  /** Ends the playback and forgets its listeners. */
  close() {
    this.#stop();
    document.removeEventListener("visibilitychange", this.#onVisibility);
  }

  #clamp(frame) {
    const last = this.#mount.frames === null ? Infinity : Math.max(0, this.#mount.frames - 1);
    return Math.min(Math.max(0, Math.round(frame)), last);
  }

  #set(state, error = "") {
    this.#state = state;
    this.#error = error;
    this.#changed();
  }

  #fail(error) {
    if (error.name !== "AbortError") this.#set(State.FAILED, describe(error));
  }

  #stop() {
    this.#abort?.abort();
    this.#abort = null;
    this.#pending = null;
    this.#wanted = null;
    this.#resumes = false;
    this.#arrivals = [];
  }

  #suspend() {
    if (document.hidden && this.isPlaying) {
      this.pause();
      this.#suspended = true;
    } else if (!document.hidden && this.#suspended) {
      this.#suspended = false;
      this.play();
    }
  }

  async #fetchFrame(number) {
    try {
      const response = await request(this.#mount.urls.frames.replace("{number}", number));
      const body = new Uint8Array(await response.arrayBuffer());
      // A newer wish has come, or it plays: this frame would jump back.
      if (this.#wanted === null && !this.isPlaying) await this.#present({ number, body });
    } catch (error) {
      if (!this.isPlaying) this.#fail(error);
    }
  }

  async #run(start, signal) {
    const address = new URL(this.#mount.urls.stream, location.href);
    if (!this.isLive) address.searchParams.set("start", `frame:${start}`);
    if (this.#speed !== 1 && !this.isLive) address.searchParams.set("speed", this.#speed);
    try {
      const response = await request(address, { signal, cache: "no-store" });
      for await (const { headers, body } of partsOf(response)) {
        if (signal.aborted) return;
        if (this.#state === State.CONNECTING) this.#set(State.PLAYING);
        this.#arrivals.push(performance.now());
        const number = Number(headers.get("x-frame-number"));
        // The section's last frames are still to be drawn.
        if (this.#pending && this.#isPastSection(number)) continue;
        this.#pending = {
          number,
          timestamp: headers.has("x-timestamp") ? Number(headers.get("x-timestamp")) : null,
          body,
          signal,
        };
        this.#drawPending();
      }
      if (!signal.aborted) await this.#end(signal);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Draws the newest frame. One that is not drawn before the next one arrives is dropped. */
  async #drawPending() {
    if (this.#drawing) return;
    this.#drawing = true;
    while (this.#pending) {
      const next = this.#pending;
      this.#pending = null;
      await this.#present(next);
    }
    this.#drawing = false;
  }

  /** Whether a frame comes after the section that is repeated. */
  #isPastSection(number) {
    return this.section !== null && number > this.section[1];
  }

  async #present({ number, timestamp = null, body, signal }) {
    if (signal && !signal.aborted && this.#isPastSection(number)) {
      this.play(this.section[0]);
      return;
    }
    let picture;
    try {
      picture = await decode(body);
    } catch {
      this.#undecodable += 1;
      this.#changed();
      return;
    }
    if (signal?.aborted) {
      picture.close();
      return;
    }
    this.#draw(picture);
    picture.close();
    [this.#frame, this.#image] = [number, body];
    this.#timestamp = timestamp ?? (this.isLive ? null : number / this.#mount.framerate);
    this.#changed();
    if (this.section && signal && number >= this.section[1]) this.play(this.section[0]);
  }

  async #end(signal) {
    // The last frame may still be being drawn.
    while (this.#drawing && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 10));
    if (signal.aborted) return;
    // The stream has no mark at its end. The last frames may be missing where the browser was too slow.
    const missing = (this.#mount.frames ?? 0) - 1 - (this.#frame ?? -1);
    const isCut = missing > 2 * this.#mount.framerate;
    if (this.isLive || isCut) this.#set(State.FAILED, "The server has ended the stream: it ends, the movie was removed, or the session was closed.");
    else if (this.section) this.play(this.section[0]);
    else if (this.repeats && this.#frame !== null) this.play(0);
    else this.#finish(missing);
  }

  /** Shows the last frame, which a slow browser may not have been sent. */
  async #finish(missing) {
    this.#set(State.ENDED);
    if (missing > 0) await this.#fetchFrame(this.#mount.frames - 1);
  }
}
