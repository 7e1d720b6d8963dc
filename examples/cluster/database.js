// The database of this example: the boxes as rows with a version, kept by the starter and asked by the server processes
// over IPC. It stands for the one that a real API has, and nothing of usercast is in it.

/** The starter's end. */
export class Database {
  /** By id, each `{ version, box }`. */
  #rows = new Map();

  /** One question at a time, so that each is a transaction. */
  answer({ action, id, version, box }) {
    const row = this.#rows.get(id);
    switch (action) {
      case 'all':
        return [...this.#rows.values()];
      case 'get':
        return row;
      case 'add':
        this.#rows.set(id, { version: 1, box });
        return true;
      case 'replace':
        if (row?.version !== version) return false;
        this.#rows.set(id, { version: version + 1, box });
        return true;
      case 'delete':
        return this.#rows.delete(id);
      default:
        throw new TypeError(`the database knows no ${action}`);
    }
  }
}

/** A server process's end, in place of the demo's `MemoryStore`. */
export class DatabaseStore {
  #questions = 0;
  #waiting = new Map();
  /** Changes of one process wait for each other, so that only other processes can be faster. */
  #changed = Promise.resolve();

  constructor() {
    process.on('message', ({ question, answer }) => {
      this.#waiting.get(question)?.(answer);
      this.#waiting.delete(question);
    });
  }

  async all() {
    const rows = await this.#ask({ action: 'all' });
    return rows.map(({ box }) => box);
  }

  async get(id) {
    const row = await this.#ask({ action: 'get', id });
    return row?.box;
  }

  async add(box) {
    await this.#ask({ action: 'add', id: box.id, box });
  }

  /** Calls `change` again when another process was faster. */
  change(id, change) {
    const changing = this.#changed.then(() => this.#change(id, change));
    this.#changed = changing.catch(() => {});
    return changing;
  }

  async delete(id) {
    await this.#ask({ action: 'delete', id });
  }

  async #change(id, change) {
    for (;;) {
      const row = await this.#ask({ action: 'get', id });
      if (!row) return undefined;
      change(row.box);
      if (await this.#ask({ action: 'replace', id, ...row })) return row.box;
    }
  }

  #ask(query) {
    const question = ++this.#questions;
    process.send({ question, query });
    return new Promise((resolve) => this.#waiting.set(question, resolve));
  }
}
