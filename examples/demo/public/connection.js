// A plain client: one WebSocket to this person's stream, kept up. It knows nothing of what the messages mean.
//
//   connecting -> live -> waiting -> connecting ...   cut: by the person, until they reconnect   refused: for good

const firstRetryMs = 500;
const longestRetryMs = 15_000;
const pauseWhenToldMs = 5_000;
/** Close codes after which trying again would end the same way. */
const final = new Set([1007, 1008, 1009, 4400, 4403]);

export class Connection {
  state = 'connecting';
  /** When the next attempt is due, in epoch milliseconds, while `waiting`. */
  retryAt = 0;
  #personId;
  #api;
  #handlers;
  /** The socket in use, and the one that is to take its place. */
  #socket = null;
  #next = null;
  #timer;
  #failures = 0;

  constructor(personId, api, handlers) {
    this.#personId = personId;
    this.#api = api;
    this.#handlers = handlers;
    addEventListener('online', () => this.state === 'waiting' && this.open());
  }

  /** Connects with a current token. A socket in use stays so until the new one is open: nothing falls between. */
  async open() {
    clearTimeout(this.#timer);
    if (!this.#socket) this.#change('connecting');
    let token;
    try {
      token = await this.#api.token();
    } catch {
      return this.#retry();
    }
    if (this.state === 'cut' || this.#next) return;
    const bearer = btoa(token).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
    const url = `${location.origin.replace(/^http/, 'ws')}/box-users/${encodeURIComponent(this.#personId)}/ws`;
    const socket = new WebSocket(url, ['usercast.plain', `usercast.bearer.${bearer}`]);
    this.#next = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = ({ data }) => this.#handlers.onMessage(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
  }

  #opened(socket) {
    const before = this.#socket;
    this.#socket = socket;
    this.#next = null;
    this.#failures = 0;
    this.#handlers.onNote('open', `${new URL(socket.url).pathname} as ${socket.protocol}`);
    if (before) {
      before.onmessage = null;
      before.close(1000);
      this.#handlers.onNote('close', 'the one before, as its token ends soon');
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#api.msUntilRenewal + 50);
    this.#change('live');
    this.#handlers.onOpen();
  }

  #closed(socket, code, reason) {
    if (socket !== this.#socket && socket !== this.#next) return;
    const opened = socket === this.#socket;
    if (opened) this.#socket = null;
    else this.#next = null;
    this.#handlers.onNote('close', opened ? `${code} ${reason}` : 'it did not open');
    // A browser cannot see why an upgrade was refused; a token that went bad is the one cause that we can cure.
    if (!opened || code === 4401) this.#api.forget();
    if (final.has(code)) this.#change('refused');
    else this.#retry(code === 4429 ? pauseWhenToldMs : 0);
  }

  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** As if the network had gone, until `open` is called. */
  cut() {
    clearTimeout(this.#timer);
    for (const socket of [this.#socket, this.#next]) {
      if (!socket) continue;
      socket.onmessage = null;
      socket.close(1000);
    }
    this.#socket = this.#next = null;
    this.#handlers.onNote('close', 'cut here');
    this.#change('cut');
  }

  #retry(atLeastMs = 0) {
    if (this.state === 'cut') return;
    const backoff = Math.min(longestRetryMs, firstRetryMs * 2 ** this.#failures++);
    // Spread out: clients that lost the same server do not come back at the same instant.
    const delay = atLeastMs + backoff * (0.5 + Math.random() / 2);
    this.retryAt = Date.now() + delay;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), delay);
    if (!this.#socket) this.#change('waiting');
  }

  #change(state) {
    this.state = state;
    this.#handlers.onState(state);
  }
}
