// A panel under its button. The browser closes it (Escape, a click elsewhere) and moves it above everything else.

import { h } from './dom.js';

const gapPx = 6;
const marginPx = 8;

/** Gives `button` a panel; `fill` returns its content each time that it opens, and `close` takes it away. */
export function popover(button, label, fill) {
  const panel = h('div', { class: 'popover', popover: 'auto', role: 'dialog', 'aria-label': label });
  button.setAttribute('aria-haspopup', 'dialog');
  button.setAttribute('aria-expanded', 'false');
  button.after(panel);
  button.popoverTargetElement = panel;

  panel.addEventListener('beforetoggle', ({ newState }) => {
    if (newState === 'open') panel.replaceChildren(fill());
  });
  panel.addEventListener('toggle', ({ newState }) => {
    button.setAttribute('aria-expanded', String(newState === 'open'));
    if (newState !== 'open') return panel.replaceChildren();
    place();
    panel.querySelector('[autofocus]')?.focus();
  });
  addEventListener('resize', () => panel.matches(':popover-open') && place());

  function place() {
    const anchor = button.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const left = Math.min(anchor.left, clientWidth - panel.offsetWidth - marginPx);
    const top = Math.min(anchor.bottom + gapPx, clientHeight - panel.offsetHeight - marginPx);
    panel.style.left = `${Math.max(marginPx, left)}px`;
    panel.style.top = `${Math.max(marginPx, top)}px`;
  }

  return {
    close: () => panel.hidePopover(),
    /** What is shown has changed. */
    refresh() {
      if (!panel.matches(':popover-open')) return;
      panel.replaceChildren(fill());
      if (!panel.contains(document.activeElement)) button.focus();
    },
  };
}
