// Where a message is written. Enter sends; what could not be sent stays in the field.

import { h, icon } from './dom.js';

export class Composer {
  #input = h('textarea', { rows: 1, maxlength: 4_000, placeholder: 'Write a message', 'aria-label': 'Message' });
  #send = h('button', { class: 'send', 'aria-label': 'Send', title: 'Send', disabled: true }, icon('send'));
  #write;
  #drafts = new Map();
  /** One message after the other: requests that are sent together may overtake each other. */
  #writing = Promise.resolve();
  #boxId = null;

  /** `write(text)` resolves to whether it worked. */
  constructor(write) {
    this.#write = write;
    this.element = h('form', { class: 'composer' }, this.#input, this.#send);
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener('input', () => this.#changed());
    this.#input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
  }

  /** Each box keeps its own draft. */
  show(boxId) {
    if (this.#boxId) this.#drafts.set(this.#boxId, this.#input.value);
    this.#boxId = boxId;
    this.#input.value = this.#drafts.get(boxId) ?? '';
    this.#changed();
  }

  focus() {
    this.#input.focus();
  }

  async #submit() {
    const boxId = this.#boxId;
    const text = this.#input.value.trim();
    if (!text) return;
    this.#input.value = '';
    this.#changed();
    this.#writing = this.#writing.then(() => this.#write(text));
    if (await this.#writing) return;
    if (this.#boxId !== boxId) this.#drafts.set(boxId, text);
    else if (!this.#input.value) this.#input.value = text;
    this.#changed();
  }

  #changed() {
    this.#send.disabled = !this.#input.value.trim();
    this.#input.style.height = 'auto';
    this.#input.style.height = `${this.#input.scrollHeight + 2}px`;
  }
}
