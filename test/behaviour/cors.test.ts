// What a browser makes of the `cors` option: a page of one origin uses a usercast of another.

import { createServer, type Server } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { cleanUp, listen as listenUsercast, tokenFor } from '../support/fixture.ts';
import { listen, shut } from '../support/raw-client.ts';

let browser: Browser;
let pages: Server;
let origin: string;
let page: Page;

beforeAll(async () => {
  browser = await launchBrowser();
  pages = createServer((_req, res) => res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>page'));
  origin = `http://127.0.0.1:${await listen(pages)}`;
});

afterAll(async () => {
  await browser.close();
  await shut(pages);
});

afterEach(async () => {
  await page.close();
  await cleanUp();
});

async function openPage(options: Parameters<typeof listenUsercast>[0]) {
  const site = await listenUsercast(options);
  page = await browser.newPage();
  await page.goto(origin);
  return { site, base: `http://127.0.0.1:${site.port}/box-users/ada` };
}

interface Request {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** In the page: the answer as far as the page may see it. */
const ask = (url: string, init: Request): Promise<unknown[]> =>
  page.evaluate(
    async ([target, parts]) => {
      try {
        const response = await fetch(target, parts);
        const text = await response.text();
        const seen = ['Retry-After', 'WWW-Authenticate'].map((name) => response.headers.get(name));
        return [response.status, text === '' ? null : JSON.parse(text), ...seen];
      } catch {
        return ['unreadable'];
      }
    },
    [url, init] as const,
  );

const json = { 'Content-Type': 'application/json' };
const ack = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });

describe('a page of another origin', () => {
  it('uses every endpoint with a token in its header, and reads refusals, where it is allowed to', async () => {
    const { site, base } = await openPage({ cors: true, allowedOrigins: [origin] });
    const headers = { Authorization: `Bearer ${tokenFor('ada')}` };
    const cursor = await site.usercast.cursor('ada');
    expect(await ask(`${base}/counts`, { headers })).toEqual([200, { counts: {}, cursor }, null, null]);
    expect(await ask(`${base}/ack`, { method: 'POST', headers: { ...headers, ...json }, body: ack })).toEqual([
      204,
      null,
      null,
      null,
    ]);
    expect(await ask(`${base}/messages?cursor=${cursor}`, { headers })).toMatchObject([
      200,
      { messages: [{ type: 'ack' }] },
      null,
      null,
    ]);
    expect(await ask(`${base}/counts`, { headers: { Authorization: 'Bearer wrong' } })).toMatchObject([
      401,
      { title: 'token invalid' },
      null,
      'Bearer error="invalid_token"',
    ]);

    const first = await page.evaluate(
      async ([url, authorization, lastEventId]) => {
        const response = await fetch(url, { headers: { Authorization: authorization, 'Last-Event-ID': lastEventId } });
        const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
        let text = '';
        while (!text.includes('"ack"')) text += (await reader.read()).value;
        await reader.cancel();
        return text;
      },
      [`${base}/sse`, headers.Authorization, cursor] as const,
    );
    expect(first).toContain('"resumed":true');
  });

  it('reads that it has to come back, and when', async () => {
    const { site, base } = await openPage({ cors: true, allowedOrigins: '*', limits: { maxConnections: 1 } });
    const headers = { Authorization: `Bearer ${tokenFor('ada')}` };
    const cursor = await site.usercast.cursor('ada');
    const leaving = new AbortController();
    const holding = fetch(`${base}/sse`, { headers, signal: leaving.signal });
    await holding;
    expect(await ask(`${base}/messages?cursor=${cursor}`, { headers })).toMatchObject([
      503,
      { title: 'overloaded' },
      '5',
      null,
    ]);
    leaving.abort();
  });

  it("gets messages with the browser's own EventSource, which needs no preflight", async () => {
    const { site, base } = await openPage({ cors: true, allowedOrigins: (from) => from === origin });
    const url = `${base}/sse?access_token=${tokenFor('ada')}`;
    const messages = page.evaluate(
      (target) =>
        new Promise<unknown[]>((resolve) => {
          const source = new EventSource(target);
          const seen: unknown[] = [];
          source.onmessage = ({ data, lastEventId }) => {
            seen.push([JSON.parse(data).type, lastEventId]);
            if (seen.length < 2) return;
            source.close();
            resolve(seen);
          };
        }),
      url,
    );
    const from = await site.usercast.cursor('ada');
    await site.event('connect');
    await site.usercast.notify('ada', 'n', {});
    expect(await messages).toEqual([
      ['session.ready', from],
      ['n', await site.usercast.cursor('ada')],
    ]);
  });

  it.each([
    ['another origin is allowed', { cors: true, allowedOrigins: ['https://app.example'] }],
    ['no origin is', { cors: true }],
    ['cors is off', { allowedOrigins: '*' }],
  ] as const)('reads nothing where %s', async (_when, options) => {
    const { site, base } = await openPage(options);
    const token = tokenFor('ada');
    expect(await ask(`${base}/counts`, { headers: { Authorization: `Bearer ${token}` } })).toEqual(['unreadable']);
    expect(await ask(`${base}/counts?access_token=${token}`, {})).toEqual(['unreadable']);
    expect(await ask(`${base}/ack?access_token=${token}`, { method: 'POST', headers: json, body: ack })).toEqual([
      'unreadable',
    ]);
    expect(site.usercast.stats().acks).toBe(0);
  });
});
