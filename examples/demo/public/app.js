// The page: a pane for each person that the address names (`?person=ada`, once or more), else the first two.

import { request } from './api.js';
import { Client } from './client.js';
import { h, icon } from './dom.js';
import { Pane } from './pane.js';
import { toast } from './toast.js';

const panes = document.getElementById('panes');
const tabs = document.getElementById('tabs');

try {
  const { framework, people, view } = await request('GET', '/api/about');
  document.getElementById('framework').textContent = framework;
  const asked = new URLSearchParams(location.search).getAll('person');
  const chosen = people.filter((person) => asked.includes(person.id));
  const shown = chosen.length > 0 ? chosen : people.slice(0, 2);
  offerOthers(people.filter((person) => !shown.includes(person)));
  const addition = view && (await import(view));
  const clients = start(shown);
  addition?.show(clients, people);
} catch (error) {
  toast(error.message, { kind: 'error' });
  panes.append(
    h(
      'div',
      { class: 'empty' },
      h('strong', { class: 'empty-title' }, 'The demo could not start'),
      h('p', { class: 'empty-text' }, 'Is the server running? Then load the page again.'),
    ),
  );
}

function start(people) {
  const clients = people.map((person) => new Client(person));
  const views = clients.map((client) => new Pane(client));
  panes.dataset.count = people.length;
  panes.replaceChildren(...views.map((view) => view.element));
  if (people.length > 1) tabs.replaceChildren(...clients.map((client) => tab(client)));
  show(people[0].id);

  for (const client of clients) {
    client.addEventListener('change', () => showUnread());
    client.start();
  }
  return clients;

  /** On a phone one pane is shown at a time, and only what is shown is read. */
  function tab(client) {
    const { id, display_name: name } = client.person;
    return h(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `tab-${id}`,
        'aria-controls': `pane-${id}`,
        on: { click: () => show(id), keydown: move },
      },
      name.split(' ')[0],
      h('span', { class: 'badge none' }),
    );
  }

  function move(event) {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const all = [...tabs.children];
    const step = event.key === 'ArrowRight' ? 1 : all.length - 1;
    const next = all[(all.indexOf(event.currentTarget) + step) % all.length];
    next.focus();
    next.click();
  }

  function show(personId) {
    for (const view of views) view.element.classList.toggle('current', view.element.dataset.person === personId);
    for (const button of tabs.children) {
      const selected = button.id === `tab-${personId}`;
      button.setAttribute('aria-selected', String(selected));
      button.tabIndex = selected ? 0 : -1;
    }
    for (const view of views) view.markRead();
  }

  function showUnread() {
    const total = clients.reduce((sum, client) => sum + client.unread, 0);
    const names = people.map((person) => person.display_name.split(' ')[0]).join(' and ');
    document.title = `${total > 0 ? `(${total}) ` : ''}${names} · usercast demo`;
    for (const [index, button] of [...tabs.children].entries()) {
      const badge = button.querySelector('.badge');
      badge.textContent = String(clients[index].unread);
      badge.classList.toggle('none', clients[index].unread === 0);
    }
  }
}

function offerOthers(people) {
  const link = (person) =>
    h(
      'a',
      { class: 'button quiet', href: `?person=${person.id}`, target: '_blank' },
      icon('tab'),
      `Open ${person.display_name.split(' ')[0]}`,
    );
  document.getElementById('others').replaceChildren(...people.map(link));
}
