// One entry of a box's timeline: a message with what its author can do to it, or a line that tells what happened.

import { seal, unseal } from './content.js';
import { avatar, h, iconButton } from './dom.js';

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export function createEntry(entry) {
  if (entry.type !== 'msg.text') return h('li', { class: 'happened' }, h('span', {}, happened(entry)));
  return h(
    'li',
    { class: 'message' },
    avatar(entry.sender),
    h(
      'div',
      { class: 'message-main' },
      h(
        'div',
        { class: 'message-head' },
        h('strong', { class: 'message-name' }, entry.sender.display_name),
        h('time', { class: 'message-time', datetime: entry.at }, clock.format(new Date(entry.at))),
      ),
      h('div', { class: 'message-line' }, h('div', { class: 'bubble' })),
    ),
  );
}

/**
 * `context`: mine, continued (the same sender goes on), replayed (it was missed at first), edit(content) and remove(),
 * which resolve to whether it worked.
 */
export function updateEntry(element, entry, context) {
  if (entry.type !== 'msg.text') return;
  element.classList.toggle('mine', context.mine);
  element.classList.toggle('continued', context.continued);
  element.classList.toggle('replayed', context.replayed);
  const version = JSON.stringify([entry.content, entry.deleted, entry.edited]);
  if (element.dataset.version === version) return;
  element.dataset.version = version;
  showText(element, entry, context);
}

function showText(element, entry, context) {
  const line = element.querySelector('.message-line');
  const text = entry.deleted ? 'Message deleted' : unseal(entry.content);
  const bubble = h('div', { class: 'bubble' }, h('span', { class: 'text' }, text));
  if (entry.edited && !entry.deleted) bubble.append(h('small', { class: 'edited' }, 'edited'));
  element.classList.toggle('deleted', entry.deleted);
  line.replaceChildren(bubble);
  if (!context.mine || entry.deleted) return;
  const edit = iconButton('edit', 'Edit message', () => showEditor(element, entry, context));
  const remove = iconButton('trash', 'Delete message', async () => {
    remove.disabled = true;
    if (!(await context.remove())) remove.disabled = false;
  });
  line.prepend(h('div', { class: 'message-actions' }, edit, remove));
}

function showEditor(element, entry, context) {
  const line = element.querySelector('.message-line');
  const input = h('textarea', { 'aria-label': 'Edit message', maxlength: 4_000, rows: 1 });
  input.value = unseal(entry.content);
  const done = () => {
    showText(element, entry, context);
    element.querySelector('.message-actions button')?.focus();
  };
  const save = async () => {
    const text = input.value.trim();
    if (!text || text === unseal(entry.content)) return done();
    if (await context.edit(seal(text))) done();
  };
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') done();
    else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      save();
    }
  });
  const actions = h(
    'div',
    { class: 'editor-actions' },
    h('button', { type: 'button', class: 'button small', on: { click: done } }, 'Cancel'),
    h('button', { type: 'button', class: 'button small primary', on: { click: save } }, 'Save'),
  );
  line.replaceChildren(h('div', { class: 'editor' }, input, actions));
  input.focus();
  line.scrollIntoView({ block: 'nearest' });
  input.setSelectionRange(input.value.length, input.value.length);
}

function happened({ type, sender, content }) {
  const name = sender.display_name;
  if (type === 'member.join') return `${name} joined`;
  if (type === 'member.leave') return `${name} left`;
  if (type === 'member.kick') return `${content.kicker.display_name} removed ${name}`;
  if (type === 'state.access_mode') return `${name} made the box ${content.value}`;
  return `${name}: ${type}`;
}
