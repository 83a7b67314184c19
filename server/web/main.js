// SPDX-License-Identifier: MIT OR Apache-2.0
// Decides by the address which view is shown. The player and the viewers are loaded when they are first needed.

import { byId } from "./dom.js";
import { Wall } from "./wall.js";

const VIEWS = ["wall", "player", "viewers"];
const wall = new Wall((address) => {
  history.replaceState(null, "", address);
  route();
});
let player = null;
let viewers = null;
/** Counts navigations: a module that arrives late must not show its view over a newer one. */
let visit = 0;

function showView(name) {
  for (const view of VIEWS) byId(view).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name !== "wall") wall.hide();
  if (name !== "player") player?.close();
  if (name !== "viewers") viewers?.hide();
}

async function showPlayer(name) {
  const now = visit;
  const { Player } = await import("./player.js");
  if (now !== visit) return;
  player ??= new Player(byId("player"), go);
  player.open(name);
}

async function showViewers() {
  const now = visit;
  const { Viewers } = await import("./viewers.js");
  if (now !== visit) return;
  document.title = "Viewers";
  viewers ??= new Viewers(byId("viewers"), { heading: "h1" });
  viewers.show(null);
}

function route() {
  visit += 1;
  const { pathname, search, hash } = location;
  if (pathname.startsWith("/play/")) {
    showView("player");
    showPlayer(decodeName(pathname.slice("/play/".length)));
  } else if (hash === "#viewers") {
    showView("viewers");
    showViewers();
  } else {
    showView("wall");
    const query = new URLSearchParams(search);
    wall.show(query.get("folder") ?? "", (query.get("search") ?? "").trim());
  }
}

function decodeName(path) {
  try {
    return path.split("/").map(decodeURIComponent).join("/");
  } catch {
    return path;
  }
}

/** Goes to an address of this document without loading it again. */
function go(address) {
  history.pushState(null, "", address);
  route();
  scrollTo(0, 0);
  byId("main").focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || link.target || link.hasAttribute("download")) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.origin !== location.origin) return;
  const isHere = link.pathname === "/" || link.pathname.startsWith("/play/");
  if (!isHere || link.hash === "#main") return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input, select, textarea");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.altKey || event.metaKey || byId("wall").hidden) return;
  event.preventDefault();
  wall.focusSearch();
});

addEventListener("popstate", route);
route();
// After what the page shows first.
setTimeout(async () => (await import("./account.js")).showAccount(), 500);
