// The boxes, and who may do what with them. Every change is first stored, then published to the members.

import { randomBytes } from 'node:crypto';
import { applyEvent, isMember, newBox } from '../public/box.js';
import { people } from './people.js';
import { Refused } from './refused.js';

const maxBoxes = 200;
const maxEntries = 500;
const maxContentLength = 24_000;

export class Boxes {
  #usercast;
  #store;

  constructor(usercast, store) {
    this.#usercast = usercast;
    this.#store = store;
  }

  /** What this person sees: the boxes that they are in, and the public ones that they may join. */
  async listFor(person) {
    const all = await this.#store.all();
    return {
      boxes: all.filter((box) => isMember(box, person.id)),
      open: all
        .filter((box) => box.access_mode === 'public' && !isMember(box, person.id))
        .map(({ id, title, members }) => ({ id, title, members: members.length })),
    };
  }

  async create(person, { title, access_mode: accessMode = 'limited' }) {
    const { length } = await this.#store.all();
    if (length >= maxBoxes) throw new Refused(409, 'There are too many boxes. Delete one first.');
    const box = newBox({ id: crypto.randomUUID(), title: titleOf(title), creatorId: person.id, accessMode });
    checkAccessMode(accessMode);
    await this.#store.add(box);
    const joined = await this.#publish(box, this.#event(box, 'member.join', person));
    await this.#tellOthers(joined);
    return joined;
  }

  async join(person, boxId) {
    const box = await this.#store.get(boxId);
    if (!box || (box.access_mode !== 'public' && !isMember(box, person.id))) throw new Refused(404, 'No such box.');
    return isMember(box, person.id) ? box : this.#publish(box, this.#event(box, 'member.join', person));
  }

  /** Leaves, or, as the box's creator, removes another member. */
  async removeMember(person, boxId, memberId) {
    const box = await this.#boxOf(person, boxId);
    const member = box.members.find((one) => one.id === memberId);
    if (!member) throw new Refused(404, 'No such member.');
    if (memberId === box.creator_id) throw new Refused(409, 'Whoever made a box stays in it. Delete the box instead.');
    const { join_id: referrer_id, ...sender } = member;
    if (memberId === person.id) {
      await this.#publish(box, this.#event(box, 'member.leave', sender, { referrer_id }));
    } else {
      this.#checkCreator(person, box);
      const event = this.#event(box, 'member.kick', sender, { referrer_id, content: { kicker: person } });
      // The kicked member is the sender, which never counts; the kicker knows, too.
      await this.#publish(box, event, { muted: [person.id] });
    }
    await this.#usercast.ack(memberId, box.id);
  }

  /** With an `id` of the sender's, sending again what got no answer is safe: it is stored, delivered and counted once. */
  async write(person, boxId, { id = crypto.randomUUID(), content }) {
    const box = await this.#boxOf(person, boxId);
    const event = this.#event(box, 'msg.text', person, { id: `${person.id}-${idOf(id)}`, content: contentOf(content) });
    await this.#publish(box, event);
    return event;
  }

  async edit(person, boxId, messageId, content) {
    const { box } = await this.#messageOf(person, boxId, messageId);
    const details = { referrer_id: messageId, content: contentOf(content) };
    const event = this.#event(box, 'msg.edit', person, details);
    await this.#publish(box, event);
    return event;
  }

  async deleteMessage(person, boxId, messageId) {
    const { box } = await this.#messageOf(person, boxId, messageId);
    const event = this.#event(box, 'msg.delete', person, { referrer_id: messageId });
    await this.#publish(box, event);
    return event;
  }

  async setAccessMode(person, boxId, value) {
    const box = await this.#boxOf(person, boxId);
    this.#checkCreator(person, box);
    checkAccessMode(value);
    if (box.access_mode === value) return;
    await this.#tellOthers(
      await this.#publish(box, this.#event(box, 'state.access_mode', person, { content: { value } })),
    );
  }

  async deleteBox(person, boxId) {
    const box = await this.#boxOf(person, boxId);
    this.#checkCreator(person, box);
    await this.#store.delete(boxId);
    const memberIds = box.members.map((member) => member.id);
    const object = { id: box.id, sender_id: person.id, public_key: randomBytes(32).toString('base64url') };
    await this.#usercast.notify(memberIds, 'box.delete', object);
    // A deleted box keeps its counts until the host says otherwise.
    for (const memberId of memberIds) await this.#usercast.ack(memberId, box.id);
    await this.#tellOthers(box);
  }

  #event(box, type, sender, details = {}) {
    const server_event_created_at = new Date().toISOString();
    return { id: crypto.randomUUID(), type, box_id: box.id, server_event_created_at, sender, ...details };
  }

  /**
   * The members before the change are told, and those after it: whoever leaves or joins is one of them. Returns the box
   * after it.
   */
  async #publish({ id }, event, options) {
    let before = [];
    const box = await this.#store.change(id, (stored) => {
      before = stored.members;
      applyEvent(stored, event);
      if (stored.timeline.length > maxEntries) stored.timeline.shift();
    });
    if (!box) throw new Refused(404, 'This box is gone.');
    const memberIds = [...before, ...box.members].map((member) => member.id);
    await this.#usercast.publishEvent(memberIds, event, options);
    return box;
  }

  /** A notification type of this API's own. It is stored: a page that was away gets it with all that it missed. */
  async #tellOthers(box) {
    const others = people.filter((person) => !isMember(box, person.id)).map((person) => person.id);
    await this.#usercast.notify(others, 'boxes.changed', { box_id: box.id });
  }

  async #boxOf(person, boxId) {
    const box = await this.#store.get(boxId);
    if (!box || !isMember(box, person.id)) throw new Refused(404, 'You are not in this box.');
    return box;
  }

  async #messageOf(person, boxId, messageId) {
    const box = await this.#boxOf(person, boxId);
    const message = box.timeline.find((entry) => entry.id === messageId && entry.type === 'msg.text');
    if (!message || message.deleted) throw new Refused(404, 'This message is gone.');
    if (message.sender.id !== person.id) throw new Refused(403, 'Only its author can change a message.');
    return { box, message };
  }

  #checkCreator(person, box) {
    if (box.creator_id !== person.id) throw new Refused(403, 'Only whoever made the box can do that.');
  }
}

function titleOf(title) {
  if (typeof title !== 'string' || !title.trim() || title.length > 80) {
    throw new Refused(400, 'A box needs a name of at most 80 characters.');
  }
  return title.trim();
}

function idOf(id) {
  if (typeof id !== 'string' || !/^[\w-]{1,64}$/.test(id)) throw new Refused(400, 'This is no id for a message.');
  return id;
}

function contentOf(content) {
  if (typeof content?.encrypted !== 'string' || !content.encrypted) throw new Refused(400, 'A message needs content.');
  if (content.encrypted.length > maxContentLength) throw new Refused(413, 'This message is too long.');
  return content;
}

function checkAccessMode(value) {
  if (value !== 'public' && value !== 'limited') throw new Refused(400, 'Access is either public or limited.');
}
