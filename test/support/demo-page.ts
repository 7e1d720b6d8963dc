// The demo's page by what a person does with it.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { expect } from 'vitest';
import { type Demo, startDemo } from './demo.ts';

const waitMs = 15_000;

/** A token, as it is and as a subprotocol carries it. */
const TOKEN = /access_token|eyJ|ZXlK/;

/**
 * Notes what must not happen on any page of this context: errors, requests to anyone but the demo's server, and a token in
 * an address.
 */
export function watch(context: BrowserContext, url: string): string[] {
  const problems: string[] = [];
  context.on('page', (page) => {
    page.on('pageerror', (error) => problems.push(`threw: ${error.message}`));
    page.on('console', (line) => {
      if (line.type() === 'error' || line.type() === 'warning') problems.push(`console: ${line.text()}`);
    });
    const check = (address: string): void => {
      if (!/^(data|blob):/.test(address) && new URL(address).host !== new URL(url).host) {
        problems.push(`called outside: ${address}`);
      }
      if (TOKEN.test(address)) problems.push('a token is in an address');
    };
    page.on('request', (request) => check(request.url()));
    page.on('websocket', (socket) => check(socket.url()));
  });
  return problems;
}

/** One person's pane. */
export class PersonPane {
  readonly root: Locator;

  constructor(page: Page, personId: string) {
    this.root = page.locator(`#pane-${personId}`);
  }

  async isLive(): Promise<void> {
    await this.root.and(this.root.page().locator('[data-state=live]')).waitFor({ timeout: waitMs });
    await this.item(/./).first().waitFor({ timeout: waitMs });
  }

  /** What is said about the connection. */
  get status(): Locator {
    return this.root.locator('.status-text');
  }

  async choose(transport: string): Promise<void> {
    await this.root.locator('.status').click();
    await this.root.locator('.menu-item', { hasText: transport }).click();
  }

  async cut(): Promise<void> {
    await this.root.getByRole('button', { name: 'Cut', exact: true }).click();
    await this.status.filter({ hasText: /^Cut off, retry in \d+ s$/ }).waitFor({ timeout: waitMs });
  }

  async reconnect(): Promise<void> {
    await this.root.getByRole('button', { name: 'Reconnect' }).click();
    await this.isLive();
  }

  item(title: string | RegExp): Locator {
    return this.root.locator('.box-item').filter({ hasText: title });
  }

  async open(title: string): Promise<void> {
    await this.item(title).click();
    await this.root.locator('.talk-title', { hasText: title }).waitFor({ timeout: waitMs });
  }

  async makeBox(title: string): Promise<void> {
    await this.root.getByRole('button', { name: 'New box' }).click();
    await this.root.getByLabel('Name').fill(title);
    await this.root.getByRole('button', { name: 'Make the box' }).click();
    await this.root.locator('.talk-title', { hasText: title }).waitFor({ timeout: waitMs });
  }

  async join(title: string): Promise<void> {
    await this.root.getByRole('button', { name: `Join ${title}` }).click();
    await this.root.locator('.talk-title', { hasText: title }).waitFor({ timeout: waitMs });
  }

  async write(text: string): Promise<void> {
    const field = this.root.getByLabel('Message', { exact: true });
    await field.fill(text);
    await field.press('Enter');
  }

  message(text: string): Locator {
    return this.root.locator('.message', { hasText: text });
  }

  /** The texts of the messages that are marked as missed at first, from the top. */
  async missed(): Promise<string[]> {
    return this.root.locator('.message.replayed .text').allTextContents();
  }

  happened(text: string): Locator {
    return this.root.locator('.happened', { hasText: text });
  }

  async act(text: string, action: 'Edit message' | 'Delete message'): Promise<void> {
    await this.message(text).hover();
    await this.message(text).getByRole('button', { name: action }).click();
  }

  async details(action?: string): Promise<void> {
    await this.root.locator('.members-button').click();
    if (action) await this.root.locator('.popover').getByRole('button', { name: action }).click();
  }

  async hasUnread(title: string, count: number): Promise<void> {
    const badge = this.item(title).locator('.badge');
    await expect.poll(() => badge.textContent(), { timeout: waitMs }).toBe(String(count));
    await expect
      .poll(() => badge.evaluate((element: { className: string }) => element.className))
      .toBe(count === 0 ? 'badge none' : 'badge');
  }

  /** Frames by the type of their event or message; a poll's answer is of type 200. */
  frames(type: string, direction = 'in'): Locator {
    return this.root.locator(`.frame[data-direction=${direction}][data-type="${type}"]`);
  }
}

export const sees = (locator: Locator): Promise<void> => locator.first().waitFor({ timeout: waitMs });
export const seesNoMore = (locator: Locator): Promise<void> =>
  locator.first().waitFor({ state: 'detached', timeout: waitMs });
/** No part of the page lies beside the screen, or beside its pane. */
export const fitsTheWidth = (page: Page): Promise<boolean> =>
  page.evaluate<boolean>(`[document.documentElement, ...document.querySelectorAll('.pane')].every(
    (element) => element.scrollWidth <= element.clientWidth,
  )`);

/** A server of the demo with its page open: Ada and Grace side by side. */
export class Stage {
  readonly demo: Demo;
  readonly context: BrowserContext;
  readonly page: Page;
  readonly problems: string[];
  readonly ada: PersonPane;
  readonly grace: PersonPane;
  #boxes = 0;

  private constructor(demo: Demo, context: BrowserContext, problems: string[], page: Page) {
    this.demo = demo;
    this.context = context;
    this.problems = problems;
    this.page = page;
    this.ada = new PersonPane(page, 'ada');
    this.grace = new PersonPane(page, 'grace');
  }

  static async open(browser: Browser, file: string, env?: Record<string, string>): Promise<Stage> {
    const demo = await startDemo(file, env);
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const problems = watch(context, demo.url);
    const stage = new Stage(demo, context, problems, await context.newPage());
    await stage.load();
    return stage;
  }

  /** Loads the page anew. */
  async load(): Promise<void> {
    await this.page.goto(this.demo.url);
    await Promise.all([this.ada.isLive(), this.grace.isLive()]);
  }

  /** Grace in another tab, which is in front then. */
  async otherTab(): Promise<{ tab: Page; grace: PersonPane }> {
    const tab = await this.context.newPage();
    await tab.goto(`${this.demo.url}/?person=grace`);
    const grace = new PersonPane(tab, 'grace');
    await grace.isLive();
    return { tab, grace };
  }

  /** A box of Ada's with Grace in it, open in both panes. */
  async sharedBox(): Promise<string> {
    const title = `Box ${String.fromCharCode(65 + this.#boxes++)}`;
    await this.ada.makeBox(title);
    await this.grace.join(title);
    await sees(this.ada.happened('Grace Hopper joined'));
    return title;
  }

  /** Closes the page and ends the server, which has to end well. */
  async close(): Promise<void> {
    await this.context.close();
    expect(await this.demo.stop(), 'exit code after SIGTERM').toBe(0);
  }
}

/** Takes a picture of the page for people to look at, where `SCREENSHOTS` is set. */
export async function shoot(page: Page, name: string): Promise<void> {
  if (!process.env.SCREENSHOTS) return;
  const folder = fileURLToPath(new URL('../../.cache/screenshots/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  await page.screenshot({
    path: `${folder}demo-${name.toLowerCase().replaceAll(' ', '-')}.png`,
    animations: 'disabled',
  });
}
