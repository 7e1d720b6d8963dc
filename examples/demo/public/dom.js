// Making and updating elements. Text is always set as text, so nothing that a person writes becomes markup.

/** An element: `on` holds listeners, `class` and `data` what they say, every other key is an attribute. */
export function h(tag, { on = {}, data = {}, class: className, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  element.append(...children.filter((child) => child != null));
  return element;
}

/**
 * Makes the children of `parent` those of `items`, by key. Elements that stay are neither moved nor made anew: focus,
 * selection and scroll position survive.
 */
export function keyed(parent, items, { key, create, update }) {
  const wanted = new Set(items.map(key));
  for (const child of [...parent.children]) if (!wanted.has(child.dataset.key)) child.remove();
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    let child = present.get(key(item));
    if (!child) {
      child = create(item);
      child.dataset.key = key(item);
    }
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
    update(child, item);
  }
}

const paths = {
  plus: 'M12 5v14M5 12h14',
  back: 'M15 18l-6-6 6-6',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4',
  trash: 'M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5M14 11v5',
  send: 'M5 12h13M12 5l7 7-7 7',
  tab: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
  public: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3.5 9h17M3.5 15h17M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  limited: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  cut: 'M9 7V3M15 7V3M7 7h10v3a5 5 0 0 1-10 0zM12 15v6',
  frames: 'M5 7l5 5-5 5M12 17h7',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  more: 'M7 10l5 5 5-5',
  check: 'M5 13l4.5 4.5L19 8',
};

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', paths[name]);
  svg.append(path);
  return svg;
}

export function avatar(person, size = '') {
  const initials = person.display_name
    .split(/\s+/)
    .map((word) => word[0])
    .slice(0, 2)
    .join('');
  return h('span', { class: `avatar ${size}`, data: { person: person.id }, 'aria-hidden': 'true' }, initials);
}

/** A button that is an icon; `label` is its name for everyone who does not see it. */
export function iconButton(name, label, onClick, attributes = {}) {
  return h(
    'button',
    { type: 'button', class: 'icon-button', 'aria-label': label, title: label, on: { click: onClick }, ...attributes },
    icon(name),
  );
}
