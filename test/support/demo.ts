// The demo's servers as processes of their own, and its page by what a person does with it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, Locator, Page } from 'playwright-core';
import { expect } from 'vitest';

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const waitMs = 8_000;

export interface Demo {
  readonly url: string;
  /** Resolves to the exit code. */
  stop(): Promise<number | null>;
}

const running = new Set<ChildProcess>();

/** Ends what a test that failed has left running. */
export function killDemos(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts a server of `examples/demo`, on a free port unless `env` names one; resolves when it printed its address. */
export async function startDemo(file: string, env: Record<string, string> = {}): Promise<Demo> {
  if (!existsSync(fromHere('../../dist/src/index.js'))) throw new Error('the demo runs on dist: `npm run build` first');
  const child = spawn(process.execPath, [fromHere(`../../examples/demo/${file}`)], {
    env: { ...process.env, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = once(child, 'exit').then(([code]: unknown[]) => {
    running.delete(child);
    return code as number | null;
  });
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const address = /http:\/\/localhost:\d+/.exec(output);
      if (address) resolve(address[0]);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void exited.then((code) => reject(new Error(`${file} ended with ${code}: ${output}`)));
  });
  return {
    url,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

/** Notes what must not happen on any page of this context: errors, and requests to anyone but the demo's server. */
export function watch(context: BrowserContext, url: string): string[] {
  const problems: string[] = [];
  context.on('page', (page) => {
    page.on('pageerror', (error) => problems.push(`threw: ${error.message}`));
    page.on('console', (line) => {
      if (line.type() === 'error' || line.type() === 'warning') problems.push(`console: ${line.text()}`);
    });
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host !== new URL(url).host) {
        problems.push(`fetched from outside: ${request.url()}`);
      }
    });
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).host !== new URL(url).host) problems.push(`connected to outside: ${socket.url()}`);
      if (/token/.test(socket.url())) problems.push('the token is in an address');
    });
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

  frames(type: string, direction = 'in'): Locator {
    return this.root.locator(`.frame[data-direction=${direction}][data-type="${type}"]`);
  }
}

export const sees = (locator: Locator): Promise<void> => locator.first().waitFor({ timeout: waitMs });
export const seesNoMore = (locator: Locator): Promise<void> =>
  locator.first().waitFor({ state: 'detached', timeout: waitMs });
/** No part of the page lies beside the screen. */
export const fitsTheWidth = (page: Page): Promise<boolean> =>
  page.evaluate<boolean>('document.documentElement.scrollWidth <= document.documentElement.clientWidth');
