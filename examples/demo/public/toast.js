// Short messages at the edge of the page: errors are announced at once, the rest when there is a pause.

import { h, iconButton } from './dom.js';

const shownForMs = 7_000;
const atMost = 4;

export function toast(text, { kind = 'info' } = {}) {
  const list = document.getElementById('toasts');
  // The same error from two panes is one piece of news.
  for (const old of list.children) if (old.dataset.text === text) old.remove();
  const close = () => element.remove();
  const element = h(
    'div',
    { class: `toast ${kind}`, role: kind === 'error' ? 'alert' : 'status', data: { text } },
    h('span', {}, text),
    iconButton('close', 'Dismiss', close),
  );
  list.append(element);
  while (list.children.length > atMost) list.firstElementChild.remove();
  setTimeout(close, shownForMs);
}
