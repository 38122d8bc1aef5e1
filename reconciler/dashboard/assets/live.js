// Keeps a page true: one stream of events says when to look again, and what the server then draws replaces what is here.
// Everything that others wrote is set as text. A tab that nobody sees holds no connection.
"use strict";

const SLOWEST = 1000, REFUSED = 10000, MOVES = 15000, LINES = 500;
const link = document.getElementById("link");
let stream = null, seen = document.body.dataset.seen, met = false, waiting = null, looking = false, again = false, last = 0, took = 0;

function connect() {
  if (stream || document.hidden) return;
  stream = new EventSource(`/v1/events?progress=true&after=${seen}`);
  stream.onopen = () => { say("Live"); if (met) refresh(); met = true; };
  stream.onerror = () => {
    say("Connecting…");
    if (!stream || stream.readyState !== EventSource.CLOSED) return;
    // Refused: too many listen, or nobody is signed in any more, which the page itself finds out.
    disconnect();
    refresh();
    setTimeout(connect, REFUSED);
  };
  for (const kind of KINDS) stream.addEventListener(kind, heard);
}

const KINDS = ["HistoryRewritten", "SyncStarted", "SyncPlanned", "SyncFinished", "ReleaseSwitched", "ReleaseFailed", "RolledBack",
  "SmokeFailed", "CrashLooped", "ServiceRemoved", "ServiceSuspended", "ServiceResumed", "WorkersRestarted", "PhaseBegan",
  "SuitePlayed", "ActionFinished"];

function disconnect() {
  if (stream) stream.close();
  stream = null;
}

function heard(event) {
  const told = JSON.parse(event.data);
  if (event.lastEventId) seen = event.lastEventId;
  if (told.kind === "PhaseBegan") {
    for (const place of document.querySelectorAll("[data-phase]")) {
      if (place.dataset.phase === told.service) place.textContent = told.message;
    }
  }
  refresh();
}

// A server that is slow is asked less often: never more than a tenth of the time.
function refresh() {
  if (looking) { again = true; return; }
  if (waiting) return;
  const pause = Math.max(SLOWEST, 10 * took) - (performance.now() - last);
  waiting = setTimeout(() => { waiting = null; look(); }, Math.max(0, pause));
}

// No event tells of requests: what shows them is looked at now and then.
if (document.querySelector("[data-moves]")) setInterval(() => { if (!document.hidden) refresh(); }, MOVES);

async function look(address = location.href) {
  looking = true; again = false; last = performance.now();
  try {
    const answer = await fetch(address, { redirect: "manual", headers: { accept: "text/html" } });
    if (answer.type === "opaqueredirect") location.assign("/sign-in");
    else if (answer.ok) redraw(await answer.text());
  } catch { say("Connecting…"); }
  took = performance.now() - last;
  looking = false;
  if (again) refresh();
}

function redraw(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (now && now.innerHTML !== old.drawn) replace(old, now);
  }
}

function replace(old, now) {
  const drawn = now.innerHTML, focused = old.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const open = new Map([...old.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]));
  for (const one of now.querySelectorAll("details[data-key]")) if (open.has(one.dataset.key)) one.open = open.get(one.dataset.key);
  old.replaceChildren(...[...now.childNodes].map((node) => document.importNode(node, true)));
  old.drawn = drawn;
  if (focused) [...old.querySelectorAll("a, button, summary, [tabindex]")].find((one) => keyOf(one) === focused)?.focus({ preventScroll: true });
}

function keyOf(one) {
  return `${one.tagName} ${one.dataset.key || one.dataset.post || one.getAttribute("href") || one.parentElement.dataset.key || ""}`;
}

function say(text) {
  if (link && link.textContent !== text) link.textContent = text;
}

// What a person asks for

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) ask(button);
});

async function ask(button) {
  const { post, to, ask: question, done } = button.dataset;
  if (question && !(await agreed(question))) return;
  button.disabled = true;
  say("Asking…");
  try {
    const body = to ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ to }) } : { method: "POST" };
    const answer = await fetch(post, body);
    const told = await answer.json();
    say(answer.ok ? told.message || done : told.detail || told.title);
  } catch { say("The server did not answer."); }
  button.disabled = false;
  look();
}

function agreed(question) {
  const dialog = document.getElementById("ask");
  document.getElementById("question").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}

// Finding

const filter = document.querySelector("form[data-instant]");
let typing = null;
if (filter) {
  filter.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const wanted = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value));
      history.replaceState(null, "", wanted.size ? `/?${wanted}` : "/");
      look();
    }, 150);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); filter.q.focus(); }
  });
}

// Logs

const logs = document.getElementById("logs");
let reading = null;

async function follow() {
  if (!logs || reading || document.hidden) return;
  reading = new AbortController();
  const mine = reading;
  logs.replaceChildren();
  try {
    const answer = await fetch(`${logs.dataset.logs}?follow=true&limit=200`, { signal: mine.signal });
    if (!answer.ok) throw new Error(answer.status);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      write(lines);
    }
  } catch { /* it ended, or nobody looks */ }
  if (reading === mine) { reading = null; if (!document.hidden) setTimeout(follow, 3000); }
}

function write(lines) {
  const atEnd = logs.scrollHeight - logs.scrollTop - logs.clientHeight < 40;
  logs.append(...lines.filter(Boolean).slice(-LINES).map(row));
  while (logs.childElementCount > LINES) logs.firstElementChild.remove();
  if (atEnd) logs.scrollTop = logs.scrollHeight;
}

function row(line) {
  const made = document.createElement("div");
  let record = {};
  try { record = JSON.parse(line); } catch { record = { message: line }; }
  const when = typeof record.time === "string" ? record.time.slice(11, 23) : "";
  // eslint-disable-next-line no-control-regex
  const text = String(record.message ?? "").replace(/\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "");
  made.textContent = `${when} ${text}`;
  if (/^(error|critical)$/i.test(record.level)) made.className = "error";
  else if (/^warning$/i.test(record.level)) made.className = "warning";
  return made;
}

// Time goes on

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const [size, name] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([each]) => seconds >= each) || [1, "s"];
    time.textContent = seconds < 1 ? "just now" : `${Math.floor(seconds / size)} ${name} ago`;
  }
}, 15000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { disconnect(); reading?.abort(); reading = null; say("Paused"); }
  else { connect(); follow(); }
});
addEventListener("pagehide", () => { disconnect(); reading?.abort(); });
addEventListener("pageshow", connect);
connect();
follow();
