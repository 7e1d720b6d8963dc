// Adds to the demo's page: a strip with the server processes and whom each serves, and in each pane the process that this
// connection is on. The table comes from the starter, which outlives every process.

import { avatar, h } from '/dom.js';
import { toast } from '/toast.js';

/** What was missed comes right after a connection. */
const replayedWithinMs = 400;
/** What is said of a process that is not up. */
const states = {
  starting: 'starting',
  draining: 'draining, its sessions move',
  down: 'down, back in a few seconds',
};

export function show(clients, people) {
  const cards = h('ol', { class: 'processes' });
  const news = h('p', { class: 'process-news', 'aria-live': 'polite' }, 'Kill one, write on: nobody notices.');
  const views = clients.map((client) => followPerson(client, (text) => news.replaceChildren(text)));
  document.head.append(h('link', { rel: 'stylesheet', href: '/cluster/processes.css' }));
  document
    .getElementById('tabs')
    .before(h('section', { class: 'cluster', 'aria-label': 'Server processes' }, cards, news));

  new EventSource('/cluster/events').addEventListener('message', ({ data }) => {
    const table = JSON.parse(data);
    for (const [index, row] of table.entries()) {
      if (!cards.children[index]) cards.append(createCard(row.number));
      updateCard(cards.children[index], row, people);
    }
    for (const view of views) view(table);
  });
}

function createCard(number) {
  const button = (label, action, title) => {
    const element = h('button', { type: 'button', class: 'button small', title, data: { action } }, label);
    element.addEventListener('click', () => order(number, action));
    return element;
  };
  return h(
    'li',
    { class: 'process', data: { process: number } },
    h(
      'div',
      { class: 'process-text' },
      h('h2', { class: 'process-name' }, `Process ${number}`),
      h('p', { class: 'process-state' }),
    ),
    h('span', { class: 'process-people' }),
    h(
      'div',
      { class: 'process-actions', role: 'group', 'aria-label': `End process ${number}` },
      button('Drain', 'drain', 'SIGTERM: it sends its sessions to the others, then ends'),
      button('Kill', 'kill', 'SIGKILL: it ends in the middle of whatever it does'),
    ),
  );
}

function updateCard(card, { state, pid, requests, sessions }, people) {
  card.dataset.state = state;
  const numbers = state === 'up' ? `pid ${pid} · ${requests} requests` : states[state];
  card.querySelector('.process-state').textContent = numbers;
  const served = sessions.map(({ userId }) => people.find(({ id }) => id === userId)).filter(Boolean);
  const who = served.map((person) => person.display_name).join(', ');
  const faces = card.querySelector('.process-people');
  if (faces.title !== who) {
    faces.title = who;
    faces.replaceChildren(
      ...served.map((person) => avatar(person, 'tiny')),
      h('span', { class: 'visually-hidden' }, who && `serves ${who}`),
    );
  }
  for (const button of card.querySelectorAll('button')) button.disabled = state !== 'up';
}

async function order(number, action) {
  const headers = { 'Content-Type': 'application/json' };
  const { ok } = await fetch(`/cluster/processes/${number}/${action}`, { method: 'POST', headers });
  if (!ok) toast(`Process ${number} could not be ended.`, { kind: 'error' });
}

/**
 * Shows on which process this client's session is, and tells when it has moved. Returns what takes a new table. A session
 * is known by the id in its `session.ready`; a poll has none, and goes to whichever process is next.
 */
function followPerson(client, tell) {
  const name = client.person.display_name.split(' ')[0];
  const chip = h('span', { class: 'on-process', title: 'The server process of this connection' });
  document.querySelector(`#pane-${client.person.id} .pane-name > div`).append(chip);
  let table = [];
  let sessionId = '';
  let home = null;
  /** The time between the last two connections, and what was replayed after it. */
  let gap = null;

  function update() {
    const isLive = client.state === 'live';
    const found = table.find(({ sessions }) => sessions.some(({ id }) => id === sessionId))?.number;
    if (!isLive) chip.replaceChildren();
    else if (client.transport === 'polling') chip.replaceChildren('Any', h('span', { class: 'wide' }, ' process'));
    else if (found) chip.replaceChildren(h('span', { class: 'wide' }, 'Process '), String(found));
    if (!isLive || !found) return;
    if (home !== null && found !== home && gap) setTimeout(tellMove, replayedWithinMs, home, found, gap);
    home = found;
  }

  function tellMove(from, to, { since, until, replayed }) {
    const seconds = ((until - since) / 1_000).toFixed(1);
    const missed = replayed === 0 ? 'nothing was missed' : `${replayed} missed and replayed`;
    tell(`${name} went from process ${from} to ${to} in ${seconds} s: ${missed}.`);
  }

  client.addEventListener('state', () => {
    const isLive = client.state === 'live';
    if (isLive && gap) gap.until = Date.now();
    else if (!isLive && gap?.until !== 0) gap = { since: Date.now(), until: 0, replayed: 0 };
    update();
  });
  client.addEventListener('replay', () => {
    if (gap) gap.replayed++;
  });
  client.addEventListener('frame', ({ detail: { message } }) => {
    if (message?.type === 'session.ready') sessionId = message.object.session_id;
  });
  return (now) => {
    table = now;
    update();
  };
}
