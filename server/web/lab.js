// SPDX-License-Identifier: MIT OR Apache-2.0
// The lab on the projector: takes the server's events and hands them to the views.

import { showAccount } from "./account.js";
import { byId, element, keepSetting, readSetting, saveAs, setText, showDialog } from "./dom.js";
import { describe, getJson, request } from "./api.js";
import { Log } from "./lab-log.js";
import { HeaderView } from "./lab-header.js";
import { StateDiagram } from "./lab-state.js";
import { Timeline } from "./lab-timeline.js";
import { asText } from "./lab-text.js";
import { count } from "./format.js";

/** Events that are kept. Older ones are forgotten. */
const EVENTS = 1000;
/** Sessions that are kept; those that have ended go first. */
const SESSIONS = 200;
const EVENT_NAMES = ["session", "request", "reply", "rtp", "packets", "state", "end", "lost"];
const SIZES = [1, 1.2, 1.45, 1.75, 2.1];
/** The page has two columns if it is at least so wide, in sizes of its text. */
const COLUMNS_FROM = 58;
const KEYS = [
  ["P", "Stop the list, or let it go on"], ["E", "Explanations or not"], ["/", "Filter"], ["+", "Larger text"], ["-", "Smaller text"],
  ["S", "Choose a session"], ["End", "To the newest"], ["Ctrl+S", "Save as text"], ["?", "This list"],
];

const lab = byId("lab");
const sessions = new Map();
let events = [];
let waiting = [];
let paused = false;
let last = { run: "", number: -1 };
let speaker = null;

const log = new Log(byId("log"), byId("newest"));
const diagram = new StateDiagram(byId("state"));
const header = new HeaderView(byId("header"));
const timeline = new Timeline(byId("timeline"));

const chosen = () => byId("session").value;

/** Whether an event is one that the user wants to see. */
function isMeant(event) {
  if (!speaks(sessions.get(event.session))) return false;
  if (chosen() !== "" && event.session !== chosen()) return false;
  const dialect = byId("dialect").value;
  if (dialect !== "" && sessions.get(event.session)?.dialect !== dialect) return false;
  const wanted = byId("filter").value.trim().toLowerCase();
  if (wanted === "" || event.kind === "packets" || event.kind === "state") return true;
  const texts = [event.summary, event.reason, event.peer, ...(event.lines ?? []).map((line) => line.text), ...(event.remarks ?? [])];
  return texts.some((text) => text?.toLowerCase().includes(wanted));
}

function sessionOf(event) {
  let session = sessions.get(event.session);
  if (session) return session;
  session = { id: event.session, peer: event.peer ?? "", dialect: event.dialect ?? "", state: "init", transition: null, ended: false, header: null };
  sessions.set(session.id, session);
  if (sessions.size > SESSIONS) {
    const oldest = [...sessions.values()].find((it) => it.ended) ?? sessions.values().next().value;
    sessions.delete(oldest.id);
  }
  showSessions();
  if (event.kind !== "session") askAbout();
  return session;
}

let unknown = 0;
/** Asks who speaks, where the event that said so is not kept any more. */
function askAbout() {
  clearTimeout(unknown);
  unknown = setTimeout(async () => {
    try {
      const list = await getJson("/api/v1/sessions");
      for (const { id, peer, dialect } of list.sessions) {
        if (sessions.has(id)) Object.assign(sessions.get(id), { peer, dialect });
      }
      showSessions();
      again();
    } catch {
      // The exchange is shown without their addresses.
    }
  }, 300);
}

/** Changes what is known about a session. */
function note(event) {
  const session = sessionOf(event);
  if (event.kind === "session") Object.assign(session, { peer: event.peer, dialect: event.dialect });
  if (event.state && event.state !== session.state) {
    session.transition = `${session.state}-${event.state}`;
    session.state = event.state;
  }
  if (event.kind === "rtp") session.header = event;
  if (event.kind === "end") {
    session.ended = true;
    session.state = "init";
  }
  if (event.kind === "end" || event.kind === "session") showSessions();
  return session;
}

function take(event) {
  const session = note(event);
  if (event.kind !== "packets") {
    events.push(event);
    if (events.length > EVENTS) events = events.slice(-EVENTS);
  }
  if (event.kind !== "end" && speaks(session)) speaker = session;
  if (!isMeant(event)) return;
  timeline.add(event, session);
  log.add(event, session);
}

function receive(kind, data, id) {
  const event = { kind, ...data };
  if (kind === "lost") {
    showNote(`${count(event.events, "event")} of the past cannot be shown any more.`);
    return;
  }
  // After a connection anew the server sends what it has kept: what is known already is left out. The identifier
  // is that of the server's run, and a number.
  const cut = id.lastIndexOf("-");
  const [run, number] = [id.slice(0, cut), Number(id.slice(cut + 1))];
  // Packets are not kept; they come with the identifier of the event before.
  if (run === last.run && number <= last.number && kind !== "packets") return;
  if (run !== last.run) forget();
  last = { run, number };
  if (paused) {
    waiting.push(event);
    if (waiting.length > EVENTS) waiting.shift();
    setText(byId("pause"), `Go on (${waiting.length} new)`);
    return;
  }
  take(event);
  plan();
}

/** Forgets all: another run of the server numbers its sessions anew. */
function forget() {
  sessions.clear();
  [events, waiting, speaker] = [[], [], null];
  log.clear();
  timeline.clear();
  showSessions();
}

let planned = 0;
function plan() {
  planned ||= requestAnimationFrame(() => {
    planned = 0;
    show();
  });
}

/** Draws what belongs to one session: the chosen one, otherwise that which has spoken last. */
function show() {
  const session = sessions.get(chosen()) ?? (chosen() === "" && speaker && passes(speaker) ? speaker : null);
  const others = [...sessions.values()].filter((it) => !it.ended && passes(it));
  diagram.show(session, chosen() === "" ? others : []);
  setText(byId("state-whose"), session ? `${title(session)}${session.ended ? " (ended)" : ""}` : "No session yet");
  const withHeader = session?.header ? session : null;
  header.show(withHeader?.header ?? null);
  setText(byId("header-whose"), withHeader ? `its header, before ${count(withHeader.header.payload_bytes, "byte")} of payload` : "");
  setText(byId("time-text"), timeline.text());
  timeline.draw();
  byId("log-empty").hidden = !log.isEmpty;
  const [heading, advice] = byId("log-empty").children;
  const wasHeard = [...sessions.values()].some(speaks);
  setText(heading, wasHeard ? "Nothing matches" : "Nobody has spoken yet");
  setText(advice, wasHeard ? "Choose another session, or empty the filter." : "Start a lab client or a player: each request and each reply appears here.");
}

/** Browsers' streams are sessions too, but there is no exchange of messages. */
function speaks(session) {
  return session?.dialect !== "http";
}

function passes(session) {
  if (!speaks(session)) return false;
  const dialect = byId("dialect").value;
  return dialect === "" || session.dialect === dialect;
}

function title(session) {
  const who = session.dialect === "lab" ? "lab client" : session.dialect === "rtsp" ? "RTSP player" : session.dialect;
  return [`Session ${session.id}`, [who, session.peer].filter(Boolean).join(" at ")].filter(Boolean).join(", ");
}

function showSessions() {
  const select = byId("session");
  const value = select.value;
  const options = [...sessions.values()].filter(speaks).reverse().map((it) =>
    element("option", { value: it.id, text: `${it.id}: ${it.dialect} ${it.peer}${it.ended ? " (ended)" : ""}` }));
  select.replaceChildren(element("option", { value: "", text: "All sessions" }), ...options);
  select.value = sessions.has(value) ? value : "";
}

/** Shows again what has been kept, after another choice. */
function again() {
  log.clear();
  timeline.clear();
  for (const event of events.filter(isMeant)) {
    const session = sessions.get(event.session) ?? sessionOf(event);
    timeline.add(event, session);
    log.add(event, session);
  }
  show();
}

function setPaused(now) {
  paused = now;
  byId("pause").setAttribute("aria-pressed", String(now));
  setText(byId("pause"), now ? "Go on" : "Pause");
  timeline.frozen = now;
  if (now) return;
  waiting.splice(0).forEach(take);
  show();
}

function showNote(text) {
  setText(byId("note"), text);
  byId("note").hidden = text === "";
}

let source = null;
let retry = 0;
function connect() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("/api/v1/exchange");
  source.addEventListener("open", () => showNote(""));
  for (const name of EVENT_NAMES) {
    source.addEventListener(name, (message) => receive(name, JSON.parse(message.data), message.lastEventId));
  }
  source.addEventListener("error", async () => {
    showNote("The connection to the server is lost. Connecting again…");
    if (source.readyState !== EventSource.CLOSED) return;
    // A refusal: EventSource does not say why, so it is asked for in another way.
    const abort = new AbortController();
    try {
      await request("/api/v1/exchange", { signal: abort.signal });
      abort.abort();
    } catch (error) {
      showNote(describe(error));
    }
    retry = setTimeout(connect, 5000);
  });
}

/** The size of text grows with the window, so that a projector's is large by itself. */
function baseSize() {
  const { clientWidth } = document.documentElement;
  return Math.max(1, Math.min(clientWidth / 1280, innerHeight / 720));
}

function setSize(step) {
  const now = Math.min(SIZES.length - 1, Math.max(0, step));
  keepSetting("lab-size", String(now));
  byId("smaller").disabled = now === 0;
  byId("larger").disabled = now === SIZES.length - 1;
  size = now;
  layOut();
}
let size = Math.min(SIZES.length - 1, Number(readSetting("lab-size", "0")) || 0);

function layOut() {
  document.documentElement.style.fontSize = `${Math.round(SIZES[size] * baseSize() * 1000) / 10}%`;
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize);
  lab.classList.toggle("narrow", document.documentElement.clientWidth < COLUMNS_FROM * em);
  show();
}

function setExplained(now) {
  byId("log").classList.toggle("without", !now);
  byId("explain").setAttribute("aria-pressed", String(now));
  keepSetting("lab-explain", now ? "yes" : "no");
}

const isExplained = () => byId("explain").getAttribute("aria-pressed") === "true";
const actions = {
  p: () => setPaused(!paused),
  e: () => setExplained(!isExplained()),
  s: () => byId("session").focus(),
  "/": () => byId("filter").focus(),
  "+": () => setSize(size + 1),
  "=": () => setSize(size + 1),
  "-": () => setSize(size - 1),
  end: () => log.toNewest(),
  "?": () => showDialog("Keys", element("dl", { class: "keys" }, KEYS.flatMap(([key, text]) => [element("dt", {}, element("kbd", { text: key })), element("dd", { text })]))),
};

function save() {
  const name = `lab-${new Date().toISOString().replace(/[:.]/g, "-").slice(0, 19)}.txt`;
  saveAs(name, asText(events.filter(isMeant), sessions, isExplained()), "text/plain;charset=utf-8");
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.metaKey) return;
  if (event.ctrlKey) {
    if (event.key.toLowerCase() !== "s") return;
    event.preventDefault();
    save();
    return;
  }
  if (event.target.matches?.("input, select, dialog *")) return;
  const action = actions[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});
byId("session").addEventListener("change", again);
byId("dialect").addEventListener("change", again);
byId("filter").addEventListener("input", again);
byId("pause").addEventListener("click", actions.p);
byId("explain").addEventListener("click", actions.e);
byId("larger").addEventListener("click", actions["+"]);
byId("smaller").addEventListener("click", actions["-"]);
byId("save").addEventListener("click", save);
document.addEventListener("themechange", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
addEventListener("resize", layOut);
// A page that nobody sees gives its connection back: browsers open six to a server, for all pages together.
document.addEventListener("visibilitychange", () => (document.hidden ? source?.close() : connect()));

setExplained(readSetting("lab-explain", "yes") === "yes");
setSize(size);
if (!document.hidden) connect();
showAccount();
