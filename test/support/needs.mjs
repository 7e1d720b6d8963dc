// @ts-check
// What tests need beyond npm. `npm test` calls `provide` before the first test: found on this machine, else installed
// or unpacked where that is allowed, else a line that says how to get it. A test never skips for want of one.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** @typedef {'debian' | 'ubuntu' | 'macos' | 'other'} System */

/**
 * @typedef {object} Need
 * @property {string} what What it is, for the line that says that it is missing.
 * @property {readonly string[]} programs Names on the PATH, or absolute paths; the first that runs is taken.
 * @property {Partial<Record<System, readonly string[]>>} [install] The shell commands that install it, run as root.
 * @property {readonly string[]} [packages] On Debian and Ubuntu: the packages that hold it, which are unpacked into a folder
 *   of ours. That needs no root, and starts no service.
 * @property {Partial<Record<System, string>>} advice What a person types on a system that we do not install on.
 */

const SERVICES = fileURLToPath(new URL('../../.cache/services', import.meta.url));

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
  'redis-server': {
    what: 'a Redis server, 7 or later',
    programs: ['redis-server'],
    packages: ['redis-server', 'redis-tools'],
    advice: { macos: 'brew install redis', other: "your system's packages, or https://redis.io/docs" },
  },
  'redis-cli': {
    what: "Redis' command line",
    programs: ['redis-cli'],
    packages: ['redis-tools'],
    advice: { macos: 'brew install redis', other: "your system's packages, or https://redis.io/docs" },
  },
  'nats-server': {
    what: 'a NATS server, 2.9 or later',
    programs: ['nats-server'],
    packages: ['nats-server'],
    advice: { macos: 'brew install nats-server', other: "your system's packages, or https://docs.nats.io" },
  },
  openssl: {
    what: 'the openssl command',
    programs: ['openssl'],
    packages: ['openssl'],
    advice: { macos: 'brew install openssl', other: "your system's packages" },
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
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter).filter(Boolean),
    // Where Debian keeps servers; not on everybody's PATH.
    '/usr/local/sbin',
    '/usr/sbin',
    join(SERVICES, 'usr/bin'),
    join(SERVICES, 'usr/sbin'),
  ];
  for (const program of NEEDS[name].programs) {
    const candidates = program.startsWith('/') ? [program] : folders.map((folder) => join(folder, program));
    const found = candidates.find(runnable);
    // On Ubuntu this file only asks for the snap.
    if (found && !(program === 'chromium-browser' && readFileSync(found).includes('/snap/bin/chromium'))) return found;
  }
  return null;
}

/**
 * How to run a program: its path, and the environment that it needs there.
 * @param {keyof typeof NEEDS} name
 * @returns {{ path: string, env: NodeJS.ProcessEnv }}
 * @throws Error when it is not on this machine.
 */
export function program(name) {
  const path = find(name);
  if (!path) throw new Error(`no ${name} on this machine: run \`npm test\` once, which gets it or says how`);
  if (!path.startsWith(SERVICES)) return { path, env: process.env };
  const folder = join(SERVICES, 'usr/lib');
  const libraries = readdirSync(folder).filter((name) => name.includes('-linux-'));
  return {
    path,
    env: { ...process.env, LD_LIBRARY_PATH: libraries.map((name) => join(folder, name)).join(delimiter) },
  };
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

/** @param {System} here */
function isDebian(here) {
  return here === 'debian' || here === 'ubuntu';
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
 * Runs one command and returns its output; null when it failed.
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: SERVICES, encoding: 'utf8' });
  if (status !== 0) process.stderr.write(String(stderr));
  return status === 0 ? stdout : null;
}

/**
 * Unpacks packages, and those of their dependencies that this system lacks, into our own folder.
 * @param {readonly string[]} packages
 */
function unpack(packages) {
  mkdirSync(SERVICES, { recursive: true });
  const plan = run('apt-get', ['install', '--simulate', '--no-install-recommends', ...packages]);
  if (plan === null) return false;
  const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => String(match[1]));
  if (run('apt-get', ['download', ...new Set([...packages, ...missing])]) === null) return false;
  return readdirSync(SERVICES)
    .filter((file) => file.endsWith('.deb'))
    .every((file) => {
      const unpacked = run('dpkg-deb', ['--extract', file, '.']) !== null;
      rmSync(join(SERVICES, file));
      return unpacked;
    });
}

/**
 * Gets what is not there, where that is allowed.
 * @param {Need} need
 * @param {System} here
 */
function get({ packages, install }, here) {
  if (!packages) return install?.[here]?.every(runAsRoot) ?? false;
  // A fresh system has no lists of packages yet.
  return isDebian(here) && (unpack(packages) || (runAsRoot('apt-get update') && unpack(packages)));
}

/**
 * What a person types to get it.
 * @param {Need} need
 * @param {System} here
 */
function adviceOn({ packages, install, advice }, here) {
  if (packages && isDebian(here)) return `(as root) apt-get update && apt-get install -y ${packages.join(' ')}`;
  const commands = install?.[here];
  return commands ? `(as root) ${commands.join(' && ')}` : (advice[here] ?? advice.other);
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
    const found = find(name) ?? (get(need, here) ? find(name) : null);
    console.log(
      found ? `${name}: ${found}` : `${name}: the tests need ${need.what}; get it with: ${adviceOn(need, here)}`,
    );
    complete &&= found !== null;
  }
  return complete;
}
