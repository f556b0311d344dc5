// The page: what is read when, and what the reader is shown of that.

import { $, announce, announceChanges, announceLater, formatNumber, setText } from "./dom.js";
import { applyFilters, countShown, renderTotals, showNew, view } from "./grid.js";
import { Failure, History } from "./history.js";

/** Milliseconds between two looks at what is due. */
const TICK = 200;
/** Milliseconds before the page shows that it waits. */
const SLOW = 2000;
/** Seconds before another try, where the server names none: doubled each time, and at most. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [5, 60];
/** Reads in a row that may bring nothing to see, because of the filters, before the page leaves it to the reader. */
const EMPTY_READS = 4;
/** Pixels below what is in sight in which the page already reads on. */
const AHEAD = 800;
const SKELETONS = 12;

const [filters, more, notice, retry] = ["filters", "more", "notice", "retry"].map($);
const history = new History(view);

let busySince = 0; // 0: nothing is being read
let failure = null;
let tries = 0; // that failed, in a row
let notBefore = 0; // when the next read may start
let nextPoll = 0;
let nearEnd = false;
let emptyReads = 0; // in a row

/** Start what is due: one thing at a time, so that the page never adds to a crowd. */
function tick() {
  if (!busySince && !document.hidden && performance.now() >= notBefore) {
    if (history.started && nearEnd && !history.ended && emptyReads < EMPTY_READS) run(readOlder);
    else if (performance.now() >= nextPoll) run(readNewer);
  }
  if (!document.hidden) renderState();
}

async function readOlder() {
  const shown = countShown();
  await history.readOlder();
  emptyReads = countShown() > shown ? 0 : emptyReads + 1;
}

async function readNewer() {
  await history.readNewer();
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
  renderTotals(history);
  announceChanges();
  setTimeout(tick);
}

function succeed() {
  if (failure) announceLater("The history is being read again.");
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
  if (first) announceLater(`${failureTitle()}. ${explanation().join(" ")}`);
}

function tryAgain() {
  notBefore = 0;
  tick();
  $("tasks").focus({ preventScroll: true }); // the button that had the focus goes away
}

function filter() {
  emptyReads = 0;
  const isFiltered = applyFilters();
  renderTotals(history);
  renderState();
  if (isFiltered) announce(`${formatNumber(countShown())} of ${formatNumber(history.size)} loaded tasks match.`);
}

/** Draw what depends on what is going on, and on the time. */
function renderState() {
  const shown = countShown();
  const waits = busySince && performance.now() - busySince > SLOW;
  const state = failure ? "failed" : !history.started ? "loading" : history.size ? "ready" : "empty";
  document.body.dataset.state = state;
  $("tasks").setAttribute("aria-busy", String(Boolean(busySince) && !history.started));
  $("skeletons").hidden = history.started || Boolean(failure);
  $("empty").hidden = state !== "empty";
  $("no-match").hidden = state !== "ready" || shown > 0 || (!history.ended && emptyReads < EMPTY_READS);
  $("no-match-text").textContent = history.ended
    ? `None of the ${formatNumber(history.size)} tasks of this account.`
    : `None of the ${formatNumber(history.size)} newest tasks. There are older ones.`;
  renderPill(waits);
  renderNotice();
  renderFoot(state, waits);
}

function renderPill(waits) {
  const [kind, text] = failure
    ? isLimited()
      ? ["waits", waiting()]
      : ["failed", "Not live"]
    : waits
      ? ["waits", "Waiting for the gateway"]
      : history.started
        ? ["live", "Live"]
        : ["idle", "Loading"];
  $("pill").dataset.kind = kind;
  setText("pill-text", text);
}

function renderNotice() {
  notice.hidden = !failure;
  if (!failure) return;
  const limited = isLimited();
  const [message, advice] = explanation();
  notice.dataset.kind = limited ? "waits" : "failed";
  notice.classList.toggle("floating", history.size > 0);
  setText("notice-title", limited ? waiting() : failureTitle());
  setText("notice-message", message);
  setText("notice-advice", advice);
  setText("notice-request", failure.request_id && !limited ? `Request id: ${failure.request_id}` : "");
  setText("notice-wait", !limited && failure.retryable ? (busySince ? "Trying again …" : `Trying again in ${secondsLeft()} s`) : "");
  retry.hidden = limited;
  retry.disabled = Boolean(busySince);
}

function renderFoot(state, waits) {
  const canRead = state === "ready" && !history.ended;
  const offersMore = canRead && !busySince;
  more.hidden = !offersMore;
  more.textContent = emptyReads >= EMPTY_READS ? "Look through older tasks" : "Load older tasks";
  setText(
    "foot-text",
    state !== "ready" || offersMore ? ""
    : history.ended ? `That is all: ${formatNumber(history.size)} ${history.size === 1 ? "task" : "tasks"}.`
    : waits ? "Waiting for the gateway …"
    : "Loading older tasks …",
  );
}

const TITLES = {
  bad_response: "The gateway's response makes no sense",
  closed: "The page's server is shutting down",
  gateway_failed: "The gateway has a problem",
  key_refused: "The API key was refused",
  moved: "The position in the history is lost",
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

/** What happened, and what to do about it. */
function explanation() {
  return isLimited()
    ? ["The gateway limits the rate of requests.", "The page goes on by itself."]
    : [failure.message, failure.advice];
}

function isLimited() {
  return failure.kind === "rate_limited";
}

function secondsLeft() {
  return Math.max(1, Math.ceil((notBefore - performance.now()) / 1000));
}

function waiting() {
  return busySince ? "Waiting …" : `Waiting, ${secondsLeft()} s`;
}

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
  emptyReads = 0;
  if (!busySince) run(readOlder);
  renderState();
});
retry.addEventListener("click", tryAgain);
$("new-tasks").addEventListener("click", () => {
  showNew({ anywhere: true });
  scrollTo({ top: 0 });
  $("tasks").focus({ preventScroll: true });
});
addEventListener("scroll", () => showNew(), { passive: true });
document.addEventListener("visibilitychange", tick);
new IntersectionObserver(
  (entries) => {
    nearEnd = entries.at(-1).isIntersecting;
    tick();
  },
  { rootMargin: `0px 0px ${AHEAD}px` },
).observe($("foot"));
filter(); // a browser may have kept the form over a reload
setInterval(tick, TICK);
tick();
