// What the starter answers itself, under `/cluster/`: the process table, for the page as it changes, and orders to end a
// process.

import { readFileSync } from 'node:fs';
import { pageHeaders } from '../demo/api/page.js';

const types = { 'processes.js': 'text/javascript', 'processes.css': 'text/css' };
const toldWithinMs = 200;

export function createControl(processes) {
  const watchers = new Set();
  let told = '';

  const table = () => JSON.stringify(processes.map(({ row }) => row));
  // Requests change the table all the time: it is told at most so often.
  setInterval(() => {
    const now = table();
    if (now === told) return;
    told = now;
    for (const response of watchers) response.write(`data: ${now}\n\n`);
  }, toldWithinMs).unref();

  function watch(response) {
    response.writeHead(200, { ...pageHeaders, 'Content-Type': 'text/event-stream' });
    response.write(`data: ${table()}\n\n`);
    watchers.add(response);
    response.on('close', () => watchers.delete(response));
  }

  function order(request, response, number, action) {
    const ordered = processes.find((one) => one.number === number);
    // A page elsewhere cannot send this type without asking first.
    if (request.headers['content-type'] !== 'application/json') return answer(response, 415);
    if (!ordered) return answer(response, 404);
    ordered[action]();
    answer(response, 204);
  }

  /** Whether the request was for the starter. */
  return function control(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (!pathname.startsWith('/cluster/')) return false;
    const name = pathname.slice('/cluster/'.length);
    const [, number, action] = /^processes\/(\d+)\/(kill|drain)$/.exec(name) ?? [];
    if (action && request.method === 'POST') order(request, response, Number(number), action);
    else if (name === 'events') watch(response);
    else if (name === 'table') answer(response, 200, table(), 'application/json');
    else if (types[name]) answer(response, 200, readFileSync(new URL(`public/${name}`, import.meta.url)), types[name]);
    else answer(response, 404);
    return true;
  };
}

function answer(response, status, body, type) {
  response.writeHead(status, type ? { ...pageHeaders, 'Content-Type': type } : pageHeaders).end(body);
}
