// The demo's page where it does not matter what it runs on: tabs, phones, and what happens over time.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { killDemos, startDemo, writeMany } from '../support/demo.ts';
import { fitsTheWidth, PersonPane, Stage, sees, shoot, watch } from '../support/demo-page.ts';
import { freePort } from '../support/servers/free-port.ts';

/** A browser on a busy machine is slow, not wrong. */
const patient = { timeout: 90_000 };

let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
});

afterAll(async () => {
  killDemos();
  await browser?.close();
});

describe('the page of the demo', patient, () => {
  let stage: Stage;
  let page: Page;
  let ada: PersonPane;
  let grace: PersonPane;

  beforeAll(async () => {
    stage = await Stage.open(browser, 'server.js');
    ({ page, ada, grace } = stage);
  });

  beforeEach(async () => {
    await stage.load();
  });

  afterEach(() => {
    expect(stage.problems.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await stage.close();
  });

  it('counts what is unread, and falls to 0 in every tab of the person who read it', async () => {
    const title = await stage.sharedBox();
    await grace.open('Design review');
    const { tab, grace: graceElsewhere } = await stage.otherTab();
    await graceElsewhere.open('Design review');
    await graceElsewhere.hasUnread(title, 0);
    await page.bringToFront();

    for (const text of ['one', 'two', 'three']) await ada.write(text);
    await grace.hasUnread(title, 3);
    await graceElsewhere.hasUnread(title, 3);
    await ada.hasUnread(title, 0);
    await ada.act('three', 'Delete message');
    await sees(grace.frames('msg.delete'));
    await grace.hasUnread(title, 3);
    await shoot(page, 'unread');

    await grace.open(title);
    await grace.hasUnread(title, 0);
    await graceElsewhere.hasUnread(title, 0);
    await sees(graceElsewhere.frames('ack'));
    await shoot(tab, 'second-tab');

    await tab.reload();
    await graceElsewhere.isLive();
    await graceElsewhere.hasUnread(title, 0);
    await tab.close();
  });

  it('replays after a cut what was missed, once, in order and marked', async () => {
    const title = await stage.sharedBox();
    await ada.write('Before the cut');
    await sees(grace.message('Before the cut'));
    await grace.cut();
    for (const text of ['first', 'second', 'third']) await ada.write(text);
    await ada.act('second', 'Edit message');
    await ada.root.locator('.editor textarea').fill('second, edited');
    await ada.root.getByRole('button', { name: 'Save' }).click();
    await sees(ada.message('second, edited'));
    expect(await grace.message('first').count()).toBe(0);
    await shoot(page, 'cut');

    await grace.write('From nowhere');
    const alert = page.getByRole('alert').filter({ hasText: 'The server cannot be reached.' });
    await sees(alert);
    await expect.poll(() => grace.root.getByLabel('Message', { exact: true }).inputValue()).toBe('From nowhere');
    await alert.getByRole('button', { name: 'Dismiss' }).click();

    await grace.reconnect();
    await sees(grace.message('third'));
    await sees(grace.message('second, edited'));
    await ada.write('And live again');
    await sees(grace.message('And live again'));
    expect(await grace.missed()).toEqual(['first', 'second, edited', 'third']);
    expect(await grace.root.locator('.replay-mark').allTextContents()).toEqual(['Arrived while you were away']);
    const texts = await grace.root.locator('.timeline .text').allTextContents();
    expect(texts).toEqual(['Before the cut', 'first', 'second, edited', 'third', 'And live again']);
    await grace.hasUnread(title, 0);

    await sees(grace.frames('session.ready').filter({ hasText: 'resumed: true, replays up to' }));
    expect(await grace.frames('msg.text').filter({ hasText: 'replayed' }).count()).toBe(3);
    expect(await grace.frames('msg.edit').filter({ hasText: 'replayed' }).count()).toBe(1);
    const cursors = await grace.frames('msg.text').locator('.frame-cursor').allTextContents();
    expect(new Set(cursors).size, 'each message once').toBe(5);
    await shoot(page, 'replayed');
  });

  it('counts exactly over a cut, beside another tab of the same person that is not cut', async () => {
    const title = await stage.sharedBox();
    await grace.open('Design review');
    const { tab, grace: graceElsewhere } = await stage.otherTab();
    await graceElsewhere.open('Design review');
    await page.bringToFront();
    await ada.write('seen by both');
    await grace.hasUnread(title, 1);
    await grace.cut();
    for (const text of ['one', 'two']) await ada.write(text);
    await graceElsewhere.hasUnread(title, 3);
    await grace.hasUnread(title, 1);
    await grace.reconnect();
    await grace.hasUnread(title, 3);

    await grace.cut();
    await tab.bringToFront();
    await graceElsewhere.open(title);
    await graceElsewhere.hasUnread(title, 0);
    await graceElsewhere.open('Design review');
    await page.bringToFront();
    await ada.write('after it was read');
    await graceElsewhere.hasUnread(title, 1);
    await grace.reconnect();
    await grace.hasUnread(title, 1);
    await grace.open(title);
    await graceElsewhere.hasUnread(title, 0);
    await tab.close();
  });

  it.each(['SSE', 'Long polling'])('replays after a cut over %s, too', async (choice) => {
    const title = await stage.sharedBox();
    await grace.choose(choice);
    await sees(grace.status.filter({ hasText: `Live over ${choice}` }));
    await grace.cut();
    for (const text of ['first', 'second']) await ada.write(text);
    await sees(ada.message('second'));
    await grace.reconnect();
    await sees(grace.status.filter({ hasText: `Live over ${choice}` }));
    await sees(grace.message('second'));
    expect(await grace.missed()).toEqual(['first', 'second']);
    await sees(grace.root.locator('.frame.replayed'));
    await grace.hasUnread(title, 0);
    await shoot(page, `replayed over ${choice}`);
    await grace.choose('Automatic');
    await sees(grace.status.filter({ hasText: 'Live over WebSocket' }));
  });

  it('keeps what could not be sent, and says why', async () => {
    await stage.sharedBox();
    await page.route('**/api/**/messages', (route) =>
      route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"Not now."}' }),
    );
    await ada.write('Do not lose me');
    await sees(page.getByRole('alert').filter({ hasText: 'Not now.' }));
    await expect.poll(() => ada.root.getByLabel('Message', { exact: true }).inputValue()).toBe('Do not lose me');
    await shoot(page, 'error');
    expect(stage.problems.splice(0)).toEqual([expect.stringContaining('503')]);
    await page.unroute('**/api/**/messages');
  });

  it('fits a phone: one person at a time, the list or a box', async () => {
    const title = await stage.sharedBox();
    const phoneContext = await browser.newContext({
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    });
    const phoneProblems = watch(phoneContext, stage.demo.url);
    const phone = await phoneContext.newPage();
    await phone.goto(stage.demo.url);
    const onPhone = { ada: new PersonPane(phone, 'ada'), grace: new PersonPane(phone, 'grace') };
    await onPhone.ada.isLive();
    expect(await onPhone.grace.root.isVisible()).toBe(false);
    await shoot(phone, 'phone-list');
    await onPhone.ada.open(title);
    await onPhone.ada.write(`From the phone, ${'with-a-word-that-does-not-break-'.repeat(4)}`);
    await sees(grace.message('From the phone'));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot(phone, 'phone-box');
    await onPhone.ada.details();
    await sees(onPhone.ada.root.getByRole('button', { name: 'Remove Grace Hopper' }));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot(phone, 'phone-details');
    await phone.keyboard.press('Escape');
    await onPhone.ada.root.getByRole('button', { name: 'Back to the boxes' }).click();
    await onPhone.ada.cut();
    await onPhone.ada.root.getByRole('button', { name: 'Frames' }).click();
    await sees(onPhone.ada.frames('session.ready'));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot(phone, 'phone-cut');
    await onPhone.ada.reconnect();
    await onPhone.ada.choose('Long polling');
    await sees(onPhone.ada.status.filter({ hasText: 'Live over long polling' }));
    await phone.getByRole('tab', { name: 'Grace' }).click();
    await sees(onPhone.grace.item('Design review'));
    await phoneContext.close();
    expect(phoneProblems).toEqual([]);
  });

  it('loads everything again when too much was missed to replay it', async () => {
    const title = await stage.sharedBox();
    await grace.open('Design review');
    await grace.cut();
    await writeMany(stage.demo.url, 'ada', title, 110);
    await grace.reconnect();
    await sees(page.locator('.toast', { hasText: 'Grace: What was missed cannot be replayed' }));
    await sees(grace.frames('session.ready').filter({ hasText: 'resumed: false, reset: ' }));
    await expect.poll(() => grace.item(title).locator('.badge').textContent()).toBe('99+');
    await grace.open(title);
    await sees(grace.message('Number 110'));
    expect(await grace.missed()).toEqual([]);
    await grace.hasUnread(title, 0);
  });
});

describe('the demo over time', patient, () => {
  it('refreshes its tokens before they end, in the sessions that it has', async () => {
    // The server says that they end 60 seconds before.
    const stage = await Stage.open(browser, 'server.js', { TOKEN_SECONDS: '62' });
    const { page, ada, grace, problems } = stage;
    await ada.open('Launch plan');
    await grace.open('Launch plan');
    await sees(grace.frames('session.expiring'));
    await sees(grace.frames('session.refreshed'));
    const refresh = grace.frames('session.refresh', 'out').first();
    await refresh.locator('summary').click();
    await sees(refresh.locator('pre', { hasText: '(not shown)' }));
    expect(await page.locator('body').innerText()).not.toMatch(/eyJ|ZXlK/);
    await ada.write('With the second token');
    await sees(grace.message('With the second token'));
    expect(await grace.frames('open', 'note').count()).toBe(1);
    expect(problems).toEqual([]);
    await stage.close();
  });

  it('comes back by itself when the server does', async () => {
    const stage = await Stage.open(browser, 'server.js', { PORT: String(await freePort()) });
    const { page, ada } = stage;
    expect(await stage.demo.stop()).toBe(0);
    await sees(ada.status.filter({ hasText: /^Reconnecting in \d+ s$/ }));
    await sees(ada.frames('session.closing').filter({ hasText: '1012' }));
    const again = await startDemo('server.js', { PORT: new URL(stage.demo.url).port });
    await ada.isLive();
    await sees(page.locator('.toast', { hasText: 'Ada: What was missed cannot be replayed (epoch)' }));
    await ada.open('Launch plan');
    await ada.write('Still here');
    await sees(ada.message('Still here'));
    await stage.context.close();
    expect(await again.stop()).toBe(0);
  });
});
