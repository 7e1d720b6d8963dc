// The messages of one connection as they pass, with their time and their bytes.

import { h, icon } from './dom.js';

const atMost = 200;
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const signs = { in: '↓', out: '↑', note: '·' };
const spoken = { in: 'received', out: 'sent', note: 'connection' };

export class FramesPanel {
  #list = h('ol', { class: 'frame-items' });
  #count = h('span', { class: 'frame-count' });
  #total = 0;

  constructor(person) {
    const clear = h('button', { type: 'button', class: 'button small quiet' }, 'Clear');
    clear.addEventListener('click', () => {
      this.#list.replaceChildren();
      this.#total = 0;
      this.#count.textContent = '';
    });
    const note = h(
      'small',
      { class: 'frames-note' },
      'The content of messages is base64 here, in place of encryption.',
    );
    this.element = h(
      'section',
      { class: 'frames', 'aria-label': `Frames of ${person.display_name}` },
      h('header', { class: 'frames-head' }, icon('frames'), h('h3', {}, 'Frames'), this.#count, note, clear),
      h('div', { class: 'frames-scroller', tabindex: 0 }, this.#list),
    );
  }

  add({ direction, type, text, message, at }) {
    const scroller = this.#list.parentElement;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24;
    this.#list.append(message ? frameItem(direction, message, at) : noteItem(type, text, at));
    while (this.#list.children.length > atMost) this.#list.firstElementChild.remove();
    if (message) this.#count.textContent = String(++this.#total);
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }
}

const time = (at) =>
  h('time', { datetime: at.toISOString() }, `${clock.format(at)}.${String(at.getMilliseconds()).padStart(3, '0')}`);

const sign = (direction) =>
  h(
    'span',
    { class: `sign ${direction}` },
    signs[direction],
    h('span', { class: 'visually-hidden' }, spoken[direction]),
  );

function noteItem(type, text, at) {
  return h(
    'li',
    { class: 'frame note' },
    sign('note'),
    time(at),
    h('span', { class: 'frame-type' }, type),
    h('span', {}, text),
  );
}

function frameItem(direction, message, at) {
  const json = h('pre', {});
  const details = h(
    'details',
    {},
    h(
      'summary',
      {},
      sign(direction),
      time(at),
      h('span', { class: 'frame-type' }, message.type),
      h('span', { class: 'frame-brief' }, brief(message)),
    ),
    json,
  );
  // Made when it is first looked at: most frames never are.
  details.addEventListener('toggle', () => {
    if (json.childNodes.length === 0) json.append(...coloured(message));
    if (details.open) details.scrollIntoView({ block: 'nearest' });
  });
  return h('li', { class: 'frame', data: { direction, type: message.object?.type ?? message.type } }, details);
}

function brief({ type, object }) {
  if (type === 'event.new') return `${object.type} · ${object.sender.display_name ?? object.sender.id}`;
  return JSON.stringify(object);
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?/g;

/** The JSON in pieces: keys, strings and other values can be told apart. */
function* coloured(message) {
  const text = JSON.stringify(message, null, 2);
  let end = 0;
  for (const match of text.matchAll(token)) {
    if (match.index > end) yield text.slice(end, match.index);
    const kind = match[2] ? 'key' : match[1] ? 'string' : 'value';
    yield h('span', { class: `json-${kind}` }, match[1] ?? match[0]);
    end = match.index + (match[1] ?? match[0]).length;
  }
  yield text.slice(end);
}
