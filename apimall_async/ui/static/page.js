// The page: what is read when, the filters, and what the reader is told.

import { Card, capitalize, formatNumber, statusGroup } from "./cards.js";
import { Failure, History } from "./history.js";

/** Milliseconds between two looks at what is due. */
const BEAT = 200;
/** Milliseconds before the page says that it waits. */
const SLOW = 2000;
/** Seconds before another try, where the server names none: doubled each time, and at most. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [5, 60];
/** Reads in a row that may bring nothing to see, because of the filters, before the page asks. */
const PATIENCE = 4;
/** Pixels from the top within which a new task is shown at once. */
const NEAR_TOP = 160;
/** Pixels below the window in which the page already reads on. */
const AHEAD = 800;
const SKELETONS = 12;

const $ = (id) => document.getElementById(id);
const [grid, filters, more, notice, retry] = ["grid", "filters", "more", "notice", "retry"].map($);

// --- what is shown: a card for each task held ---------------------------------------------------

const cards = new Map();
let said = [];

const view = {
  insert(task, next, isNews) {
    const card = new Card(task, say);
    cards.set(task.task_id, card);
    if (isNews) {
      card.held = scrollY > NEAR_TOP;
      card.element.classList.add("new");
      said.push(`New task: ${task.model}, ${task.status}.`);
    }
    card.element.hidden = !isShown(card);
    grid.insertBefore(card.element, cards.get(next)?.element ?? null);
  },
  update(task, before) {
    const card = cards.get(task.task_id);
    card.show(task);
    card.element.hidden = !isShown(card);
    if (task.status !== before.status) said.push(`Task of ${task.model}: ${task.status}.`);
  },
  clear() {
    cards.clear();
    grid.replaceChildren();
  },
};

const history = new History(view);

function isShown(card) {
  const { id, status, model } = wanted;
  return (
    !card.held &&
    (!id || card.task.task_id.toLowerCase().includes(id)) &&
    (!status || statusGroup(card.task) === status) &&
    (!model || card.task.model === model)
  );
}

/** Tell it to those who listen rather than look. */
function say(text) {
  $("said").textContent = text;
}

function sayNews() {
  if (said.length) say(said.length > 3 ? `${said.length} tasks are new or have changed.` : said.join(" "));
  said = [];
}

// --- what is read: one thing at a time, so that the page never adds to a crowd -------------------

let started = false; // whether a first answer has come
let busySince = 0; // 0: nothing is being read
let failure = null;
let tries = 0; // that failed, in a row
let notBefore = 0; // when the next read may start
let nextPoll = 0;
let nearEnd = false;
let barren = 0; // reads in a row that brought nothing to see

function beat() {
  if (!busySince && !document.hidden && performance.now() >= notBefore) {
    if (started && nearEnd && !history.ended && barren < PATIENCE) run(readOlder);
    else if (performance.now() >= nextPoll) run(readNewer);
  }
  if (!document.hidden) renderState();
}

async function readOlder() {
  const shown = countShown();
  await history.readOlder();
  barren = countShown() > shown ? 0 : barren + 1;
}

async function readNewer() {
  await history.readNewer();
  started = true;
  nextPoll = performance.now() + history.pollInterval;
  await history.refreshStale();
}

async function run(job) {
  busySince = performance.now();
  try {
    await job();
    succeed();
  } catch (error) {
    fail(error);
  } finally {
    busySince = 0;
  }
  renderTasks();
  sayNews();
  setTimeout(beat);
}

function succeed() {
  if (failure) said.push("The history is being read again.");
  failure = null;
  tries = 0;
}

function fail(error) {
  if (!(error instanceof Failure)) throw error; // a mistake of this page's own
  const first = failure?.kind !== error.facts.kind;
  failure = error.facts;
  tries += 1;
  const pause = failure.retry_after ?? Math.min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE);
  notBefore = failure.retryable ? performance.now() + pause * 1000 : Infinity;
  if (first) said.push(`${failureTitle()}. ${failure.message} ${failure.advice}`);
}

function tryAgain() {
  notBefore = 0;
  beat();
  $("tasks").focus({ preventScroll: true }); // the button that had the focus goes away
}

// --- filters ------------------------------------------------------------------------------------

let wanted = { id: "", status: "", model: "" };

function filter() {
  const data = new FormData(filters);
  wanted = {
    id: data.get("id").trim().toLowerCase(),
    status: data.get("status"),
    model: data.get("model"),
  };
  barren = 0;
  for (const card of cards.values()) card.element.hidden = !isShown(card);
  renderTasks();
  renderState();
  if (isFiltered()) say(`${formatNumber(countShown())} of ${formatNumber(history.size)} loaded tasks match.`);
}

function isFiltered() {
  return Boolean(wanted.id || wanted.status || wanted.model);
}

function countShown() {
  let count = 0;
  for (const card of cards.values()) count += card.element.hidden ? 0 : 1;
  return count;
}

/** Show the tasks that were born while the reader was further down. */
function showNews() {
  for (const card of cards.values()) {
    if (!card.held) continue;
    card.held = false;
    card.element.hidden = !isShown(card);
  }
  renderTasks();
}

// --- drawing ------------------------------------------------------------------------------------

/** Draw what depends on the tasks held. */
function renderTasks() {
  const models = new Map();
  let [used, refunded, held, other] = [0, 0, 0, false];
  for (const { task, held: isHeld } of cards.values()) {
    models.set(task.model, (models.get(task.model) ?? 0) + 1);
    used += task.credits_used;
    refunded += task.credits_refunded ?? 0;
    held += isHeld ? 1 : 0;
    other ||= statusGroup(task) === "other";
  }
  if (started) {
    $("total-tasks").textContent = formatNumber(history.size) + (history.ended ? "" : "+");
    $("total-used").textContent = formatNumber(used);
    $("total-refunded").textContent = formatNumber(refunded);
  }
  $("other").hidden = !other && wanted.status !== "other";
  $("news").hidden = !held;
  $("news-text").textContent = held === 1 ? "1 new task" : `${held} new tasks`;
  renderModels(models);
}

function renderModels(models) {
  const select = $("models");
  const names = [...models.keys()].sort();
  if (wanted.model && !models.has(wanted.model)) names.push(wanted.model); // chosen, then cleared away
  const options = [["", "All models"], ...names.map((name) => [name, `${name} (${models.get(name) ?? 0})`])];
  // Only if there is a change: it would close the list that the reader has open.
  const same =
    options.length === select.options.length &&
    options.every(([value, label], i) => select.options[i].value === value && select.options[i].label === label);
  if (same) return;
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === wanted.model)));
}

/** Draw what depends on what is going on, and on the time. */
function renderState() {
  const shown = countShown();
  const waits = busySince && performance.now() - busySince > SLOW;
  const state = failure ? "failed" : !started ? "loading" : history.size ? "ready" : "empty";
  document.body.dataset.state = state;
  $("tasks").setAttribute("aria-busy", String(Boolean(busySince) && !started));
  $("skeletons").hidden = started || Boolean(failure);
  $("empty").hidden = state !== "empty";
  $("no-match").hidden = state !== "ready" || shown > 0 || (!history.ended && barren < PATIENCE);
  $("no-match-text").textContent = history.ended
    ? `None of the ${formatNumber(history.size)} tasks of this account.`
    : `None of the ${formatNumber(history.size)} newest tasks. There are older ones.`;
  renderPill(waits);
  renderNotice();
  renderFoot(state, waits);
}

function renderPill(waits) {
  const [kind, text] = failure
    ? [failure.kind === "rate_limited" ? "waits" : "failed", failure.kind === "rate_limited" ? waiting() : "Not live"]
    : waits
      ? ["waits", "Waiting for the gateway"]
      : started
        ? ["live", "Live"]
        : ["idle", "Loading"];
  $("pill").dataset.kind = kind;
  setText("pill-text", text);
}

function renderNotice() {
  notice.hidden = !failure;
  if (!failure) return;
  const limited = failure.kind === "rate_limited";
  notice.dataset.kind = limited ? "waits" : "failed";
  notice.classList.toggle("floating", history.size > 0);
  setText("notice-title", limited ? waiting() : failureTitle());
  setText("notice-message", limited ? "The gateway asks for a pause." : failure.message);
  setText("notice-advice", failure.advice ?? "");
  setText("notice-request", failure.request_id && !limited ? `Request id: ${failure.request_id}` : "");
  setText("notice-wait", !limited && failure.retryable ? (busySince ? "Trying again …" : `Trying again in ${secondsLeft()} s`) : "");
  retry.hidden = limited;
  retry.disabled = Boolean(busySince);
}

function renderFoot(state, waits) {
  const canRead = state === "ready" && !history.ended;
  const asks = canRead && !busySince;
  more.hidden = !asks;
  more.textContent = barren >= PATIENCE ? "Look through older tasks" : "Load older tasks";
  setText(
    "foot-text",
    state !== "ready" || asks ? ""
    : history.ended ? `That is all: ${formatNumber(history.size)} ${history.size === 1 ? "task" : "tasks"}.`
    : waits ? "Waiting for the gateway …"
    : "Loading older tasks …",
  );
}

const TITLES = {
  bad_answer: "The gateway's answer makes no sense",
  closed: "The page's server is shutting down",
  gateway_failed: "The gateway has a problem",
  key_refused: "The API key was refused",
  moved: "The place in the history is lost",
  no_access: "No access to the history",
  not_found: "There is no history at this address",
  offline: "The page has lost its server",
  pages_unreadable: "The history cannot be read page by page",
  rate_limited: "Too many requests",
  timeout: "The gateway takes too long",
  unreachable: "The gateway cannot be reached",
};

function failureTitle() {
  return TITLES[failure.kind] ?? "The history could not be read";
}

function secondsLeft() {
  return Math.max(1, Math.ceil((notBefore - performance.now()) / 1000));
}

function waiting() {
  return busySince ? "Waiting …" : `Waiting, ${secondsLeft()} s`;
}

/** Leave alone what is right already: a change would be announced, and undo a selection. */
function setText(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

// --- begin --------------------------------------------------------------------------------------

for (let i = 0; i < SKELETONS; i++) {
  const skeleton = $("card").content.cloneNode(true).firstElementChild;
  skeleton.replaceChildren(...["thumb", "bar", "bar short"].map((name) => {
    const part = document.createElement("span");
    part.className = name;
    return part;
  }));
  skeleton.classList.add("skeleton");
  $("skeletons").append(skeleton);
}

filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  filters.reset();
  filter();
  filters.elements.id.focus();
});
more.addEventListener("click", () => {
  barren = 0;
  if (!busySince) run(readOlder);
  renderState();
});
retry.addEventListener("click", tryAgain);
$("news").addEventListener("click", () => {
  showNews();
  scrollTo({ top: 0 });
  $("tasks").focus({ preventScroll: true });
});
addEventListener("scroll", () => scrollY <= NEAR_TOP && showNews(), { passive: true });
document.addEventListener("visibilitychange", beat);
new IntersectionObserver(
  (entries) => {
    nearEnd = entries.at(-1).isIntersecting;
    beat();
  },
  { rootMargin: `0px 0px ${AHEAD}px` },
).observe($("foot"));
filter(); // a browser may have kept the form over a reload
setInterval(beat, BEAT);
beat();
