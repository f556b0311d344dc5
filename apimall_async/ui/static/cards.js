// One task as a card. All that comes from the gateway is set as text; the image's URL is an http(s) one,
// because the server sends no other.

import { $, formatNumber } from "./dom.js";

const template = $("card");

const clock = { hour: "2-digit", minute: "2-digit" };
const today = new Intl.DateTimeFormat(undefined, clock);
const thisYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...clock });
const longAgo = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

const KNOWN = new Set(["pending", "processing", "completed", "failed"]);
const ICONS = { pending: "pending", processing: "processing", failed: "failed" };
/** Characters of an id that stay in sight: ids of one hour begin alike. */
const TAIL = 6;
/** Milliseconds for which an id is shown as copied. */
const COPIED = 1500;
/** Fields that are on the card. All others are in its details: also those that are unknown here. */
const ON_CARD = new Set(["task_id", "model", "status", "created_at", "credits_used", "credits_refunded", "image_url"]);
/** Fields in the details at most, and characters of one. */
const [MOST_FIELDS, LONGEST] = [50, 1000];

/** The status as the filters and the colours know it. */
export function statusGroup(task) {
  return KNOWN.has(task.status) ? task.status : "other";
}

function capitalize(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function formatTime(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.valueOf())) return iso;
  const now = new Date();
  if (time.toDateString() === now.toDateString()) return today.format(time);
  return (time.getFullYear() === now.getFullYear() ? thisYear : longAgo).format(time);
}

/** "8 cr", or what was charged struck out and what is left of it; in full for those who listen or hover. */
function describeCredits({ credits_used: used, credits_refunded: refunded }) {
  const inFull = `${formatNumber(used)} credits used${refunded ? `, ${formatNumber(refunded)} refunded` : ""}`;
  const parts = document.createElement("span");
  parts.ariaHidden = "true";
  parts.title = inFull;
  if (refunded) {
    const before = document.createElement("s");
    before.textContent = formatNumber(used);
    parts.append(before, " ");
  }
  parts.append(`${formatNumber(used - (refunded ?? 0))} cr`);
  const spoken = document.createElement("span");
  spoken.className = "hidden";
  spoken.textContent = inFull;
  return [parts, spoken];
}

/** The terms and descriptions of a task's details, as text. */
function describeDetails(task) {
  const fields = Object.entries(task).filter(([name]) => !ON_CARD.has(name));
  return fields.slice(0, MOST_FIELDS).flatMap(([name, value]) => {
    const [term, description] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = shorten(name);
    description.textContent = value === null ? "–" : shorten(typeof value === "string" ? value : JSON.stringify(value));
    return [term, description];
  });
}

function shorten(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

export class Card {
  /** Created while the reader was further down: not shown before he comes up, or the page would jump. */
  held = false;
  #parts;

  constructor(task, announce) {
    this.element = template.content.cloneNode(true).firstElementChild;
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = {
      thumb: part(".thumb"),
      image: part("img"),
      icon: part(".stand-in use"),
      word: part(".stand-in span"),
      name: part(".name"),
      credits: part(".credits"),
      status: part(".status"),
      time: part("time"),
      copy: part(".copy"),
      copyIcon: part(".copy use"),
      details: part(".details"),
    };
    const { image, copy, details } = this.#parts;
    image.addEventListener("load", () => image.classList.add("loaded"));
    image.addEventListener("error", () => this.#showStandIn("broken", "Image not available"));
    copy.addEventListener("click", () => this.#copy(announce));
    part(".id-head").textContent = task.task_id.slice(0, -TAIL);
    part(".id-tail").textContent = task.task_id.slice(-TAIL);
    copy.setAttribute("aria-label", `Copy task id ${task.task_id}`);
    copy.title = task.task_id;
    details.addEventListener("toggle", () => this.#showDetails());
    part("summary").setAttribute("aria-label", `Details of task ${task.task_id}`);
    this.show(task);
  }

  /** Draw `task`, which may have changed. */
  show(task) {
    const { name, credits, status, time } = this.#parts;
    this.task = task;
    this.element.dataset.status = statusGroup(task);
    name.textContent = name.title = task.model;
    status.textContent = status.title = capitalize(task.status);
    time.textContent = formatTime(task.created_at);
    time.dateTime = time.title = task.created_at;
    credits.replaceChildren(...describeCredits(task));
    this.#showImage();
    this.#showDetails();
  }

  /** Only where they are open: there may be thousands of cards. */
  #showDetails() {
    const { details } = this.#parts;
    if (details.open) details.querySelector("dl").replaceChildren(...describeDetails(this.task));
  }

  #showImage() {
    const { image_url: url, status, task_id: id, model } = this.task;
    const { thumb, image } = this.#parts;
    if (!url) {
      this.#showStandIn(ICONS[status] ?? "image", status === "completed" ? "No image" : capitalize(status));
      return;
    }
    if (image.getAttribute("src") === url) return;
    this.#showStandIn("image", "");
    thumb.href = url;
    thumb.setAttribute("aria-label", `Open the image of ${model}, task ${id}`);
    image.classList.remove("loaded");
    image.hidden = false;
    image.src = url;
  }

  #showStandIn(icon, word) {
    const { image, thumb } = this.#parts;
    this.#parts.icon.setAttribute("href", `#icon-${icon}`);
    this.#parts.word.textContent = word;
    image.hidden = true;
    if (!this.task.image_url) {
      thumb.removeAttribute("href");
      thumb.removeAttribute("aria-label");
      image.removeAttribute("src");
    }
  }

  async #copy(announce) {
    const { copy, copyIcon } = this.#parts;
    try {
      await navigator.clipboard.writeText(this.task.task_id);
    } catch {
      // No clipboard without https or loopback, or the reader forbids it: select the id instead, all of it.
      const id = copy.querySelector(".id");
      id.textContent = this.task.task_id;
      getSelection().selectAllChildren(id);
      announce("The id is selected: copy it with the keyboard.");
      return;
    }
    announce("Task id copied.");
    copy.classList.add("copied");
    copyIcon.setAttribute("href", "#icon-done");
    setTimeout(() => {
      copy.classList.remove("copied");
      copyIcon.setAttribute("href", "#icon-copy");
    }, COPIED);
  }
}
