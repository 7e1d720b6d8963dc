// Light, dark, or as the system has it. Not a module: it runs before the first paint, so that nothing flashes.

(() => {
  const names = { auto: 'System theme', light: 'Light theme', dark: 'Dark theme' };
  const order = Object.keys(names);
  const read = () => {
    try {
      return localStorage.getItem('theme') ?? 'auto';
    } catch {
      return 'auto'; // storage can be switched off
    }
  };
  let theme = order.includes(read()) ? read() : 'auto';

  const show = () => {
    document.documentElement.dataset.theme = theme;
    const name = document.querySelector('#theme span');
    if (name) name.textContent = names[theme];
  };
  show();

  document.addEventListener('DOMContentLoaded', () => {
    show();
    document.getElementById('theme').addEventListener('click', () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try {
        localStorage.setItem('theme', theme);
      } catch {
        // Then it lasts as long as the page.
      }
      show();
    });
  });
})();
