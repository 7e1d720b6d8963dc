// The way from one person's page to the server. It can be cut, as if the network had gone, and it tells what passes: the
// client of usercast is given its `WebSocket` and its `fetchNoted`.

const cutHere = 'cut here, in the page';

export class Line {
  isCut = false;
  /** The class that `connect` takes: sockets over this line. */
  WebSocket;
  /** Ends all that is open when the line is cut. */
  #open = new AbortController();
  #tell;

  /** `tell(frame)`: `direction` in, out or note, `type`, and of `text`, `message`, `id` and `at` what there is. */
  constructor(tell) {
    const line = this;
    this.#tell = tell;
    this.WebSocket = class extends LineSocket {
      constructor(url, protocols) {
        super(line, url, protocols);
      }
    };
  }

  /** Aborts when the line is cut. */
  get signal() {
    return this.#open.signal;
  }

  cut() {
    this.isCut = true;
    this.#open.abort();
  }

  restore() {
    this.isCut = false;
    this.#open = new AbortController();
  }

  note(type, text) {
    this.tell({ direction: 'note', type, text });
  }

  tell(frame) {
    this.#tell({ ...frame, at: new Date() });
  }

  /** `fetch` for the API. */
  fetch = (url, request = {}) => {
    if (this.isCut) return Promise.reject(new TypeError(cutHere));
    return fetch(url, { ...request, signal: AbortSignal.any([this.signal, request.signal].filter(Boolean)) });
  };

  /** `fetch` for the client of usercast: what it sends and gets is shown. */
  fetchNoted = (url, request) => {
    const path = pathOf(url);
    if (!this.isCut) return this.#fetchNoted(path, url, request);
    this.note('refused', `${cutHere}: ${path}`);
    return Promise.reject(new TypeError(cutHere));
  };

  async #fetchNoted(path, url, request) {
    const message = request.body && JSON.parse(request.body);
    this.tell({ direction: 'out', type: request.method, text: message ? `${path} ${request.body}` : path, message });
    const { signal } = this;
    const ended = (cause) => {
      if (request.signal.aborted) this.note('close', 'the client is done with it');
      else this.note('close', signal.aborted ? cutHere : cause);
    };
    try {
      const response = await this.fetch(url, request);
      return this.#noted(response, ended);
    } catch (error) {
      ended('the server cannot be reached');
      throw error;
    }
  }

  /** A response as the client reads it: a stream piece by piece, everything else at once. */
  #noted(response, ended) {
    const { status, headers } = response;
    const type = headers.get('content-type')?.split(';')[0];
    const isStream = status === 200 && type === 'text/event-stream';
    if (isStream) this.note('open', type);
    else if (status !== 200) this.tell({ direction: 'in', type: String(status), text: response.statusText });
    return {
      status,
      headers,
      body: isStream ? { getReader: () => this.#notedReader(response.body.getReader(), ended) } : response.body,
      json: async () => {
        const message = await response.json();
        this.tell({ direction: 'in', type: String(status), text: briefly(message), message });
        return message;
      },
    };
  }

  #notedReader(reader, ended) {
    const decoder = new TextDecoder();
    let rest = '';
    return {
      read: async () => {
        try {
          const piece = await reader.read();
          if (piece.done) this.note('close', 'the stream ended');
          const events = (rest + decoder.decode(piece.value, { stream: true })).split('\n\n');
          rest = events.pop();
          for (const event of events) this.#tellStreamed(event);
          return piece;
        } catch (error) {
          ended('the stream broke off');
          throw error;
        }
      },
    };
  }

  /** One event of a stream: lines of `name: value`. Without data it is a comment or a wish. */
  #tellStreamed(event) {
    const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: ?(.*)/s)));
    if (fields.data === undefined) return this.note(event.startsWith(':') ? 'comment' : 'stream', event);
    const message = JSON.parse(fields.data);
    this.tell({ direction: 'in', type: message.type, message, id: fields.id });
  }
}

/** A WebSocket over a line, as the client uses it. One that opens while the line is cut fails like one without network. */
class LineSocket {
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  #line;
  #socket = null;

  constructor(line, url, protocols) {
    this.#line = line;
    if (line.isCut) {
      line.note('refused', `${cutHere}: ${pathOf(url)}`);
      setTimeout(() => this.onclose?.({ code: 1006, reason: cutHere }));
      return;
    }
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    const drop = () => this.#drop();
    line.signal.addEventListener('abort', drop);
    socket.onopen = (event) => {
      line.note('open', `${pathOf(url)} as ${socket.protocol}`);
      this.onopen?.(event);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      line.tell({ direction: 'in', type: message.type, message });
      this.onmessage?.(event);
    };
    socket.onclose = (event) => {
      line.signal.removeEventListener('abort', drop);
      line.note('close', `${event.code} ${event.reason}`);
      this.onclose?.(event);
    };
  }

  get readyState() {
    return this.#socket?.readyState ?? WebSocket.CLOSED;
  }

  send(text) {
    const message = JSON.parse(text, (key, value) => (key === 'access_token' ? '(not shown)' : value));
    this.#line.tell({ direction: 'out', type: message.type, message });
    this.#socket.send(text);
  }

  close(code, reason) {
    this.#socket?.close(code, reason);
  }

  /** The client learns at once what it would otherwise learn from the silence. */
  #drop() {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#line.note('close', cutHere);
    this.onclose?.({ code: 1006, reason: cutHere });
  }
}

function pathOf(url) {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/** What an answer holds, in a few words. */
function briefly({ messages, counts, reset }) {
  if (reset) return `reset: ${reset}`;
  if (counts) return `counts ${JSON.stringify(counts)}`;
  if (!messages) return '';
  return messages.length === 0 ? 'no messages' : messages.map((message) => message.type).join(', ');
}
