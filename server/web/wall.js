// SPDX-License-Identifier: MIT OR Apache-2.0
// The wall: a grid of all movies of a folder, or of those that a search finds. Only tiles in view exist in the
// document, so that thousands of movies cost no more than a screenful.

import { byId, element, setText } from "./dom.js";
import { describe, getJson, playPath } from "./api.js";
import { count, wholeTime } from "./format.js";
import { Previews } from "./previews.js";

/** Movies that one request lists. */
const PAGE = 100;
/** Milliseconds between two looks at the list. */
const REFRESH = 5000;
/** The same while the length of a movie in view is not known: the server counts its frames when it opens it. */
const LENGTH_REFRESH = 700;
const GAP = 16;
/** Rows above and below the view that exist too. */
const OVERSCAN = 1;

function facts(mount) {
  const found = [];
  if (mount.kind !== "live" && mount.duration_seconds !== null) found.push(wholeTime(mount.duration_seconds));
  if (mount.width !== null) found.push(`${mount.width}×${mount.height}`);
  if (mount.viewers > 0) found.push(`${mount.viewers} watching`);
  return found.join(" · ");
}

/** A folder of this one. The server may name it with or without the folders above. */
function pathIn(folder, name) {
  return folder === "" || name.startsWith(`${folder}/`) ? name : `${folder}/${name}`;
}

class Tile {
  constructor(index, mount) {
    this.index = index;
    this.box = element("span", { class: "picture" });
    this.live = element("span", { class: "badge", text: "live", hidden: true });
    this.name = element("span", { class: "name" });
    this.facts = element("span", { class: "facts" });
    this.link = element("a", {}, this.box, this.live, this.name, this.facts);
    this.node = element("li", {}, this.link);
    this.update(mount);
  }

  /** Writes what the list says now. */
  update(mount) {
    if (this.mount?.name !== mount.name) {
      this.leaving?.();
      Object.assign(this, { due: 0, started: undefined, failed: false });
      this.box.replaceChildren();
    }
    this.mount = mount;
    this.link.href = playPath(mount.name);
    this.link.title = mount.name;
    this.live.hidden = mount.kind !== "live";
    setText(this.name, mount.title);
    setText(this.facts, facts(mount));
    this.box.classList.toggle("refused", mount.error !== null);
    if (mount.error !== null) setText(this.box, `Cannot be shown: ${mount.error}`);
  }
}

/** The wall. `folder` and `search` say what it shows. */
export class Wall {
  #grid = byId("grid");
  #space = byId("grid-space");
  #search = byId("search");
  #previews = new Previews((sentence) => this.#note(sentence));
  #tiles = new Map();
  #pages = new Map();
  #asked = new Set();
  #total = 0;
  #folders = [];
  #folder = "";
  #query = "";
  #generation = 0;
  #timer = 0;
  #shown = false;
  #frame = 0;
  /** A tile that gets the focus when its movie has been listed; null if there is none. */
  #awaited = null;
  #layout = { columns: 1, width: 0, row: 0 };
  /** What is shown while there is no list. */
  #reason = element("p");
  #again = element("button", { type: "button", class: "accent", text: "Try again", onclick: () => this.#load(0) });

  /** `navigate` gets the address of what the user looks for. */
  constructor(navigate) {
    const moving = byId("moving");
    const label = () => moving.setAttribute("aria-pressed", String(this.#previews.moving));
    label();
    moving.addEventListener("click", () => {
      this.#previews.moving = !this.#previews.moving;
      label();
    });
    let typing = 0;
    this.#search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => navigate(this.#address(this.#folder, this.#search.value.trim())), 150);
    });
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search.blur();
      this.#focus(0);
    });
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("scroll", () => this.#plan(), { passive: true });
    new ResizeObserver(() => this.#plan()).observe(this.#space);
    document.addEventListener("visibilitychange", () => this.#refreshLater());
  }

  #address(folder, search) {
    const query = new URLSearchParams();
    if (folder) query.set("folder", folder);
    if (search) query.set("search", search);
    return query.size > 0 ? `/?${query}` : "/";
  }

  /** Shows a folder, or what a search finds. */
  show(folder, search) {
    const isNew = !this.#shown || folder !== this.#folder || search !== this.#query;
    [this.#folder, this.#query, this.#shown] = [folder, search, true];
    if (this.#search.value.trim() !== search) this.#search.value = search;
    const title = search ? "Search" : folder.split("/").pop() || "Movies";
    document.title = title;
    setText(byId("wall-title"), title);
    this.#showCrumbs();
    if (!isNew) return;
    this.#generation += 1;
    this.#pages.clear();
    this.#asked.clear();
    this.#load(0);
  }

  /** Stops all loading. */
  hide() {
    this.#shown = false;
    this.#generation += 1;
    clearTimeout(this.#timer);
    this.#previews.show(new Set());
  }

  /** Puts the keyboard into the search field. */
  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  #note(sentence) {
    const note = byId("wall-note");
    note.hidden = sentence === "";
    setText(note, sentence);
  }

  #showCrumbs() {
    const parts = this.#folder ? this.#folder.split("/") : [];
    const links = [element("a", { href: "/", text: "Movies" })];
    parts.forEach((part, at) => {
      const isLast = at === parts.length - 1;
      links.push(element("span", { "aria-hidden": "true", text: "/" }));
      links.push(element("a", { href: this.#address(parts.slice(0, at + 1).join("/"), ""), text: part, "aria-current": isLast ? "page" : null }));
    });
    byId("crumbs").hidden = parts.length === 0 || this.#query !== "";
    byId("crumbs").replaceChildren(...links);
  }

  #showFolders() {
    const list = byId("folders");
    list.hidden = this.#folders.length === 0;
    list.replaceChildren(...this.#folders.map((name) => {
      const path = pathIn(this.#folder, name);
      return element("li", {}, element("a", { href: this.#address(path, ""), text: path.split("/").pop() }));
    }));
  }

  async #load(page) {
    const generation = this.#generation;
    this.#asked.add(page);
    const query = new URLSearchParams({ offset: page * PAGE, limit: PAGE });
    if (this.#query) query.set("search", this.#query);
    else query.set("folder", this.#folder);
    try {
      const list = await getJson(`/api/v1/mounts?${query}`);
      if (generation !== this.#generation) return;
      this.#pages.set(page, list.mounts);
      this.#total = list.total;
      if (page === 0 && JSON.stringify(list.folders) !== JSON.stringify(this.#folders)) {
        this.#folders = list.folders;
        this.#showFolders();
      }
      this.#showCount();
      this.#render();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#showError(error);
    } finally {
      this.#asked.delete(page);
      if (generation === this.#generation) this.#refreshLater();
    }
  }

  #showCount() {
    const isEmpty = this.#total === 0 && this.#folders.length === 0;
    const found = this.#query ? `${count(this.#total, "movie")} with “${this.#query}” in the name` : count(this.#total, "movie");
    setText(byId("wall-count"), isEmpty && !this.#query ? "" : found);
    const empty = byId("wall-empty");
    empty.hidden = !isEmpty;
    if (!isEmpty) return;
    const [title, advice] = this.#query
      ? ["No movie has this name", "The search looks for a part of the name, in all folders."]
      : this.#folder
        ? ["This folder has no movie", "A movie that is copied into it appears here by itself."]
        : ["There are no movies yet", "Copy a movie into the server's folder: it appears here by itself."];
    empty.replaceChildren(element("h2", { text: title }), element("p", { text: advice }));
  }

  #showError(error) {
    const empty = byId("wall-empty");
    if (this.#pages.size > 0) {
      this.#note(`${describe(error)} This list is the last one.`);
      return;
    }
    empty.hidden = false;
    // Kept while it is shown, with its focus: a button that is replaced while it is pressed gets no click.
    if (!this.#again.isConnected) empty.replaceChildren(element("h2", { text: "The list of movies cannot be loaded" }), this.#reason, this.#again);
    setText(this.#reason, describe(error));
  }

  #refreshLater() {
    clearTimeout(this.#timer);
    if (!this.#shown || document.hidden) return;
    this.#timer = setTimeout(() => {
      const { first, last } = this.#range();
      const pages = new Set([0, Math.floor(first / PAGE), Math.floor(Math.max(first, last - 1) / PAGE)]);
      for (const page of pages) this.#load(page);
    }, this.#awaitsLength() ? LENGTH_REFRESH : REFRESH);
  }

  #awaitsLength() {
    return [...this.#tiles.values()].some(({ mount }) => mount.frames === null && mount.kind !== "live" && mount.error === null);
  }

  #plan() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#render());
  }

  #measure() {
    const width = this.#space.clientWidth;
    const smallest = width < 560 ? 140 : 220;
    const columns = Math.max(1, Math.floor((width + GAP) / (smallest + GAP)));
    const tile = Math.floor((width - GAP * (columns - 1)) / columns);
    // The caption has two lines; its height depends on the size of the text.
    const caption = 3.25 * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.#layout = { columns, width: tile, row: Math.ceil(tile * 0.75 + caption) + GAP };
  }

  /** The indices in view, or with `extra` rows above and below. */
  #range(extra = 0) {
    const { columns, row } = this.#layout;
    if (row === 0) return { first: 0, last: 0 };
    const top = -this.#space.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / row) - extra) * columns;
    const last = Math.max(0, Math.ceil((top + innerHeight) / row) + extra) * columns;
    return { first: Math.min(first, this.#total), last: Math.min(last, this.#total) };
  }

  #mountAt(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  #render() {
    if (!this.#shown) return;
    this.#measure();
    const { columns, width, row } = this.#layout;
    this.#space.style.height = `${Math.ceil(this.#total / columns) * row}px`;
    const { first, last } = this.#range(OVERSCAN);
    const focused = [...this.#tiles.values()].find((tile) => tile.node.contains(document.activeElement))?.index;
    const wanted = new Set();
    for (let index = first; index < last; index += 1) wanted.add(index);
    if (focused !== undefined && focused < this.#total) wanted.add(focused);
    for (const [index, tile] of this.#tiles) {
      if (wanted.has(index) && this.#mountAt(index)) continue;
      tile.leaving?.();
      tile.node.remove();
      this.#tiles.delete(index);
    }
    for (const index of wanted) this.#place(index, columns, width, row);
    const view = this.#range();
    this.#previews.show(new Set([...this.#tiles.values()].filter((tile) => tile.index >= view.first && tile.index < view.last)));
    this.#focusAwaited();
  }

  #focusAwaited() {
    const tile = this.#tiles.get(this.#awaited);
    if (!tile) return;
    this.#awaited = null;
    // Unless the user has gone elsewhere meanwhile.
    if (document.activeElement === document.body || this.#grid.contains(document.activeElement)) tile.link.focus({ preventScroll: true });
  }

  #place(index, columns, width, row) {
    const mount = this.#mountAt(index);
    if (!mount) {
      const page = Math.floor(index / PAGE);
      if (!this.#asked.has(page) && !this.#pages.has(page)) this.#load(page);
      return;
    }
    let tile = this.#tiles.get(index);
    if (tile) tile.update(mount);
    else {
      tile = new Tile(index, mount);
      this.#tiles.set(index, tile);
      const after = [...this.#grid.children].find((node) => Number(node.dataset.index) > index);
      this.#grid.insertBefore(tile.node, after ?? null);
    }
    const { node } = tile;
    node.dataset.index = index;
    node.setAttribute("aria-posinset", index + 1);
    node.setAttribute("aria-setsize", this.#total);
    node.style.width = `${width}px`;
    node.style.height = `${row - GAP}px`;
    node.style.transform = `translate(${(index % columns) * (width + GAP)}px, ${Math.floor(index / columns) * row}px)`;
  }

  #focus(index) {
    if (index < 0 || index >= this.#total) return;
    const { columns, row } = this.#layout;
    const top = this.#space.getBoundingClientRect().top + Math.floor(index / columns) * row;
    const header = 72;
    if (top < header) scrollBy(0, top - header);
    else if (top + row > innerHeight) scrollBy(0, top + row - innerHeight);
    this.#awaited = index;
    this.#render();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const at = Number(event.target.closest("li")?.dataset.index);
    const { columns } = this.#layout;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const to = { Home: 0, End: this.#total - 1 }[event.key] ?? at + (steps[event.key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    this.#focus(to);
  }
}
