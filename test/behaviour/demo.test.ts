// The demo as a person sees it: its page in a real Chromium, against each of its servers.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { type Demo, fitsTheWidth, killDemos, PersonPane, sees, seesNoMore, startDemo, watch } from '../support/demo.ts';

const screenshots = fileURLToPath(new URL('../../.cache/screenshots/', import.meta.url));
/** A browser on a busy machine is slow, not wrong. */
const patient = { timeout: 30_000 };

let browser: Browser;

beforeAll(async () => {
  mkdirSync(screenshots, { recursive: true });
  browser = await launchBrowser();
});

afterAll(async () => {
  killDemos();
  await browser?.close();
});

describe.each([
  ['Express', 'server.js'],
  ['Koa', 'koa-server.js'],
])('the demo on %s', patient, (framework, file) => {
  let demo: Demo;
  let context: BrowserContext;
  let page: Page;
  let problems: string[];
  let ada: PersonPane;
  let grace: PersonPane;
  let boxes = 0;
  const shoot = (name: string, of: Page = page): Promise<Buffer> =>
    of.screenshot({ path: `${screenshots}demo-${framework.toLowerCase()}-${name}.png`, animations: 'disabled' });

  beforeAll(async () => {
    demo = await startDemo(file);
  });

  afterAll(async () => {
    expect(await demo.stop(), 'exit code after SIGTERM').toBe(0);
  });

  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    problems = watch(context, demo.url);
    page = await context.newPage();
    await page.goto(demo.url);
    ada = new PersonPane(page, 'ada');
    grace = new PersonPane(page, 'grace');
    await Promise.all([ada.isLive(), grace.isLive()]);
  });

  afterEach(async () => {
    await context.close();
    expect(problems).toEqual([]);
  });

  /** A box of Ada's with Grace in it, open in both panes. */
  async function sharedBox(): Promise<string> {
    const title = `Box ${++boxes}`;
    await ada.makeBox(title);
    await grace.join(title);
    await sees(ada.happened('Grace Hopper joined'));
    return title;
  }

  it('says which server it runs on, and shows two people who are both live', async () => {
    expect(await page.locator('#framework').textContent()).toBe(framework);
    expect(await page.title()).toContain('Ada and Grace');
    await sees(ada.message('Thursday works for me.'));
    await shoot('light');
    await page.getByRole('button', { name: 'System theme' }).click();
    await page.getByRole('button', { name: 'Light theme' }).click();
    await sees(page.locator('html[data-theme=dark]'));
    await shoot('dark');
    await page.reload();
    await sees(page.getByRole('button', { name: 'Dark theme' }));
  });

  it('shows what one person writes in the pane of the other, and the frame that brought it', async () => {
    await sharedBox();
    await ada.write('Hello, Grace ✓ <b>not bold</b>');
    await sees(grace.message('Hello, Grace ✓ <b>not bold</b>'));
    await grace.write('Hello, Ada');
    await sees(ada.message('Hello, Ada'));

    const frame = grace.frames('msg.text').first();
    await frame.locator('summary').click();
    await sees(frame.locator('pre .json-key'));
    const json: unknown = JSON.parse((await frame.locator('pre').textContent()) ?? '');
    expect(json).toMatchObject({
      type: 'event.new',
      object: {
        type: 'msg.text',
        sender: { id: 'ada', display_name: 'Ada Lovelace' },
        content: { encrypted: Buffer.from('Hello, Grace ✓ <b>not bold</b>').toString('base64') },
      },
    });
    expect(await page.locator('.frames').allTextContents()).not.toContain('eyJ');
    await sees(grace.frames('ack', 'out'));
    await shoot('frames');
  });

  it('counts what is unread, and falls to 0 in every tab of the person who read it', async () => {
    const title = await sharedBox();
    await grace.open('Design review');
    const tab = await context.newPage();
    await tab.goto(`${demo.url}/?person=grace`);
    const graceElsewhere = new PersonPane(tab, 'grace');
    await graceElsewhere.isLive();
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
    await shoot('unread');

    await grace.open(title);
    await grace.hasUnread(title, 0);
    await graceElsewhere.hasUnread(title, 0);
    await sees(graceElsewhere.frames('ack'));
    await shoot('second-tab', tab);

    await tab.reload();
    await graceElsewhere.isLive();
    await graceElsewhere.hasUnread(title, 0);
  });

  it('edits and deletes a message in both panes', async () => {
    await sharedBox();
    await ada.write('A mitsake');
    await sees(grace.message('A mitsake'));
    await ada.act('A mitsake', 'Edit message');
    await ada.root.locator('.editor textarea').fill('A mistake');
    await shoot('edit');
    await ada.root.getByRole('button', { name: 'Save' }).click();
    await sees(grace.message('A mistake').filter({ hasText: 'edited' }));
    await sees(ada.message('A mistake').filter({ hasText: 'edited' }));
    expect(await grace.message('A mistake').getByRole('button', { name: 'Edit message' }).count()).toBe(0);

    await ada.act('A mistake', 'Delete message');
    await sees(grace.message('Message deleted'));
    await sees(ada.message('Message deleted'));
    expect(await grace.message('A mistake').count()).toBe(0);
  });

  it('follows who joins, leaves and is removed, and who may join', async () => {
    const title = await sharedBox();
    await grace.details('Leave the box');
    await sees(ada.happened('Grace Hopper left'));
    await seesNoMore(grace.item(title));

    await grace.join(title);
    await ada.details('Remove Grace Hopper');
    await sees(page.locator('.toast', { hasText: `Ada removed you from “${title}”` }));
    await seesNoMore(grace.item(title));
    await sees(ada.happened('Ada Lovelace removed Grace Hopper'));
    await sees(grace.frames('member.kick'));
    await page.keyboard.press('Escape');

    await ada.details('Limited');
    await sees(ada.happened('Ada Lovelace made the box limited'));
    await seesNoMore(grace.root.getByRole('button', { name: `Join ${title}` }));
    await ada.root.locator('.popover').getByRole('button', { name: 'Public' }).click();
    await sees(grace.root.getByRole('button', { name: `Join ${title}` }));
  });

  it('takes a deleted box away from everyone', async () => {
    const title = await sharedBox();
    await ada.details('Delete the box');
    await ada.root.getByRole('button', { name: 'Delete it for everyone?' }).click();
    await sees(page.locator('.toast', { hasText: `Ada deleted “${title}”` }));
    await seesNoMore(grace.item(title));
    await seesNoMore(ada.item(title));
    await sees(grace.frames('box.delete'));
  });

  it('shows after a cut what was missed, and counts it', async () => {
    const title = await sharedBox();
    await grace.open('Design review');
    await grace.root.getByRole('button', { name: 'Cut' }).click();
    await sees(grace.root.getByText('Cut off'));
    await ada.write('You cannot see this yet');
    await ada.write('Nor this');
    await sees(ada.message('Nor this'));
    await grace.hasUnread(title, 0);
    await shoot('cut');

    await grace.root.getByRole('button', { name: 'Reconnect' }).click();
    await grace.isLive();
    await grace.hasUnread(title, 2);
    await grace.open(title);
    await sees(grace.message('Nor this'));
    await grace.hasUnread(title, 0);
    await ada.write('And live again');
    await sees(grace.message('And live again'));
  });

  it('keeps what could not be sent, and says why', async () => {
    await sharedBox();
    await page.route('**/messages', (route) =>
      route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"Not now."}' }),
    );
    await ada.write('Do not lose me');
    await sees(page.getByRole('alert').filter({ hasText: 'Not now.' }));
    await expect.poll(() => ada.root.getByLabel('Message', { exact: true }).inputValue()).toBe('Do not lose me');
    await shoot('error');
    expect(problems.splice(0)).toEqual([expect.stringContaining('503')]);
  });

  it('fits a phone: one person at a time, the list or a box', async () => {
    const title = await sharedBox();
    const phoneContext = await browser.newContext({
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    });
    const phoneProblems = watch(phoneContext, demo.url);
    const phone = await phoneContext.newPage();
    await phone.goto(demo.url);
    const onPhone = { ada: new PersonPane(phone, 'ada'), grace: new PersonPane(phone, 'grace') };
    await onPhone.ada.isLive();
    expect(await onPhone.grace.root.isVisible()).toBe(false);
    await shoot('phone-list', phone);
    await onPhone.ada.open(title);
    await onPhone.ada.write(`From the phone, ${'with-a-word-that-does-not-break-'.repeat(4)}`);
    await sees(grace.message('From the phone'));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot('phone-box', phone);
    await onPhone.ada.details();
    await sees(onPhone.ada.root.getByRole('button', { name: 'Remove Grace Hopper' }));
    expect(await fitsTheWidth(phone)).toBe(true);
    await shoot('phone-details', phone);
    await phone.keyboard.press('Escape');
    await onPhone.ada.root.getByRole('button', { name: 'Back to the boxes' }).click();
    await phone.getByRole('tab', { name: 'Grace' }).click();
    await sees(onPhone.grace.item('Design review'));
    await phoneContext.close();
    expect(phoneProblems).toEqual([]);
  });
});

describe('the demo over time', patient, () => {
  it('opens a new session before its token ends, and misses nothing', async () => {
    const demo = await startDemo('server.js', { TOKEN_SECONDS: '4' });
    const page = await browser.newPage();
    await page.goto(demo.url);
    const ada = new PersonPane(page, 'ada');
    const grace = new PersonPane(page, 'grace');
    await Promise.all([ada.isLive(), grace.isLive()]);
    await grace.open('Launch plan');
    await ada.write('With the first token');
    await sees(grace.root.locator('.frame.note', { hasText: 'its token ends soon' }));
    expect(await grace.root.locator('.frame.note', { hasText: '4401' }).count()).toBe(0);
    await sees(grace.message('With the first token'));
    await ada.write('With the second');
    await sees(grace.message('With the second'));
    await page.close();
    expect(await demo.stop()).toBe(0);
  });

  it('comes back by itself when the server does', async () => {
    const first = await startDemo('server.js');
    const page = await browser.newPage();
    await page.goto(first.url);
    const ada = new PersonPane(page, 'ada');
    await ada.isLive();
    expect(await first.stop()).toBe(0);
    await sees(ada.root.getByText(/^Reconnecting in \d+ s$/));
    await sees(ada.root.locator('.frame.note', { hasText: '1012' }));
    const second = await startDemo('server.js', { PORT: new URL(first.url).port });
    await ada.isLive();
    await ada.open('Launch plan');
    await ada.write('Still here');
    await sees(ada.message('Still here'));
    await page.close();
    expect(await second.stop()).toBe(0);
  });
});
