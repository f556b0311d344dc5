// What the page's scripts share: finding and changing elements, and announcing to those who listen.

export const $ = (id) => document.getElementById(id);

/** Leave alone what is right already: a change would be announced, and undo a selection. */
export function setText(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

const numbers = new Intl.NumberFormat();

export function formatNumber(number) {
  return numbers.format(number);
}

let later = [];

/** Announce it to those who listen rather than look. */
export function announce(text) {
  $("announcement").textContent = text;
}

/** Announce it together with what else has changed. */
export function announceLater(text) {
  later.push(text);
}

export function announceChanges() {
  if (later.length) announce(later.length > 3 ? `${later.length} tasks are new or have changed.` : later.join(" "));
  later = [];
}
