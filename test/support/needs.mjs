// @ts-check
// What tests need beyond npm. `npm test` calls `provide` before the first test: found on this machine, else installed
// where that is allowed, else a line that says how to get it. A test never skips for want of one.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

/** @typedef {'debian' | 'ubuntu' | 'macos' | 'other'} System */

/**
 * @typedef {object} Need
 * @property {string} what What it is, for the line that says that it is missing.
 * @property {readonly string[]} programs Names on the PATH, or absolute paths; the first that runs is taken.
 * @property {Partial<Record<System, readonly string[]>>} install The shell commands that install it, run as root.
 * @property {Partial<Record<System, string>>} advice What a person types on a system that we do not install on.
 */

const playwrightInstall = 'npx playwright-core install --with-deps chromium';

/** @satisfies {Record<string, Need>} */
export const NEEDS = {
  chromium: {
    what: 'a Chromium or Chrome browser',
    programs: [
      'chromium',
      'chromium-browser',
      'google-chrome',
      chromium.executablePath(),
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
    ],
    install: {
      debian: ['apt-get update', 'apt-get install -y --no-install-recommends chromium'],
      // Ubuntu's own package is a snap, which has no access to the profile folder that a test gives it.
      ubuntu: [playwrightInstall],
    },
    advice: { macos: 'brew install --cask google-chrome', other: playwrightInstall },
  },
};

/** @param {string} file */
function runnable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The path of a program that satisfies the need, or null.
 * @param {keyof typeof NEEDS} name
 * @returns {string | null}
 */
export function find(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const program of NEEDS[name].programs) {
    const candidates = program.startsWith('/') ? [program] : folders.map((folder) => join(folder, program));
    const found = candidates.find(runnable);
    // On Ubuntu this file only asks for the snap.
    if (found && !(program === 'chromium-browser' && readFileSync(found).includes('/snap/bin/chromium'))) return found;
  }
  return null;
}

/** @returns {System} */
function system() {
  if (process.platform === 'darwin') return 'macos';
  try {
    const release = readFileSync('/etc/os-release', 'utf8');
    const ids = [...release.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].flatMap((match) => String(match[1]).split(' '));
    return ids.includes('ubuntu') ? 'ubuntu' : ids.includes('debian') ? 'debian' : 'other';
  } catch {
    return 'other';
  }
}

/**
 * Runs one command as root, its output shown; false when it failed or we may not.
 * @param {string} command
 */
function runAsRoot(command) {
  const root = process.getuid?.() === 0;
  const words = command.split(' ');
  const [program, ...args] = root ? words : ['sudo', '-n', 'env', `PATH=${process.env.PATH}`, ...words];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(String(program), args, { stdio: ['ignore', 'inherit', 'inherit'], env }).status === 0;
}

/**
 * Makes sure that every need is there; says for each where it is, or how to get it.
 * @returns {boolean} whether all of them are
 */
export function provide() {
  const here = system();
  let complete = true;
  for (const name of /** @type {(keyof typeof NEEDS)[]} */ (Object.keys(NEEDS))) {
    /** @type {Need} */
    const need = NEEDS[name];
    const commands = need.install[here];
    const found = find(name) ?? (commands?.every(runAsRoot) ? find(name) : null);
    const advice = commands ? `(as root) ${commands.join(' && ')}` : (need.advice[here] ?? need.advice.other);
    console.log(found ? `${name}: ${found}` : `${name}: the tests need ${need.what}; get it with: ${advice}`);
    complete &&= found !== null;
  }
  return complete;
}
