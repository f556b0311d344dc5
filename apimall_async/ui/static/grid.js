// What is shown of the history: a card for each task, what the filters leave of them, and their totals.

import { Card, statusGroup } from "./cards.js";
import { $, announce, announceLater, formatNumber } from "./dom.js";

/** Pixels from the top within which a new task is shown at once. */
const NEAR_TOP = 160;

const [grid, filters] = ["grid", "filters"].map($);
const cards = new Map();
let wanted = { id: "", status: "", model: "" };

/** What the history draws with. */
export const view = {
  insert(task, next, isNew) {
    const card = new Card(task, announce);
    cards.set(task.task_id, card);
    if (isNew) {
      card.held = scrollY > NEAR_TOP;
      card.element.classList.add("new");
      announceLater(`New task: ${task.model}, ${task.status}.`);
    }
    card.element.hidden = !isShown(card);
    grid.insertBefore(card.element, cards.get(next)?.element ?? null);
  },
  update(task, before) {
    const card = cards.get(task.task_id);
    card.show(task);
    card.element.hidden = !isShown(card);
    if (task.status !== before.status) announceLater(`Task of ${task.model}: ${task.status}.`);
  },
  clear() {
    cards.clear();
    grid.replaceChildren();
  },
};

function isShown(card) {
  const { id, status, model } = wanted;
  return (
    !card.held &&
    (!id || card.task.task_id.toLowerCase().includes(id)) &&
    (!status || statusGroup(card.task) === status) &&
    (!model || card.task.model === model)
  );
}

export function countShown() {
  let count = 0;
  for (const card of cards.values()) count += card.element.hidden ? 0 : 1;
  return count;
}

/** Show what the form's filters leave, and return whether they are any. */
export function applyFilters() {
  const data = new FormData(filters);
  wanted = {
    id: data.get("id").trim().toLowerCase(),
    status: data.get("status"),
    model: data.get("model"),
  };
  for (const card of cards.values()) card.element.hidden = !isShown(card);
  return Boolean(wanted.id || wanted.status || wanted.model);
}

/** Show the tasks that were created while the reader was further down, now that he is not. */
export function showNew({ anywhere = false } = {}) {
  if (scrollY > NEAR_TOP && !anywhere) return;
  for (const card of cards.values()) {
    if (!card.held) continue;
    card.held = false;
    card.element.hidden = !isShown(card);
  }
  renderNew(0);
}

/** Draw what depends on all of the tasks: totals, the choice of models, and the button for new ones. */
export function renderTotals(history) {
  const models = new Map();
  let [used, refunded, held, other] = [0, 0, 0, false];
  for (const { task, held: isHeld } of cards.values()) {
    models.set(task.model, (models.get(task.model) ?? 0) + 1);
    used += task.credits_used;
    refunded += task.credits_refunded ?? 0;
    held += isHeld ? 1 : 0;
    other ||= statusGroup(task) === "other";
  }
  if (history.started) {
    $("total-tasks").textContent = formatNumber(history.size) + (history.ended ? "" : "+");
    $("total-used").textContent = formatNumber(used);
    $("total-refunded").textContent = formatNumber(refunded);
  }
  $("other").hidden = !other && wanted.status !== "other";
  renderNew(held);
  renderModels(models);
}

function renderNew(count) {
  $("new-tasks").hidden = !count;
  $("new-tasks-text").textContent = count === 1 ? "1 new task" : `${count} new tasks`;
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
