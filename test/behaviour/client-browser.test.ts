// The one file of the client in a real Chromium, as a page of another origin than the server's imports it.

import { createServer, type Server } from 'node:http';
import { build } from 'esbuild';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { connect, TransportName } from 'usercast/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../repository/source.ts';
import { launchBrowser } from '../support/browser.ts';
import { cleanUp, listen, type Site, textEvent, tokenFor } from '../support/fixture.ts';
import { listen as listenOn, shut } from '../support/raw-client.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';

/** A browser on a busy machine is slow, not wrong. */
const patient = { timeout: 90_000 };

/** What the page's script leaves on its window. */
interface ClientPage {
  client: ReturnType<typeof connect>;
  ids: string[];
  states: string[];
  resets: string[];
  asked: boolean[];
}

let browser: Browser;
let pages: Server;
let origin: string;
let context: BrowserContext;
let proxy: TcpProxy;
const problems: string[] = [];
/** What the page sent over WebSockets. */
const sent: string[] = [];

const HTML = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Client</title>';

beforeAll(async () => {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  } as const);
  pages = createServer((req, res) => {
    const isScript = req.url === '/usercast-client.min.js';
    res.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
    res.end(isScript ? outputFiles[0]!.text : HTML);
  });
  origin = `http://127.0.0.1:${await listenOn(pages)}`;
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  await shut(pages);
});

afterEach(async () => {
  await context?.close();
  await proxy?.stop();
  await cleanUp();
  expect(problems.splice(0)).toEqual([]);
});

/** Serves ada's messages to pages of `origin`, over a wire that can be cut. */
async function serve(): Promise<Site> {
  const site = await listen({ allowedOrigins: [origin], cors: true });
  proxy = await new TcpProxy(site.port).start();
  return site;
}

/** A page with a client of ada's; `before` runs in it first. */
async function openPage(transports: readonly TransportName[], tokens: string[], before = ''): Promise<Page> {
  context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(String(error)));
  sent.length = 0;
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(String(payload))));
  await page.goto(origin);
  await page.evaluate(before);
  await page.addScriptTag({
    type: 'module',
    content: `
      import { connect } from '/usercast-client.min.js';
      const tokens = ${JSON.stringify(tokens)};
      const asked = [];
      const token = async ({ renew }) => {
        asked.push(renew);
        return tokens.length > 1 && !renew ? tokens[0] : tokens.at(-1);
      };
      const client = connect({ url: '${proxy.url}', userId: 'ada', token, transports: ${JSON.stringify(transports)} });
      const ids = [], states = [], resets = [];
      client.on('event.new', ({ id }) => ids.push(id));
      client.onState((state, { transport }) => states.push(state + ' ' + transport));
      client.onReset(({ reason }) => resets.push(reason));
      Object.assign(window, { client, ids, states, resets, asked });`,
  });
  return page;
}

const inPage = <T>(page: Page, read: (window: ClientPage) => T): Promise<T> =>
  page.evaluate(`(${read})(window)`) as Promise<T>;

const stateOf = (page: Page) => inPage(page, ({ client }) => client?.state);
const idsOf = (page: Page) => inPage(page, ({ ids }) => ids);

const within = { timeout: 15_000 };

const publish = (site: Site, id: string) => site.usercast.publishEvent('ada', textEvent({ id }));

describe.each(['websocket', 'sse', 'polling'] as const)(
  'in a page of another origin, over %s',
  patient,
  (transport) => {
    it('receives, acknowledges, and catches up after the wire was cut', async () => {
      const site = await serve();
      const page = await openPage([transport], [tokenFor('ada')]);
      await expect.poll(() => stateOf(page), within).toBe('live');
      await publish(site, 'e1');
      await expect.poll(() => idsOf(page), within).toEqual(['e1']);
      proxy.cut();
      await publish(site, 'e2');
      await expect.poll(() => stateOf(page), within).not.toBe('live');
      proxy.mend();
      await publish(site, 'e3');
      await expect.poll(() => idsOf(page), within).toEqual(['e1', 'e2', 'e3']);
      expect(await inPage(page, ({ client }) => client.counts)).toEqual({ 'box-1': 3 });
      await inPage(page, ({ client }) => client.ack('box-1'));
      await expect.poll(() => inPage(page, ({ client }) => client.counts), within).toEqual({});
      expect(await site.usercast.counts('ada')).toEqual({});
      expect(await inPage(page, ({ resets }) => resets)).toEqual([]);
    });

    it('renews a token that the server refuses', async () => {
      await serve();
      const page = await openPage([transport], ['ended', tokenFor('ada')]);
      await expect.poll(() => stateOf(page), within).toBe('live');
      expect(await inPage(page, ({ asked }) => asked)).toEqual([false, true]);
    });

    it('stops when it is not let in', async () => {
      await serve();
      const page = await openPage([transport], [tokenFor('grace')]);
      await expect.poll(() => stateOf(page), within).toBe('closed');
    });
  },
);

describe('in a page', patient, () => {
  it('falls back to an event stream where WebSockets are blocked', async () => {
    const site = await serve();
    const block = `window.WebSocket = class extends WebSocket { constructor(url, p) { super(url.replace('/ws', '/blocked'), p); } }`;
    const page = await openPage(['websocket', 'sse', 'polling'], [tokenFor('ada')], block);
    await expect.poll(() => inPage(page, ({ states }) => states?.at(-1)), within).toBe('live sse');
    await publish(site, 'e1');
    await expect.poll(() => idsOf(page), within).toEqual(['e1']);
  });

  it('probes its connection when the page comes online', async () => {
    const site = await serve();
    const page = await openPage(['websocket'], [tokenFor('ada')]);
    await expect.poll(() => stateOf(page), within).toBe('live');
    await context.setOffline(true);
    await context.setOffline(false);
    await expect.poll(() => sent, within).toEqual(['{"type":"session.ping","object":{}}']);
    await publish(site, 'e1');
    await expect.poll(() => idsOf(page), within).toEqual(['e1']);
    expect(await inPage(page, ({ states }) => states)).toEqual(['live websocket']);
  });
});
