// One person: the header with the state of their connection, their boxes, a conversation and the frames.

import { BoxList } from './box-list.js';
import { unseal } from './content.js';
import { Conversation } from './conversation.js';
import { avatar, h, icon } from './dom.js';
import { FramesPanel } from './frames-panel.js';
import { toast } from './toast.js';
import { TransportMenu } from './transport-menu.js';

export class Pane {
  #client;
  #list;
  #conversation;
  #frames;
  #started = false;
  #transport;
  #connection = h('button', { type: 'button', class: 'button' });
  #framesToggle = h(
    'button',
    { type: 'button', class: 'button', title: 'Show or hide the frames' },
    icon('frames'),
    h('span', { class: 'wide' }, 'Frames'),
  );
  #notice = h('p', { class: 'notice', hidden: true });
  #spoken = h('div', { class: 'visually-hidden', 'aria-live': 'polite' });

  constructor(client) {
    const { person } = client;
    this.#client = client;
    this.#frames = new FramesPanel(person);
    this.#transport = new TransportMenu(client);
    this.#list = new BoxList(client, {
      select: (boxId) => this.select(boxId),
      join: (boxId) => this.#try(() => this.#enter('POST', `/api/boxes/${boxId}/members`)),
      create: (box) => this.#try(() => this.#enter('POST', '/api/boxes', box)),
    });
    this.#conversation = new Conversation(client, this.#boxActions());
    const tab = h(
      'a',
      { class: 'button', href: `?person=${person.id}`, target: '_blank', title: `Open ${first(person)} in a new tab` },
      icon('tab'),
      h('span', { class: 'visually-hidden' }, `Open ${first(person)} in a new tab`),
    );
    this.element = h(
      'section',
      {
        class: 'pane',
        id: `pane-${person.id}`,
        data: { person: person.id, view: 'list' },
        'aria-label': person.display_name,
      },
      h(
        'header',
        { class: 'pane-head' },
        avatar(person),
        h('div', { class: 'pane-name' }, h('h2', {}, person.display_name), this.#transport.element),
        h('div', { class: 'pane-actions' }, this.#framesToggle, tab, this.#connection),
      ),
      h('div', { class: 'pane-body' }, this.#list.element, this.#conversation.element, this.#notice),
      this.#frames.element,
      this.#spoken,
    );
    this.#showFrames(matchMedia('(min-width: 760px) and (min-height: 640px)').matches);
    this.#framesToggle.addEventListener('click', () => this.#showFrames(this.#frames.element.hidden));
    this.#connection.addEventListener('click', () => {
      if (this.#isUp) client.cut();
      else client.reconnect();
    });
    this.#follow();
  }

  select(boxId, { focus = true } = {}) {
    this.#conversation.show(boxId);
    this.element.dataset.view = 'box';
    this.#update();
    if (focus) this.#conversation.focus();
  }

  /** What is on screen counts as read. */
  markRead() {
    const { boxId, element } = this.#conversation;
    const visible = document.visibilityState === 'visible' && element.getClientRects().length > 0;
    if (boxId !== null && visible) this.#client.markRead(boxId);
  }

  #follow() {
    const client = this.#client;
    client.addEventListener('change', () => this.#update());
    client.addEventListener('state', () => this.#showState());
    client.addEventListener('frame', ({ detail }) => this.#frames.add(detail));
    client.addEventListener('replay', ({ detail }) => this.#frames.markReplayed(detail));
    client.addEventListener('reset', ({ detail }) => {
      this.#toast(`What was missed cannot be replayed (${detail}), so everything was loaded again.`);
    });
    client.addEventListener('fail', ({ detail }) => toast(detail.message, { kind: 'error' }));
    client.addEventListener('event', ({ detail }) => this.#tellEvent(detail));
    client.addEventListener('boxdelete', ({ detail: { box, by } }) => {
      const who = box?.members.find((member) => member.id === by);
      if (box && by !== client.person.id) this.#toast(`${first(who)} deleted “${box.title}”.`);
    });
    document.addEventListener('visibilitychange', () => this.markRead());
    this.#update();
  }

  #update() {
    if (!this.#started && this.#client.loaded) this.#begin();
    this.#conversation.update();
    this.#list.update(this.#conversation.boxId);
    this.markRead();
  }

  /** Opens a box of this person's own to begin with, where there is room for it beside the list. */
  #begin() {
    this.#started = true;
    const { boxes, person } = this.#client;
    const own = boxes.find((box) => box.creator_id === person.id) ?? boxes[0];
    if (own && this.#conversation.element.getClientRects().length > 0) this.#conversation.show(own.id);
  }

  #boxActions() {
    const change = (method, path, body) => this.#try(() => this.#client.call(method, path, body));
    const message = (boxId, id) => `/api/boxes/${boxId}/messages/${id}`;
    const member = (boxId, id) => `/api/boxes/${boxId}/members/${id}`;
    return {
      back: () => {
        this.element.dataset.view = 'list';
      },
      write: (boxId, content) => change('POST', `/api/boxes/${boxId}/messages`, { id: newId(), content }),
      edit: (boxId, id, content) => change('PUT', message(boxId, id), { content }),
      remove: (boxId, id) => change('DELETE', message(boxId, id)),
      setAccess: (boxId, value) => change('PUT', `/api/boxes/${boxId}/access`, { value }),
      kick: (boxId, memberId) => change('DELETE', member(boxId, memberId)),
      leave: (boxId) => change('DELETE', member(boxId, this.#client.person.id)),
      deleteBox: (boxId) => change('DELETE', `/api/boxes/${boxId}`),
    };
  }

  async #enter(method, path, body) {
    const box = await this.#client.call(method, path, body);
    await this.#client.load();
    this.select(box.id);
  }

  async #try(action) {
    try {
      await action();
      return true;
    } catch (error) {
      toast(error.message, { kind: 'error' });
      return false;
    }
  }

  #tellEvent(event) {
    const { person } = this.#client;
    const title = this.#client.box(event.box_id)?.title;
    if (event.type === 'msg.text' && event.sender.id !== person.id) {
      this.#spoken.textContent = `${event.sender.display_name} in ${title}: ${unseal(event.content)}`;
    }
    if (event.type === 'member.kick' && event.sender.id === person.id) {
      this.#toast(`${first(event.content.kicker)} removed you from “${title}”.`);
    }
  }

  #toast(text) {
    toast(`${first(this.#client.person)}: ${text}`);
  }

  #showFrames(shown) {
    this.#frames.element.hidden = !shown;
    this.#framesToggle.setAttribute('aria-pressed', String(shown));
  }

  get #isUp() {
    return this.#client.state === 'live' || this.#client.state === 'connecting';
  }

  #showState() {
    const { state, person } = this.#client;
    const text = this.#transport.update();
    if (this.element.dataset.state !== state) this.#spoken.textContent = `${person.display_name}: ${text}`;
    this.element.dataset.state = state;
    const label = this.#isUp ? 'Cut' : 'Reconnect';
    if (this.#connection.textContent !== label) this.#connection.replaceChildren(icon('cut'), label);
    this.#connection.title = this.#isUp
      ? 'Cut the connection here in the page: it drops, and neither a new one nor a request gets through'
      : 'Connect again now';
    this.#connection.classList.toggle('primary', !this.#isUp);
    this.#notice.hidden = this.#isUp || state === 'closed';
    this.#notice.textContent = 'Offline. What you miss is replayed when you are back.';
    this.markRead();
  }
}

/** An id for what is sent: the server takes it once, however often it comes. */
const newId = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-');

const first = (person) => person?.display_name.split(' ')[0] ?? 'Someone';
