// A raw socket with no more than a frame scanner, so that the clients are never what is measured. It comes back as who
// it was: every message must have the expected bytes and come in order, once, over all of its connections, and none be
// missing (where messages are for some of the users, by the number of all that arrive).

import { connect } from 'node:net';
import { clientFrame, OPCODE, scanFrames, upgradeRequest } from '../wire.mjs';
import { NUMBER_DIGITS } from '../workload.mjs';

const ZERO = 0x30;
const CLOSING_BRACE = 0x7d;

// One buffer for all sockets: a read is consumed before the next one begins.
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);

/** A client of the plain wire; other wires change what it asks for and what it understands. */
export class Client {
  user;
  /** Messages may come. */
  isOpen;
  #arrivals;
  #expected;
  #port;
  #token;
  #socket;
  #closed;
  #opened;
  #lastNumber = 0;
  #rest;
  #isUpgraded;
  #isLeaving;

  constructor({ user, token, port, expected, arrivals }) {
    this.user = user;
    this.#token = token;
    this.#port = port;
    this.#expected = expected;
    this.#arrivals = arrivals;
  }

  /** Resolves when messages may come. */
  open() {
    this.#rest = null;
    this.#isUpgraded = this.isOpen = this.#isLeaving = false;
    const onread = { buffer: readBuffer, callback: (length) => this.#read(length) };
    this.#socket = connect({ port: this.#port, host: '127.0.0.1', onread });
    this.#socket.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      this.#socket.on('close', () => {
        if (!this.#isLeaving) this.fail('was disconnected');
        resolve();
      });
    });
    this.#socket.write(upgradeRequest({ ...this.handshake(), host: `127.0.0.1:${this.#port}`, token: this.#token }));
    return new Promise((resolve) => {
      this.#opened = resolve;
    });
  }

  /** Says goodbye, as a client that is through. */
  leave() {
    this.#isLeaving = true;
    this.#socket.end(clientFrame(OPCODE.close, Buffer.from([0x03, 0xe8])));
    this.#socket.resume();
    return this.#closed;
  }

  /** Is cut off without a word, as by a network that fails. */
  drop() {
    this.#isLeaving = true;
    this.#socket.destroy();
    return this.#closed;
  }

  /** What the upgrade asks for: `{ path, protocol? }`. */
  handshake() {
    return { path: `/box-users/${this.user}/ws` };
  }

  /** The upgrade was answered with 101. */
  upgraded() {
    this.isReady();
  }

  /** Whether this text is about the connection and no message; it is dealt with then. */
  isControl(_bytes, _start, _end) {
    return false;
  }

  /** Whether a message ends as it must after the expected bytes. */
  isTail(bytes, start, end) {
    return end === start + 1 && bytes[start] === CLOSING_BRACE;
  }

  isReady() {
    this.isOpen = true;
    this.#opened();
  }

  sendText(text) {
    this.#socket.write(clientFrame(OPCODE.text, text));
  }

  fail(reason) {
    this.#arrivals.fail(`${this.user} ${reason}`);
  }

  #read(length) {
    this.#arrivals.bytes += length;
    let bytes = readBuffer;
    if (this.#rest) {
      bytes = Buffer.concat([this.#rest, readBuffer.subarray(0, length)]);
      length = bytes.length;
      this.#rest = null;
    }
    const from = this.#isUpgraded ? 0 : this.#readUpgrade(bytes, length);
    const at = this.#isUpgraded ? scanFrames(bytes, from, length, this.#onFrame) : 0;
    if (at < length) this.#rest = Buffer.from(bytes.subarray(at, length));
    return true;
  }

  #readUpgrade(bytes, length) {
    const text = bytes.latin1Slice(0, length);
    const end = text.indexOf('\r\n\r\n');
    if (end === -1) return 0;
    if (!text.startsWith('HTTP/1.1 101')) this.fail(`was refused: ${text.slice(0, text.indexOf('\r\n'))}`);
    this.#isUpgraded = true;
    this.upgraded();
    return end + 4;
  }

  #onFrame = (bytes, opcode, start, end) => {
    if (opcode === OPCODE.text) {
      if (!this.isControl(bytes, start, end)) this.#message(bytes, start, end);
    } else if (opcode === OPCODE.ping) {
      this.#socket.write(clientFrame(OPCODE.pong, bytes.subarray(start, end)));
    } else if (opcode === OPCODE.close && !this.#isLeaving) {
      this.fail(`was closed: ${bytes.latin1Slice(start + 2, end)}`);
    }
  };

  #message(bytes, start, end) {
    const { before, after, isDrawn } = this.#expected;
    const numberAt = start + before.length;
    const afterAt = numberAt + NUMBER_DIGITS;
    const tailAt = afterAt + after.length;
    let number = 0;
    for (let i = numberAt; i < afterAt; i++) number = number * 10 + bytes[i] - ZERO;
    const isExpected =
      this.isOpen &&
      (isDrawn ? number > this.#lastNumber : number === this.#lastNumber + 1) &&
      before.compare(bytes, start, numberAt) === 0 &&
      tailAt < end &&
      after.compare(bytes, afterAt, tailAt) === 0 &&
      this.isTail(bytes, tailAt, end);
    if (!isExpected) {
      this.fail(`got, after ${this.#lastNumber}: ${bytes.utf8Slice(start, Math.min(end, start + 1_000))}`);
      return;
    }
    this.#lastNumber = number;
    this.#arrivals.message();
  }
}
