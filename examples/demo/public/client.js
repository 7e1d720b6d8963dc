// One person's client: signs in, keeps a connection, loads state from the API and follows it by the events.

import { Api } from './api.js';
import { applyEvent, countsFor } from './box.js';
import { Connection } from './connection.js';

export class Client extends EventTarget {
  boxes = [];
  open = [];
  counts = {};
  loaded = false;
  #loading = null;
  /** Messages received so far: tells whether something passed while the API answered. */
  #received = 0;
  #acksUnderway = new Set();

  constructor(person) {
    super();
    this.person = person;
    this.api = new Api(person.id);
    this.connection = new Connection(person.id, this.api, {
      onOpen: () => this.#opened(),
      onMessage: (message) => this.#take(message),
      onNote: (type, text) => this.#note({ direction: 'note', type, text }),
      onState: () => this.#tell('state'),
    });
  }

  start() {
    this.connection.open();
  }

  get unread() {
    return this.boxes.reduce((sum, box) => sum + (this.counts[box.id] ?? 0), 0);
  }

  box(id) {
    return this.boxes.find((box) => box.id === id);
  }

  /** Says that this person has read the box. The count falls when the server echoes it, in every tab at once. */
  markRead(boxId) {
    if (!this.counts[boxId] || this.#acksUnderway.has(boxId)) return;
    const message = { type: 'ack', object: { sender_id: this.person.id, box_id: boxId } };
    if (!this.connection.send(message)) return;
    this.#acksUnderway.add(boxId);
    this.#note({ direction: 'out', type: message.type, message });
  }

  /** A call that changes something. An event in the answer is applied at once, connected or not. */
  async call(method, path, body) {
    const answer = await this.api.call(method, path, body);
    this.#received++; // an answer to `load` that was on its way may lack this change
    const box = answer?.box_id && this.box(answer.box_id);
    if (box) {
      applyEvent(box, answer);
      this.#tell('change');
    } else if (this.connection.state !== 'live') {
      await this.load();
    }
    return answer;
  }

  /**
   * Loads everything. What arrives meanwhile may or may not be in the answer, so then it is asked for again: the state
   * shown is that of one moment, and the events after it follow on.
   */
  load() {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #load() {
    let before;
    let state;
    let counts;
    do {
      before = this.#received;
      [state, { counts }] = await Promise.all([
        this.api.call('GET', '/api/boxes'),
        this.api.call('GET', `/box-users/${encodeURIComponent(this.person.id)}/counts`),
      ]);
    } while (before !== this.#received);
    this.boxes = state.boxes;
    this.open = state.open;
    this.counts = counts;
    this.loaded = true;
    this.#tell('change');
  }

  async #opened() {
    this.#acksUnderway.clear();
    this.#received++; // an answer from before this session was live may lack what came just before it
    await this.load().catch((error) => this.#fail(error));
  }

  #take(message) {
    this.#received++;
    this.#note({ direction: 'in', type: message.type, message });
    if (message.type === 'error')
      return this.#fail(new Error(`The server refused a message: ${message.object.message}.`));
    if (message.type === 'ack') this.#acksUnderway.delete(message.object.box_id);
    if (this.#loading) return; // the state being loaded will hold it
    this.#apply(message);
  }

  #apply({ type, object }) {
    if (type === 'event.new') {
      const box = this.box(object.box_id);
      const aboutMe = object.type.startsWith('member.') && object.sender.id === this.person.id;
      if (box) applyEvent(box, object);
      if (countsFor(this.person.id, object)) this.counts[object.box_id] = (this.counts[object.box_id] ?? 0) + 1;
      this.#tell('event', object);
      if (!box || aboutMe) this.load().catch((error) => this.#fail(error));
    } else if (type === 'ack') {
      this.counts[object.box_id] = 0;
    } else if (type === 'box.delete') {
      this.#tell('boxdelete', { box: this.box(object.id), by: object.sender_id });
      this.boxes = this.boxes.filter((box) => box.id !== object.id);
    } else if (type === 'boxes.changed') {
      this.load().catch((error) => this.#fail(error));
    }
    this.#tell('change');
  }

  #note(frame) {
    this.#tell('frame', { ...frame, at: new Date() });
  }

  #fail(error) {
    this.#tell('fail', error);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
