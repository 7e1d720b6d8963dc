// The example of a cluster as two people see it: its page in a real Chromium, on three processes that end under them.

import { execFile } from 'node:child_process';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { killDemos, writeMany } from '../support/demo.ts';
import { fitsTheWidth, PersonPane, Stage, sees, shoot } from '../support/demo-page.ts';
import { program } from '../support/needs.mjs';

/** Four processes start, and a browser on a busy machine is slow, not wrong. */
const patient = { timeout: 120_000 };
const killCommand = fileURLToPath(new URL('../../examples/cluster/kill.js', import.meta.url));

interface Row {
  readonly number: number;
  readonly state: string;
  readonly pid: number | null;
  readonly requests: number;
}

/** The browser's own note about a request or a stream that ended with its process. */
const brokeOff = /^console: Failed to load resource: (net::|.* status of 502)/;

/** The example looks on the PATH; the tests may have a server of their own. */
function whereToFind(server: 'redis-server' | 'nats-server'): Record<string, string> {
  const { path, env } = program(server);
  const libraries = env.LD_LIBRARY_PATH;
  return {
    PATH: `${dirname(path)}${delimiter}${process.env.PATH}`,
    ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }),
  };
}

let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
});

afterAll(async () => {
  killDemos();
  await browser?.close();
});

describe.each([
  ['Redis', 'redis-server', {}],
  ['NATS', 'nats-server', { BROKER: 'nats' }],
] as const)('the cluster on %s', patient, (name, server, choice) => {
  let stage: Stage;
  let page: Page;
  let ada: PersonPane;
  let grace: PersonPane;

  const table = async (): Promise<Row[]> => (await fetch(`${stage.demo.url}/cluster/table`)).json() as Promise<Row[]>;

  beforeAll(async () => {
    stage = await Stage.open(browser, '../cluster/start.js', { ...whereToFind(server), ...choice });
    ({ page, ada, grace } = stage);
  });

  beforeEach(async () => {
    await expect
      .poll(async () => (await table()).map(({ state }) => state), { timeout: 30_000 })
      .toEqual(Array(3).fill('up'));
    await stage.load();
  });

  afterEach(() => {
    expect(stage.problems.splice(0).filter((problem) => !brokeOff.test(problem))).toEqual([]);
  });

  afterAll(async () => {
    await stage.close();
  });

  /** The number of the process that this person's connection is on. */
  const processOf = async (pane: PersonPane): Promise<number> => {
    const chip = pane.root.locator('.on-process');
    await sees(chip.filter({ hasText: /^Process \d$/ }));
    return Number((await chip.textContent())?.at(-1));
  };

  const end = async (...words: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, [killCommand, ...words], {
      env: { ...process.env, PORT: new URL(stage.demo.url).port },
    });
    return stdout;
  };

  const drain = (number: number): Promise<void> =>
    page.locator(`.process[data-process="${number}"]`).getByRole('button', { name: 'Drain' }).click();

  /** Grace's badge of this box is exact. */
  const hasUnread = async (title: string, count: number): Promise<void> => {
    if (name === 'Redis') return grace.hasUnread(title, count);
    // Counts beside the broker follow the stream: those that a session starts with are exact when all is counted.
    const { tab, grace: graceElsewhere } = await stage.otherTab();
    await graceElsewhere.hasUnread(title, count);
    await tab.close();
    await page.bringToFront();
  };

  /** Grace reads another box, and goes on to another process by `ending`, while Ada writes. */
  const writeAcross = async (ending: () => Promise<unknown>): Promise<void> => {
    const title = await stage.sharedBox();
    await grace.open('Design review');
    await page.evaluate('window.isTheSamePage = true');
    for (const text of ['one', 'two', 'three']) await ada.write(text);
    await grace.hasUnread(title, 3);
    const ended = ending();
    for (const text of ['four', 'five', 'six', 'seven']) await ada.write(text);
    await ended;
    await ada.write('eight');
    await sees(ada.message('eight'));
    await grace.isLive();
    await hasUnread(title, 8);
    await ada.hasUnread(title, 0);
    await grace.open(title);
    await grace.hasUnread(title, 0);
    const texts = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'];
    for (const pane of [grace, ada]) {
      await sees(pane.message('eight'));
      expect(await pane.root.locator('.timeline .text').allTextContents()).toEqual(texts);
    }
    await ada.write('and live again');
    await sees(grace.message('and live again'));
    expect(await page.evaluate('window.isTheSamePage'), 'the page was not loaded again').toBe(true);
    expect(await page.locator('.toast').allTextContents(), 'nobody was told of an error or a reset').toEqual([]);
    expect(await page.locator('.frame', { hasText: 'reset' }).count()).toBe(0);
  };

  it('shows the processes, and on which of them each person is', async () => {
    expect(await page.locator('#framework').textContent()).toBe(`3 × Express · ${name}`);
    await sees(ada.message('Thursday works for me.'));
    for (const [person, pane] of Object.entries({ ada, grace })) {
      const number = await processOf(pane);
      await sees(page.locator(`.process[data-process="${number}"] .avatar[data-person=${person}]`));
    }
    for (const { requests } of await table()) expect(requests, 'every process got its share').toBeGreaterThan(0);
    await shoot(page, `cluster ${name} light`);
  });

  it('fits a phone', async () => {
    const phone = await browser.newPage({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await phone.goto(stage.demo.url);
    await new PersonPane(phone, 'ada').isLive();
    await sees(phone.locator('#pane-ada .on-process').filter({ hasText: /^Process \d$/ }));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot(phone, `cluster ${name} phone`);
    await phone.close();
  });

  it('loses nothing and resets nobody when the process that serves a person is killed', async () => {
    const number = await processOf(grace);
    const pid = (await table())[number - 1]?.pid;
    await writeAcross(() => end(String(number)));
    expect(await processOf(grace)).not.toBe(number);
    await sees(grace.frames('session.ready').filter({ hasText: 'resumed: true' }));
    await sees(page.locator('.process-news', { hasText: /^Grace went from process \d to \d in \d+\.\d s: / }));
    await page.emulateMedia({ colorScheme: 'dark' });
    await shoot(page, `cluster ${name} killed dark`);
    await page.emulateMedia({ colorScheme: 'light' });
    await sees(page.locator(`.process[data-process="${number}"][data-state=up]`));
    expect((await table())[number - 1]?.pid).not.toBe(pid);
  });

  it('hands over in order when that process drains', async () => {
    const number = await processOf(grace);
    // By command: a click would take the field's focus while Ada writes.
    await writeAcross(() => end(String(number), 'drain'));
    await sees(grace.frames('session.closing').filter({ hasText: '1012' }));
    await sees(grace.frames('session.ready').filter({ hasText: 'resumed: true' }));
    expect(await processOf(grace)).not.toBe(number);
  });

  it('fails no request while a process drains', async () => {
    const title = await stage.sharedBox();
    await grace.open('Design review');
    await Promise.all([drain(await processOf(grace)), writeMany(stage.demo.url, 'ada', title, 90)]);
    await grace.isLive();
    await hasUnread(title, 90);
  });

  it.each(['SSE', 'Long polling'])('does so over %s, too', async (choice) => {
    await grace.choose(choice);
    await sees(grace.status.filter({ hasText: `Live over ${choice}` }));
    await writeAcross(() => end());
  });
});
