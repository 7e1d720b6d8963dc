// Where the boxes are: here, in memory. A real API has a database in its place; `examples/cluster` has one beside its
// processes.

export class MemoryStore {
  #boxes = new Map();

  async all() {
    return [...this.#boxes.values()];
  }

  async get(id) {
    return this.#boxes.get(id);
  }

  async add(box) {
    this.#boxes.set(box.id, box);
  }

  /** Calls `change` with the box as it is, and returns what became of it; undefined when there is no such box. */
  async change(id, change) {
    const box = this.#boxes.get(id);
    if (box) change(box);
    return box;
  }

  async delete(id) {
    this.#boxes.delete(id);
  }
}
