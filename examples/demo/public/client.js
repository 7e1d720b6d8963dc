// One person's view of the demo: state from the API, kept up by the client of usercast, which keeps the connection.

import { Api } from './api.js';
import { applyEvent, isActor } from './box.js';
import { Line } from './line.js';
import { connect } from './usercast-client.min.js';

/** What can be chosen; `auto` leaves the order to usercast. */
const transports = { auto: undefined, websocket: ['websocket'], sse: ['sse'], polling: ['polling'] };

export class Client extends EventTarget {
  boxes = [];
  open = [];
  counts = {};
  loaded = false;
  /** A key of `transports`. */
  choice = 'auto';
  /** When the next attempt is due, in epoch milliseconds, and why there is no connection. */
  retryAt = 0;
  reason = '';
  line = new Line((frame) => this.#tell('frame', frame));
  #usercast;
  #loading = Promise.resolve();
  #queued = null;
  /** What arrived since a load was asked for: its answer may or may not have it already. */
  #held = null;
  /** The events that arrived by replay, each with the number of the connection that brought it. */
  #replayed = new Map();
  #connections = 0;
  #acksUnderway = new Set();

  constructor(person) {
    super();
    this.person = person;
    this.api = new Api(person.id, this.line.fetch);
  }

  /** Connects; to be called once, when everyone listens. */
  start() {
    this.#connect();
  }

  /** `connecting`, `live`, `waiting` or `closed` as usercast says it, and `cut` while the line is. */
  get state() {
    return this.line.isCut ? 'cut' : this.#usercast.state;
  }

  /** The transport that is used or tried. */
  get transport() {
    return this.#usercast.transport;
  }

  get unread() {
    return this.boxes.reduce((sum, box) => sum + (this.counts[box.id] ?? 0), 0);
  }

  box(id) {
    return this.boxes.find((box) => box.id === id);
  }

  /** Which connection brought this event as one that was missed; undefined for what arrived live or was loaded. */
  replayOf(eventId) {
    return this.#replayed.get(eventId);
  }

  /** Another transport carries on where this one stands. */
  use(choice) {
    this.choice = choice;
    this.#connect(this.#usercast.cursor);
  }

  /** As if the network had gone, until `reconnect`. */
  cut() {
    this.line.cut();
    this.#tell('state');
  }

  reconnect() {
    this.line.restore();
    if (this.#usercast.state === 'closed') return this.#connect(this.#usercast.cursor);
    this.#tell('state');
    // Clients that wait for their next attempt make it at once when their page comes into view.
    window.dispatchEvent(new Event('pageshow'));
  }

  /**
   * Says that this person has read the box. The count falls when the server echoes it, in every tab at once. Not while
   * there is no connection: by the time the client could send it, more may have come that nobody has seen.
   */
  markRead(boxId) {
    if (!this.counts[boxId] || this.state !== 'live' || this.#acksUnderway.has(boxId)) return;
    this.#acksUnderway.add(boxId);
    this.#usercast.ack(boxId).catch(() => this.#acksUnderway.delete(boxId));
  }

  /** A call that changes something. What it changes is shown when its event comes, in the order of the stream. */
  async call(method, path, body) {
    const answer = await this.api.call(method, path, body);
    if (this.state !== 'live') await this.load();
    return answer;
  }

  /** Loads everything. Of several calls at a time, those share a request that has not been sent yet. */
  load() {
    this.#queued ??= this.#loading
      .catch(() => {})
      .then(() => {
        this.#queued = null;
        this.#loading = this.#load();
        return this.#loading;
      });
    return this.#queued;
  }

  async #load() {
    this.#held = [];
    try {
      const { boxes, open } = await this.api.call('GET', '/api/boxes');
      Object.assign(this, { boxes, open, loaded: true });
    } finally {
      const held = this.#held;
      this.#held = null;
      for (const [type, object] of held) this.#apply(type, object);
      this.#tell('change');
    }
  }

  #connect(cursor) {
    const before = this.#usercast;
    const usercast = connect({
      url: '/',
      userId: this.person.id,
      token: ({ renew }) => this.api.token(renew),
      cursor,
      transports: transports[this.choice],
      WebSocket: this.line.WebSocket,
      fetch: this.line.fetchNoted,
    });
    this.#usercast = usercast;
    before?.close();
    usercast.onState((state, detail) => this.#usercast === usercast && this.#follow(state, detail));
    usercast.onCounts((counts) => {
      this.counts = counts;
      this.#tell('change');
    });
    usercast.onReset(({ reason }) => {
      this.#tell('reset', reason);
      this.#reload();
    });
    usercast.onAny((type, object, meta) => this.#take(type, object, meta));
    usercast.onError((error) => {
      // No token: there is no way to the server, which the state says.
      if (error.code !== 'token_failed') this.#tell('fail', error);
    });
    this.#tell('state');
  }

  #follow(state, { retryMs = 0, error }) {
    this.retryAt = Date.now() + retryMs;
    this.reason = error?.message ?? '';
    this.#acksUnderway.clear();
    if (state === 'live') this.#connections++;
    this.#tell('state');
    if (state === 'live' && !this.loaded) this.#reload();
  }

  #take(type, object, { replayed, cursor }) {
    if (replayed) {
      this.#tell('replay', cursor);
      if (type === 'event.new' && !isActor(this.person.id, object)) this.#replayed.set(object.id, this.#connections);
    }
    if (this.#held) this.#held.push([type, object]);
    else this.#apply(type, object);
  }

  #apply(type, object) {
    if (type === 'event.new') {
      const box = this.box(object.box_id);
      const aboutMe = object.type.startsWith('member.') && object.sender.id === this.person.id;
      if (box) applyEvent(box, object);
      this.#tell('event', object);
      if (!box || aboutMe) this.#reload();
    } else if (type === 'ack') {
      this.#acksUnderway.delete(object.box_id);
    } else if (type === 'box.delete') {
      this.#tell('boxdelete', { box: this.box(object.id), by: object.sender_id });
      this.boxes = this.boxes.filter((box) => box.id !== object.id);
    } else if (type === 'boxes.changed') {
      this.#reload();
    } else if (type === 'error') {
      this.#tell('fail', new Error(`The server refused a message: ${object.message}.`));
    }
    this.#tell('change');
  }

  #reload() {
    this.load().catch((error) => this.#tell('fail', error));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
