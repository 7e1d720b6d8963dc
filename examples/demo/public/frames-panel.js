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

  add(frame) {
    const scroller = this.#list.parentElement;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24;
    this.#list.append(itemOf(frame));
    while (this.#list.children.length > atMost) this.#list.firstElementChild.remove();
    if (frame.direction !== 'note') this.#count.textContent = String(++this.#total);
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  /** The client says that what came with this cursor was sent before. */
  markReplayed(cursor) {
    const brief = this.#list.querySelector(`.frame[data-cursors~="${CSS.escape(cursor)}"]:not(.replayed) .frame-brief`);
    if (!brief) return;
    brief.closest('.frame').classList.add('replayed');
    brief.after(h('span', { class: 'frame-tag' }, 'replayed'));
  }
}

/** A frame in one line; one with a message opens to show it. */
function itemOf({ direction, type, text, message, id, at }) {
  const cursor = id ?? message?.cursor;
  const line = [
    sign(direction),
    time(at),
    h('span', { class: 'frame-type' }, type),
    h('span', { class: 'frame-brief' }, text ?? brief(message)),
    cursor && h('span', { class: 'frame-cursor', title: `cursor ${cursor}` }, short(cursor)),
  ];
  const data = { direction, type: message?.object?.type ?? type, cursors: messageCursors(message, id).join(' ') };
  if (!message) return h('li', { class: `frame plain ${direction}`, data }, ...line);
  const json = h('pre', {});
  const details = h('details', {}, h('summary', {}, ...line), json);
  // Made when it is first looked at: most frames never are.
  details.addEventListener('toggle', () => {
    if (json.childNodes.length === 0) {
      if (id !== undefined) json.append(`id: ${id}\n`);
      json.append(...coloured(message));
    }
    if (details.open) details.scrollIntoView({ block: 'nearest' });
  });
  return h('li', { class: `frame ${direction}`, data }, details);
}

/** The cursors of the messages in a frame: it is one itself, or the answer to a poll. */
function messageCursors({ type, cursor, messages = [] } = {}, id = cursor) {
  return type ? [id].filter(Boolean) : messages.map((message) => message.cursor);
}

/** Cursors of one stream differ at their end. */
const short = (cursor) => `…${cursor.slice(-6)}`;

const time = (at) =>
  h('time', { datetime: at.toISOString() }, `${clock.format(at)}.${String(at.getMilliseconds()).padStart(3, '0')}`);

const sign = (direction) =>
  h(
    'span',
    { class: `sign ${direction}` },
    signs[direction],
    h('span', { class: 'visually-hidden' }, spoken[direction]),
  );

function brief({ type, object }) {
  if (type === 'event.new') return `${object.type} · ${object.sender.display_name ?? object.sender.id}`;
  if (type === 'session.ready') return readyBrief(object);
  return JSON.stringify(object);
}

function readyBrief({ resumed, reset, cursor, head }) {
  if (!resumed) return `resumed: false${reset ? `, reset: ${reset}` : ''}, from ${short(head)}`;
  return cursor === head ? 'resumed: true, nothing missed' : `resumed: true, replays up to ${short(head)}`;
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
