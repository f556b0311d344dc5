// The part of the history that the page holds, and how it reads more. Knows no DOM.
//
// The server sends windows: `api/tasks?position=N` is a run of tasks that begins at or before the Nth,
// counted from the newest, and goes on behind it. Positions move while tasks are born and deleted, so
// they are guesses; what proves where a window lies are the tasks in it that are held already. See
// _windows.py for why.

/** Where to look for the last task held, relative to where it should be: born ones push it on. */
const SEARCH = [0, 45, -45, 90, -90, 180, -180, 360, -360];
/** News at most that are joined to what is held; with more, as after a night asleep, start afresh. */
const MOST_NEWS = 1000;
/** Polls after which a task that runs, but is too old for them to show, is looked at by itself. */
const STALE = 3;

const RUNNING = new Set(["pending", "processing"]);

/** Why a read failed, in the server's words: kind, message, advice, request_id, retryable, retry_after. */
export class Failure extends Error {
  constructor(facts) {
    super(facts.message);
    this.facts = facts;
  }
}

const NO_SERVER = {
  kind: "offline",
  message: "The server of this page does not answer.",
  advice: "If it was stopped, start it again.",
  retryable: true,
};

async function read(position) {
  let response;
  let answer;
  try {
    response = await fetch(`api/tasks?position=${position}`);
    answer = await response.json();
  } catch {
    throw new Failure(
      response ? { ...NO_SERVER, message: `The server of this page answered ${response.status}.` } : NO_SERVER,
    );
  }
  if (!response.ok) throw new Failure(answer.error);
  return answer;
}

/** Read the tasks that follow `known` (a Map of consecutive tasks by id), and whether the history ends. */
async function readAfter(known) {
  for (const shift of SEARCH) {
    const answer = await read(Math.max(0, known.size - 1 + shift));
    const seam = answer.tasks.findLastIndex((task) => known.has(task.task_id));
    const tasks = answer.tasks.slice(seam + 1);
    // A window that ends amid the known ones lies too far up; one without any, elsewhere.
    if (seam >= 0 && (tasks.length || answer.end)) return { ...answer, tasks };
  }
  throw new Failure({
    kind: "moved",
    message: "The history moved on too fast: the place was not found again.",
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
  /** Whether the last task held is the history's last. */
  ended = false;
  /** Milliseconds between two looks for news, as the server wants it. */
  pollInterval = 5000;

  /**
   * `view` draws: insert(task, id of the one it stands in front of or null, whether it was born meanwhile),
   * update(task, what it was before), clear().
   */
  constructor(view) {
    this.#view = view;
  }

  get size() {
    return this.#order.length;
  }

  get tasks() {
    return this.#tasks.values();
  }

  /** Read what follows the last task held. */
  async readOlder() {
    const { tasks, end } = await readAfter(this.#tasks);
    this.#append(tasks);
    this.ended = end;
  }

  /** Read from the newest down to a task that is held. Nothing is drawn before all is there. */
  async readNewer() {
    const news = new Map();
    const isHeld = (task) => this.#tasks.has(task.task_id);
    let answer = await read(0);
    for (;;) {
      for (const task of answer.tasks) news.set(task.task_id, task);
      if (!this.size || answer.end || answer.tasks.some(isHeld) || news.size > MOST_NEWS) break;
      answer = await readAfter(news);
    }
    this.pollInterval = answer.poll_interval * 1000;
    const tasks = [...news.values()];
    if (tasks.some(isHeld)) this.#join(tasks);
    else this.#startWith(tasks, answer.end);
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

  #append(tasks, areNews = false) {
    for (const task of tasks) this.#insert(task, this.size, areNews);
  }

  /** Put each new task in front of the one that follows it. Those behind the last one held come later. */
  #join(tasks) {
    let place = null;
    for (const task of tasks.toReversed()) {
      if (this.#tasks.has(task.task_id)) {
        this.#update(task);
        place = this.#order.indexOf(task.task_id);
      } else if (place !== null) {
        this.#insert(task, place, true);
      }
    }
  }

  #insert(task, place, isNews) {
    if (this.#tasks.has(task.task_id)) return;
    const next = this.#order[place] ?? null;
    this.#order.splice(place, 0, task.task_id);
    this.#tasks.set(task.task_id, task);
    this.#note(task);
    this.#view.insert(task, next, isNews);
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
