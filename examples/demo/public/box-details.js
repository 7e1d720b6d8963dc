// The panel of a box: who is in it, who may come in, and the way out.

import { avatar, h, icon } from './dom.js';

/** `actions`: setAccess(value), kick(memberId), leave(), deleteBox(); each resolves to whether it worked. */
export function boxDetails(box, person, actions) {
  const isCreator = box.creator_id === person.id;
  return h(
    'div',
    { class: 'details' },
    h('h4', {}, 'Access'),
    isCreator ? accessSwitch(box, actions) : h('p', { class: 'access-text' }, icon(box.access_mode), accessText(box)),
    h('h4', {}, box.members.length === 1 ? '1 member' : `${box.members.length} members`),
    h(
      'ul',
      { class: 'member-items' },
      ...box.members.map((member) => memberItem(box, member, person, isCreator, actions)),
    ),
    h('div', { class: 'details-foot' }, isCreator ? deleteButton(actions) : leaveButton(actions)),
  );
}

const accessText = (box) => (box.access_mode === 'public' ? 'Public: anyone can join' : 'Limited: members only');

function accessSwitch(box, actions) {
  const choice = (value, label) =>
    h(
      'button',
      {
        type: 'button',
        'aria-pressed': String(box.access_mode === value),
        on: { click: () => actions.setAccess(value) },
      },
      icon(value),
      label,
    );
  const label = { role: 'group', 'aria-label': 'Access' };
  return h('div', { class: 'switch', ...label }, choice('public', 'Public'), choice('limited', 'Limited'));
}

function memberItem(box, member, person, isCreator, actions) {
  const note = [member.id === person.id && 'you', member.id === box.creator_id && 'made the box'].filter(Boolean);
  const text = h('span', { class: 'member-text' }, member.display_name, h('small', {}, note.join(', ')));
  const item = h('li', {}, avatar(member, 'small'), text);
  if (isCreator && member.id !== person.id) {
    const kick = () => actions.kick(member.id);
    const label = `Remove ${member.display_name}`;
    item.append(
      h('button', { type: 'button', class: 'button small', 'aria-label': label, on: { click: kick } }, 'Remove'),
    );
  }
  return item;
}

const leaveButton = (actions) =>
  h('button', { type: 'button', class: 'button danger', on: { click: () => actions.leave() } }, 'Leave the box');

/** Asks once more: nothing brings a box back. */
function deleteButton(actions) {
  const button = h('button', { type: 'button', class: 'button danger' }, 'Delete the box');
  button.addEventListener('click', () => {
    if (button.dataset.sure) return actions.deleteBox();
    button.dataset.sure = 'true';
    button.textContent = 'Delete it for everyone?';
  });
  return button;
}
