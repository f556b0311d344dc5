// The part of the history that the page has, and how it reads more. Knows no DOM.
//
// The server sends pages by position: `api/tasks?position=N` is a run of tasks that begins at or before the
// Nth, counted from the newest, and goes on behind it. Positions move while tasks are created and deleted,
// so they are guesses; what proves where a page is are the tasks in it that are known already. See
// _pages.py for why.

/** Where to look for the last known task, relative to where it should be: new ones push it on, hidden rows, too. */
const SEARCH = [0, 25, 12, 45, -45, 90, -90, 180, -180, 360, -360];
/** New tasks at most that are joined to the known ones; with more, as after a night asleep, start afresh. */
const MOST_NEW = 1000;
/** Polls after which a task that runs, but is too old for them to show, is looked at by itself. */
const STALE = 3;
/** Tasks of one time that a page shows with one before and one behind them: it shows 25 from any position on. */
const MOST_EQUAL = 23;

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

/** Read the tasks about a position; or the newest, without whether the history ends with them. */
async function read(position = null) {
  let response;
  let page;
  try {
    response = await fetch(position === null ? "api/tasks" : `api/tasks?position=${position}`);
    page = await response.json();
  } catch {
    throw new Failure(
      response ? { ...NO_SERVER, message: `The server of this page responded ${response.status}.` } : NO_SERVER,
    );
  }
  if (!response.ok) throw new Failure(page.error);
  return page;
}

/**
 * Read the tasks that follow `tasks`, which are consecutive, and whether the history ends with them.
 *
 * Tasks of one time may change places at each request. So the page has to show a known task of another time than
 * that of the last one: what follows is all that is unknown behind it. Where too many tasks share a time for that,
 * the last known one has to do.
 *
 * `drift` is how much further on than its number the last known task was found last time: rows may be hidden.
 */
async function readAfter(tasks, drift = 0) {
  const known = new Set(tasks.map((task) => task.task_id));
  const last = tasks.length - 1;
  const time = tasks[last]?.created_at;
  const other = tasks.findLastIndex((task) => task.created_at !== time);
  for (const proof of other >= 0 && last - other <= MOST_EQUAL ? [other, last] : [last]) {
    const proves = (task) => known.has(task.task_id) && (proof === last || task.created_at !== time);
    for (const shift of SEARCH) {
      const page = await read(Math.max(0, proof + drift + shift));
      const found = page.tasks.findLastIndex(proves);
      const next = page.tasks.slice(found + 1).filter((task) => !known.has(task.task_id));
      // A page that ends amid the known ones is too far up; one without any, elsewhere.
      if ((found >= 0 || !known.size) && (next.length || page.end)) {
        return { ...page, tasks: next, drift: drift + shift };
      }
    }
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
  #drift = 0;
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
    const { tasks, end, drift } = await readAfter(this.#order.map((id) => this.#tasks.get(id)), this.#drift);
    this.#drift = drift;
    this.#append(tasks);
    this.ended = end;
  }

  /** Read from the newest down to a task that is known. Nothing is drawn before all is there. */
  async readNewer() {
    const newest = new Map();
    const isKnown = (task) => this.#tasks.has(task.task_id);
    let page = await read();
    for (;;) {
      for (const task of page.tasks) newest.set(task.task_id, task);
      if (!this.size || page.end || page.tasks.some(isKnown) || newest.size > MOST_NEW) break;
      page = await readAfter([...newest.values()], page.drift);
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
    const wasEmpty = this.started && !this.size;
    if (this.size) this.#view.clear();
    this.#tasks.clear();
    this.#order = [];
    this.#drift = 0;
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
