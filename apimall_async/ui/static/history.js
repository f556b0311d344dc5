// The part of the history that the page has, and how it reads more. Knows no DOM.
//
// The server sends pages by position: `api/tasks?position=N` is a run of tasks that begins at or before the
// Nth, counted from the newest, and goes on behind it. Positions move while tasks are created and deleted,
// so they are guesses; what proves where a page is are the tasks in it that are known already. See
// _pages.py for why.

/** Where to look for the last known task, relative to where it should be: new ones push it on. */
const SEARCH = [0, 45, -45, 90, -90, 180, -180, 360, -360];
/** New tasks at most that are joined to the known ones; with more, as after a night asleep, start afresh. */
const MOST_NEW = 1000;
/** Polls after which a task that runs, but is too old for them to show, is looked at by itself. */
const STALE = 3;

const RUNNING = new Set(["pending", "processing"]);

/** Why a read failed, as the server describes it: kind, message, advice, request_id, retryable, retry_after. */
export class Failure extends Error {
  constructor(facts) {
    super(facts.message);
    this.facts = facts;
  }
}

const NO_SERVER = {
  kind: "offline",
  message: "The server of this page does not respond.",
  advice: "If it was stopped, start it again.",
  retryable: true,
};

async function read(position) {
  let response;
  let page;
  try {
    response = await fetch(`api/tasks?position=${position}`);
    page = await response.json();
  } catch {
    throw new Failure(
      response ? { ...NO_SERVER, message: `The server of this page responded ${response.status}.` } : NO_SERVER,
    );
  }
  if (!response.ok) throw new Failure(page.error);
  return page;
}

/** Read the tasks that follow `known` (a Map of consecutive tasks by id), and whether the history ends. */
async function readAfter(known) {
  for (const shift of SEARCH) {
    const page = await read(Math.max(0, known.size - 1 + shift));
    const last = page.tasks.findLastIndex((task) => known.has(task.task_id));
    const tasks = page.tasks.slice(last + 1);
    // A page that ends amid the known ones is too far up; one without any, elsewhere.
    if (last >= 0 && (tasks.length || page.end)) return { ...page, tasks };
  }
  throw new Failure({
    kind: "moved",
    message: "The history moved on too fast: the last known task was not found again.",
    advice: "Reload the page to read it from its start.",
    retryable: false,
  });
}

export class History {
  /** Consecutive from the newest: id -> task, and the ids in order. */
  #tasks = new Map();
  #order = [];
  /** id -> when it was last seen to run. */
  #running = new Map();
  #view;
  /** Whether a first page has come. */
  started = false;
  /** Whether the last known task is the history's last. */
  ended = false;
  /** Milliseconds between two looks for new tasks, as the server wants it. */
  pollInterval = 5000;

  /**
   * `view` draws: insert(task, id of the one it stands in front of or null, whether it was created meanwhile),
   * update(task, what it was before), clear().
   */
  constructor(view) {
    this.#view = view;
  }

  get size() {
    return this.#order.length;
  }

  /** Read what follows the last known task. */
  async readOlder() {
    const { tasks, end } = await readAfter(this.#tasks);
    this.#append(tasks);
    this.ended = end;
  }

  /** Read from the newest down to a task that is known. Nothing is drawn before all is there. */
  async readNewer() {
    const newest = new Map();
    const isKnown = (task) => this.#tasks.has(task.task_id);
    let page = await read(0);
    for (;;) {
      for (const task of page.tasks) newest.set(task.task_id, task);
      if (!this.size || page.end || page.tasks.some(isKnown) || newest.size > MOST_NEW) break;
      page = await readAfter(newest);
    }
    this.pollInterval = page.poll_interval * 1000;
    const tasks = [...newest.values()];
    if (tasks.some(isKnown)) this.#join(tasks);
    else this.#startWith(tasks, page.end);
    this.started = true;
  }

  /** Look at a task that still ran when it was last seen, long ago. Does nothing if there is none. */
  async refreshStale() {
    const [id, seen] = [...this.#running].reduce((a, b) => (b[1] < a[1] ? b : a), [null, Infinity]);
    if (id === null || performance.now() - seen < STALE * this.pollInterval) return;
    this.#running.set(id, performance.now()); // whatever comes of it, others are next
    const { tasks } = await read(this.#order.indexOf(id));
    for (const task of tasks) if (this.#tasks.has(task.task_id)) this.#update(task);
  }

  #startWith(tasks, end) {
    const wasEmpty = this.ended && !this.size;
    if (this.size) this.#view.clear();
    this.#tasks.clear();
    this.#order = [];
    this.#running.clear();
    this.#append(tasks, wasEmpty);
    this.ended = end;
  }

  #append(tasks, areNew = false) {
    for (const task of tasks) this.#insert(task, this.size, areNew);
  }

  /** Put each new task in front of the one that follows it. Those behind the last known one come later. */
  #join(tasks) {
    let position = null;
    for (const task of tasks.toReversed()) {
      if (this.#tasks.has(task.task_id)) {
        this.#update(task);
        position = this.#order.indexOf(task.task_id);
      } else if (position !== null) {
        this.#insert(task, position, true);
      }
    }
  }

  #insert(task, position, isNew) {
    if (this.#tasks.has(task.task_id)) return;
    const next = this.#order[position] ?? null;
    this.#order.splice(position, 0, task.task_id);
    this.#tasks.set(task.task_id, task);
    this.#note(task);
    this.#view.insert(task, next, isNew);
  }

  #update(task) {
    const before = this.#tasks.get(task.task_id);
    this.#note(task);
    if (JSON.stringify(task) === JSON.stringify(before)) return;
    this.#tasks.set(task.task_id, task);
    this.#view.update(task, before);
  }

  #note(task) {
    if (RUNNING.has(task.status)) this.#running.set(task.task_id, performance.now());
    else this.#running.delete(task.task_id);
  }
}
