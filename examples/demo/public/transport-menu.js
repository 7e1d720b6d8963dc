// The state of a person's connection, and, under it, the choice of the transport.

import { h, icon } from './dom.js';
import { popover } from './popover.js';

/** The names of transports in a sentence. */
const names = { websocket: 'WebSocket', sse: 'SSE', polling: 'long polling' };

const choices = [
  ['auto', 'Automatic', 'The best one that gets through'],
  ['websocket', 'WebSocket', 'One socket, both ways'],
  ['sse', 'SSE', 'A stream down, requests up'],
  ['polling', 'Long polling', 'Requests that wait for an answer'],
];

export class TransportMenu {
  #client;
  #text = h('span', { class: 'status-text' });
  #countdown;

  constructor(client) {
    this.#client = client;
    const button = h(
      'button',
      { type: 'button', class: 'status', title: 'Choose the transport' },
      this.#text,
      icon('more'),
    );
    this.element = h('div', {}, button);
    const menu = popover(button, 'Transport', () => this.#fill(() => menu.close()));
  }

  /** Shows the state as it is now, and returns it as a text that does not change by the second. */
  update() {
    const { state, transport, retryAt, reason } = this.#client;
    clearInterval(this.#countdown);
    const inSeconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1_000));
    const over = names[transport];
    const texts = {
      connecting: [`Connecting over ${over}`],
      live: [`Live over ${over}`],
      waiting: [`Reconnecting in ${inSeconds} s`, 'Reconnecting'],
      cut: [`Cut off, retry in ${inSeconds} s`, 'Cut off'],
      closed: [`Closed: ${reason}`],
    }[state];
    if (texts.length > 1) this.#countdown = setInterval(() => this.update(), 500);
    if (this.#text.textContent !== texts[0]) this.#text.textContent = texts[0];
    this.#text.title = texts[0];
    return texts.at(-1);
  }

  #fill(close) {
    const item = ([value, label, hint]) =>
      h(
        'button',
        {
          type: 'button',
          class: 'menu-item',
          'aria-pressed': String(this.#client.choice === value),
          autofocus: this.#client.choice === value,
          on: {
            click: () => {
              close();
              this.#client.use(value);
            },
          },
        },
        h('span', {}, label, h('small', {}, hint)),
        icon('check'),
      );
    return h('div', { class: 'menu', role: 'group', 'aria-label': 'Transport' }, ...choices.map(item));
  }
}
