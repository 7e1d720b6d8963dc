// The other end: raw sockets with no more than a frame scanner, so that the clients are never what is measured. Every
// message is compared with the expected bytes and must come in order, once, on every connection.

import { connect } from 'node:net';
import { answerCommands } from './commands.mjs';
import { clientFrame, OPCODE, scanFrames, upgradeRequest } from './wire.mjs';
import { NUMBER_DIGITS } from './workload.mjs';

const ARRIVES_WITHIN_MS = 20_000;
const ZERO = 0x30;

// One buffer for all sockets: a read is consumed before the next one begins.
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);
let clients = [];
let failure = null;
let received = 0;
let awaited = null;
let expected = null;

const fail = (reason) => {
  failure ??= new Error(reason);
  awaited?.reject(failure);
};

class Client {
  closed = null;
  #lastNumber = 0;
  #rest = null;
  #isUpgraded = false;
  #isOpen = false;
  #isLeaving = false;
  #onOpen;
  #socket;
  #user;
  #socketIo;

  constructor({ port, user, token, socketIo }, onOpen) {
    this.#user = user;
    this.#socketIo = socketIo;
    this.#onOpen = onOpen;
    const onread = { buffer: readBuffer, callback: (length) => this.#read(length) };
    this.#socket = connect({ port, host: '127.0.0.1', onread });
    this.#socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.#socket.on('close', () => {
        if (!this.#isLeaving) fail(`${user} was disconnected`);
        resolve();
      });
    });
    const path = socketIo ? '/socket.io/?EIO=4&transport=websocket' : `/box-users/${user}/ws`;
    this.#socket.write(upgradeRequest({ path, host: `127.0.0.1:${port}`, token }));
  }

  leave() {
    this.#isLeaving = true;
    this.#socket.end(clientFrame(OPCODE.close, Buffer.from([0x03, 0xe8])));
    this.#socket.resume();
    return this.closed;
  }

  #read(length) {
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
    if (!text.startsWith('HTTP/1.1 101')) fail(`${this.#user}: ${text.slice(0, text.indexOf('\r\n'))}`);
    this.#isUpgraded = true;
    if (!this.#socketIo) this.#open();
    return end + 4;
  }

  #open() {
    this.#isOpen = true;
    this.#onOpen();
  }

  #onFrame = (bytes, opcode, start, end) => {
    if (opcode === OPCODE.text) {
      if (this.#socketIo && bytes[start + 1] !== 0x32) this.#control(bytes.latin1Slice(start, end));
      else this.#message(bytes, start, end);
    } else if (opcode === OPCODE.ping) {
      this.#socket.write(clientFrame(OPCODE.pong, bytes.subarray(start, end)));
    } else if (opcode === OPCODE.close && !this.#isLeaving) {
      fail(`${this.#user} was closed: ${bytes.latin1Slice(start + 2, end)}`);
    }
  };

  /** @see https://socket.io/docs/v4/engine-io-protocol and https://socket.io/docs/v4/socket-io-protocol */
  #control(text) {
    if (text.startsWith('0')) {
      this.#socket.write(clientFrame(OPCODE.text, `40${JSON.stringify({ userId: this.#user })}`));
    } else if (text.startsWith('40')) {
      this.#open();
    } else if (text === '2') {
      this.#socket.write(clientFrame(OPCODE.text, '3'));
    } else {
      fail(`${this.#user} got ${text.slice(0, 100)}`);
    }
  }

  #message(bytes, start, end) {
    const { before, after } = expected;
    const numberAt = start + before.length;
    const afterAt = numberAt + NUMBER_DIGITS;
    const isExpected =
      this.#isOpen &&
      end === afterAt + after.length &&
      before.compare(bytes, start, numberAt) === 0 &&
      after.compare(bytes, afterAt, end) === 0;
    let number = 0;
    for (let i = numberAt; i < afterAt; i++) number = number * 10 + bytes[i] - ZERO;
    if (!isExpected || number !== this.#lastNumber + 1) {
      return fail(
        `${this.#user} got, after ${this.#lastNumber}: ${bytes.utf8Slice(start, Math.min(end, start + 300))}`,
      );
    }
    this.#lastNumber = number;
    received++;
    if (awaited && received >= awaited.count) awaited.resolve();
  }
}

async function openAll({ list, concurrency, ...common }) {
  await new Promise((resolve, reject) => {
    let next = 0;
    let open = 0;
    awaited = { count: Number.POSITIVE_INFINITY, resolve, reject };
    const openNext = () => {
      if (next < list.length) clients.push(new Client({ ...common, ...list[next++] }, opened));
    };
    const opened = () => {
      if (++open === list.length) resolve();
      else openNext();
    };
    for (let i = 0; i < concurrency; i++) openNext();
  });
  awaited = null;
}

answerCommands({
  expect({ before, after }) {
    expected = { before: Buffer.from(before), after: Buffer.from(after) };
  },

  open: openAll,

  async leave() {
    await Promise.all(clients.map((client) => client.leave()));
    clients = [];
    received = 0;
  },

  /** Resolves when every client has every message up to this number. */
  async receive(lastNumber) {
    const count = lastNumber * clients.length;
    if (failure) throw failure;
    if (received < count) {
      const late = setTimeout(() => fail(`${received} of ${count} messages arrived`), ARRIVES_WITHIN_MS);
      await new Promise((resolve, reject) => {
        awaited = { count, resolve, reject };
      });
      clearTimeout(late);
    }
    awaited = null;
    if (received !== count) throw new Error(`${received} messages arrived, ${count} were sent`);
  },
});
