// The side of a pane: this person's boxes with their unread badges, the public ones to join, and the form for a new one.

import { h, icon, iconButton, keyed } from './dom.js';
import { popover } from './popover.js';

export class BoxList {
  #client;
  #actions;
  #boxes = h('ul', { class: 'box-items' });
  #open = h('ul', { class: 'box-items' });
  #openTitle = h('h3', { class: 'side-title' }, 'Open to join');
  #empty = h('p', { class: 'side-empty' }, 'You are in no box yet. Make one, or join one.');
  #skeleton = h('div', { class: 'skeleton', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'));

  /** `actions`: select(boxId), join(boxId), create({title, access_mode}). */
  constructor(client, actions) {
    this.#client = client;
    this.#actions = actions;
    const add = iconButton('plus', 'New box');
    this.element = h(
      'nav',
      { class: 'side', 'aria-label': `Boxes of ${client.person.display_name}` },
      h('div', { class: 'side-head' }, h('h3', { class: 'side-title' }, 'Boxes'), h('div', {}, add)),
      this.#skeleton,
      this.#boxes,
      this.#empty,
      this.#openTitle,
      this.#open,
    );
    const panel = popover(add, 'New box', () => this.#form(() => panel.close()));
  }

  update(selectedId) {
    const { boxes, open, counts, loaded } = this.#client;
    this.#skeleton.hidden = loaded;
    this.#empty.hidden = !loaded || boxes.length > 0;
    this.#openTitle.hidden = open.length === 0;
    keyed(this.#boxes, boxes, {
      key: (box) => box.id,
      create: (box) => this.#item(box.id),
      update: (item, box) => updateItem(item, box, counts[box.id] ?? 0, box.id === selectedId),
    });
    keyed(this.#open, open, {
      key: (box) => box.id,
      create: (box) => this.#openItem(box),
      update: (item, box) => {
        item.querySelector('small').textContent = box.members === 1 ? '1 member' : `${box.members} members`;
      },
    });
  }

  #item(boxId) {
    const button = h(
      'button',
      { type: 'button', class: 'box-item', on: { click: () => this.#actions.select(boxId) } },
      h('span', { class: 'box-item-icon' }),
      h('span', { class: 'box-item-title' }),
      h('span', { class: 'badge' }),
      h('span', { class: 'visually-hidden' }),
    );
    return h('li', {}, button);
  }

  #openItem(box) {
    const join = h('button', { type: 'button', class: 'button small' }, 'Join');
    join.setAttribute('aria-label', `Join ${box.title}`);
    join.addEventListener('click', () => this.#actions.join(box.id));
    const text = h('span', { class: 'open-text' }, h('span', { class: 'box-item-title' }, box.title), h('small', {}));
    return h('li', { class: 'open-item' }, text, join);
  }

  #form(done) {
    const title = h('input', { name: 'title', required: true, maxlength: 80, autocomplete: 'off', autofocus: true });
    const access = (value, label, hint, checked) =>
      h(
        'label',
        { class: 'choice' },
        h('input', { type: 'radio', name: 'access', value, checked }),
        icon(value),
        h('span', {}, label, h('small', {}, hint)),
      );
    const submit = h('button', { class: 'button primary' }, 'Make the box');
    return h(
      'form',
      {
        class: 'form',
        on: {
          submit: async (event) => {
            event.preventDefault();
            const data = new FormData(event.target);
            submit.disabled = true;
            if (await this.#actions.create({ title: data.get('title'), access_mode: data.get('access') })) done();
            submit.disabled = false;
          },
        },
      },
      h('label', { class: 'field' }, 'Name', title),
      h(
        'fieldset',
        {},
        h('legend', {}, 'Access'),
        access('public', 'Public', 'Anyone can join', true),
        access('limited', 'Limited', 'Members only', false),
      ),
      submit,
    );
  }
}

function updateItem(item, box, unread, selected) {
  const [button] = item.children;
  const [glyph, title, badge, spoken] = button.children;
  if (glyph.dataset.access !== box.access_mode) {
    glyph.dataset.access = box.access_mode;
    glyph.replaceChildren(icon(box.access_mode));
  }
  title.textContent = box.title;
  badge.textContent = unread > 99 ? '99+' : String(unread);
  badge.classList.toggle('none', unread === 0);
  badge.setAttribute('aria-hidden', 'true');
  spoken.textContent = unread === 0 ? '' : `, ${unread} unread`;
  button.classList.toggle('unread', unread > 0);
  if (selected) button.setAttribute('aria-current', 'true');
  else button.removeAttribute('aria-current');
}
