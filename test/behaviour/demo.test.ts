// The demo as a person sees it: its page in a real Chromium, against each of its servers.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { killDemos } from '../support/demo.ts';
import { type PersonPane, Stage, sees, seesNoMore, shoot } from '../support/demo-page.ts';

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

describe.each([
  ['Express', 'server.js'],
  ['Koa', 'koa-server.js'],
])('the demo on %s', patient, (framework, file) => {
  let stage: Stage;
  let page: Page;
  let ada: PersonPane;
  let grace: PersonPane;

  beforeAll(async () => {
    stage = await Stage.open(browser, file);
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

  it('says which server it runs on, and shows two people who are both live', async () => {
    expect(await page.locator('#framework').textContent()).toBe(framework);
    expect(await page.title()).toContain('Ada and Grace');
    await sees(ada.message('Thursday works for me.'));
    await shoot(page, `${framework} light`);
    await page.getByRole('button', { name: 'System theme' }).click();
    await page.getByRole('button', { name: 'Light theme' }).click();
    await sees(page.locator('html[data-theme=dark]'));
    await shoot(page, `${framework} dark`);
    await grace.root.locator('.status').click();
    await sees(grace.root.locator('.menu-item[aria-pressed=true]', { hasText: 'Automatic' }));
    await shoot(page, `${framework} dark-menu`);
    await page.reload();
    await page.getByRole('button', { name: 'Dark theme' }).click();
  });

  it('shows what one person writes in the pane of the other, and the frame that brought it', async () => {
    await stage.sharedBox();
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
    expect(await page.locator('body').innerText()).not.toMatch(/eyJ|ZXlK/);
    await sees(grace.frames('ack', 'out'));
    await shoot(page, `${framework} frames`);
  });

  it('edits and deletes a message in both panes', async () => {
    await stage.sharedBox();
    await ada.write('A mitsake');
    await sees(grace.message('A mitsake'));
    await ada.act('A mitsake', 'Edit message');
    await ada.root.locator('.editor textarea').fill('A mistake');
    await shoot(page, `${framework} edit`);
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
    const title = await stage.sharedBox();
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
    const title = await stage.sharedBox();
    await ada.details('Delete the box');
    await ada.root.getByRole('button', { name: 'Delete it for everyone?' }).click();
    await sees(page.locator('.toast', { hasText: `Ada deleted “${title}”` }));
    await seesNoMore(grace.item(title));
    await seesNoMore(ada.item(title));
    await sees(grace.frames('box.delete'));
  });

  it('works over each transport', async () => {
    const title = await stage.sharedBox();
    for (const choice of ['SSE', 'Long polling', 'WebSocket']) {
      await grace.choose(choice);
      await sees(grace.status.filter({ hasText: `Live over ${choice}` }));
      await ada.write(`by ${choice}`);
      await sees(grace.message(`by ${choice}`));
      await grace.hasUnread(title, 0);
    }
    await sees(grace.frames('GET', 'out').filter({ hasText: /\/sse\?cursor=/ }));
    await sees(grace.frames('GET', 'out').filter({ hasText: /\/messages\?cursor=/ }));
    await sees(grace.frames('POST', 'out').filter({ hasText: '/ack' }));
    await sees(grace.frames('open', 'note').filter({ hasText: /\/ws\?cursor=/ }));
    expect(await grace.missed()).toEqual([]);
  });
});
