// The Socket.IO wire over WebSocket. Where the server recovers connection state, each message ends with an offset, and
// the client comes back with the last one; it must be the same session then.

import { Client } from './client.mjs';

const EVENT = 0x32;
const CLOSING_BRACKET = 0x5d;

/** @see https://socket.io/docs/v4/engine-io-protocol and https://socket.io/docs/v4/socket-io-protocol */
export class SocketIoClient extends Client {
  #pid = null;
  #offset = null;

  handshake() {
    return { path: '/socket.io/?EIO=4&transport=websocket' };
  }

  upgraded() {}

  isControl(bytes, start, end) {
    if (bytes[start + 1] === EVENT) return false;
    const text = bytes.latin1Slice(start, end);
    if (text.startsWith('0')) this.#connect();
    else if (text.startsWith('40')) this.#connected(JSON.parse(text.slice(2)));
    else if (text === '2') this.sendText('3');
    else this.fail(`got ${text.slice(0, 100)}`);
    return true;
  }

  isTail(bytes, start, end) {
    if (bytes[end - 1] !== CLOSING_BRACKET) return false;
    if (this.#pid === null) return end === start + 1;
    this.#offset = bytes.latin1Slice(start + 2, end - 2);
    return bytes.latin1Slice(start, end) === `,"${this.#offset}"]` && /^[\w-]+(\.[\w-]+)?$/.test(this.#offset);
  }

  #connect() {
    const recovered = this.#pid === null ? {} : { pid: this.#pid, offset: this.#offset };
    // What was missed comes before the answer.
    this.isOpen = this.#pid !== null;
    this.sendText(`40${JSON.stringify({ userId: this.user, ...recovered })}`);
  }

  #connected({ pid = null }) {
    if (this.#pid !== null && pid !== this.#pid) this.fail('was not recovered');
    this.#pid = pid;
    this.isReady();
  }
}
