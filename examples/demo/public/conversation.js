// The main part of a pane: one box, its timeline and the field to write in.

import { isActor } from './box.js';
import { boxDetails } from './box-details.js';
import { Composer } from './composer.js';
import { seal } from './content.js';
import { avatar, h, icon, iconButton, keyed } from './dom.js';
import { createEntry, updateEntry } from './message.js';
import { popover } from './popover.js';

const dayName = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const groupedWithinMs = 5 * 60_000;
const nearBottomPx = 48;

export class Conversation {
  boxId = null;
  #client;
  #actions;
  #composer = new Composer((text) => this.#actions.write(this.boxId, seal(text)));
  #title = h('h3', {});
  #access = h('span', { class: 'access' });
  #faces = h('span', { class: 'faces', 'aria-hidden': 'true' });
  #membersText = h('span', { class: 'members-text' });
  #members = h('button', { type: 'button', class: 'members-button' }, this.#faces, this.#membersText);
  #details;
  #list = h('ol', { class: 'timeline' });
  #empty = h('div', { class: 'empty' });
  #scroller = h('div', { class: 'scroller', tabindex: 0 }, this.#list);
  #toEnd = h('button', { type: 'button', class: 'to-end', hidden: true }, icon('down'), 'New messages');
  #body;
  #atEnd = true;
  /** The first entry that was unread when the box was opened. */
  #firstUnread = null;

  constructor(client, actions) {
    this.#client = client;
    this.#actions = actions;
    this.#body = h(
      'div',
      { class: 'talk' },
      h(
        'header',
        { class: 'talk-head' },
        iconButton('back', 'Back to the boxes', () => actions.back(), { class: 'icon-button back' }),
        h('div', { class: 'talk-title' }, this.#title, this.#access),
        h('div', {}, this.#members),
      ),
      h('div', { class: 'talk-body' }, this.#scroller, this.#toEnd),
      this.#composer.element,
    );
    this.element = h('section', { class: 'main' }, this.#body, this.#empty);
    this.#details = popover(this.#members, 'Members and access', () => this.#detailsOf(this.#box));
    this.#toEnd.addEventListener('click', () => this.#scrollToEnd());
    this.#scroller.addEventListener('scroll', () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
      this.#atEnd = scrollHeight - scrollTop - clientHeight < nearBottomPx;
      if (this.#atEnd) this.#toEnd.hidden = true;
    });
    // The last message stays in sight when the field grows or the keyboard comes up.
    const resized = new ResizeObserver(() => this.#atEnd && this.#scrollToEnd());
    resized.observe(this.#scroller);
    resized.observe(this.#list);
  }

  get #box() {
    return this.boxId === null ? undefined : this.#client.box(this.boxId);
  }

  show(boxId) {
    if (this.boxId !== boxId) this.#composer.show(boxId);
    this.boxId = boxId;
    this.#firstUnread = this.#findFirstUnread();
    this.#list.replaceChildren();
    this.#atEnd = true;
    this.update();
    this.#scrollToEnd();
  }

  focus() {
    if (this.#box) this.#composer.focus();
  }

  update() {
    const box = this.#box;
    this.#body.hidden = !box;
    this.#empty.hidden = Boolean(box) || !this.#client.loaded;
    if (!box) {
      if (this.boxId !== null && this.#client.loaded) {
        this.boxId = null;
        this.#details.close();
        this.#actions.back();
      }
      return this.#showEmpty();
    }
    this.#title.textContent = box.title;
    this.#title.title = box.title;
    this.element.setAttribute('aria-label', box.title);
    this.#scroller.setAttribute('aria-label', `Messages in ${box.title}`);
    this.#showAccess(box);
    this.#showTimeline(box);
    this.#details.refresh();
  }

  #showEmpty() {
    const text =
      this.#client.boxes.length > 0
        ? ['Choose a box', 'Its messages are shown here, and its badge falls to 0.']
        : ['No box yet', 'Make one with the plus, or join one that is open.'];
    this.#empty.replaceChildren(
      h('strong', { class: 'empty-title' }, text[0]),
      h('p', { class: 'empty-text' }, text[1]),
    );
  }

  #showAccess(box) {
    const label = box.access_mode === 'public' ? 'Public' : 'Limited';
    if (this.#access.textContent !== label) this.#access.replaceChildren(icon(box.access_mode), label);
    const names = box.members.map((member) => member.display_name).join(', ');
    if (this.#members.title === names) return;
    this.#members.title = names;
    this.#faces.replaceChildren(...box.members.slice(0, 3).map((member) => avatar(member, 'tiny')));
    this.#membersText.textContent = box.members.length === 1 ? '1 member' : `${box.members.length} members`;
  }

  #showTimeline(box) {
    const before = this.#list.lastElementChild?.dataset.key;
    const replayOf = (entry) => this.#client.replayOf(entry.id);
    keyed(this.#list, rowsOf(box.timeline, this.#firstUnread, replayOf), {
      key: (row) => row.key,
      create: (row) => (row.entry ? createEntry(row.entry) : h('li', { class: row.class }, h('span', {}, row.text))),
      update: (element, row) => row.entry && updateEntry(element, row.entry, this.#contextOf(box, row)),
    });
    if (this.#list.lastElementChild?.dataset.key === before) return;
    const last = box.timeline.at(-1);
    if (this.#atEnd || isActor(this.#client.person.id, last)) this.#scrollToEnd();
    else this.#toEnd.hidden = false;
  }

  #contextOf(box, { entry, continued }) {
    return {
      continued,
      replayed: this.#client.replayOf(entry.id) !== undefined,
      mine: entry.sender.id === this.#client.person.id,
      edit: (content) => this.#actions.edit(box.id, entry.id, content),
      remove: () => this.#actions.remove(box.id, entry.id),
    };
  }

  #detailsOf(box) {
    return boxDetails(box, this.#client.person, {
      setAccess: (value) => this.#actions.setAccess(box.id, value),
      kick: (memberId) => this.#actions.kick(box.id, memberId),
      leave: () => this.#actions.leave(box.id),
      deleteBox: () => this.#actions.deleteBox(box.id),
    });
  }

  #findFirstUnread() {
    const box = this.#box;
    const unread = box ? (this.#client.counts[box.id] ?? 0) : 0;
    if (unread === 0) return null;
    const counted = box.timeline.filter((entry) => !isActor(this.#client.person.id, entry));
    return counted.at(-unread)?.id ?? null;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atEnd = true;
    this.#toEnd.hidden = true;
  }
}

/** The timeline with its days, and marks above what was unread and what was missed at first. */
function rowsOf(timeline, firstUnread, replayOf) {
  const rows = [];
  let previous;
  for (const entry of timeline) {
    const day = new Date(entry.at).toDateString();
    const newDay = !previous || new Date(previous.at).toDateString() !== day;
    if (newDay) rows.push({ key: day, class: 'day', text: dayName.format(new Date(entry.at)) });
    const replay = replayOf(entry);
    const newReplay = replay !== undefined && (!previous || replayOf(previous) !== replay);
    if (newReplay) {
      rows.push({ key: `replay ${entry.id}`, class: 'mark replay-mark', text: 'Arrived while you were away' });
    } else if (entry.id === firstUnread) {
      rows.push({ key: 'unread', class: 'mark', text: 'New' });
    }
    const continued =
      !newDay &&
      !newReplay &&
      entry.id !== firstUnread &&
      previous.type === 'msg.text' &&
      previous.sender.id === entry.sender.id &&
      new Date(entry.at) - new Date(previous.at) < groupedWithinMs;
    rows.push({ key: entry.id, entry, continued });
    previous = entry;
  }
  if (!timeline.some((entry) => entry.type === 'msg.text')) {
    rows.push({ key: 'hush', class: 'hush', text: 'No messages yet. Write the first one.' });
  }
  return rows;
}
