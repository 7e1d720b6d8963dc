// A round-robin proxy without stickiness: every request and every WebSocket goes to the next process that is up, whoever
// asks. It stands for the load balancer that a real site has.

import { Agent, createServer, request as send } from 'node:http';
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { buffer } from 'node:stream/consumers';

const host = '127.0.0.1';
const agent = new Agent({ keepAlive: false });

/** `own(request, response)` answers what is not for the processes, and returns whether it did. */
export function createProxy(processes, own) {
  let turn = 0;

  /** The next process that is up and was not tried yet. */
  function next(tried) {
    const candidates = processes.filter(({ state, number }) => state === 'up' && !tried.has(number));
    const chosen = candidates.find(({ number }) => number > turn) ?? candidates[0];
    if (!chosen) return undefined;
    turn = chosen.number;
    chosen.requests++;
    tried.add(turn);
    return chosen;
  }

  function pass(request, response, body, tried = new Set()) {
    const target = next(tried);
    if (!target) return refuse(response, 503, { 'Retry-After': '1' });
    const { method, url: path, headers } = request;
    const sent = send({ host, port: target.port, agent, method, path, headers: { ...headers, connection: 'close' } });
    const answered = () => target.unanswered.delete(sent);
    target.unanswered.add(sent);
    sent.on('close', answered);
    sent.on('response', (answer) => {
      answered();
      const { connection, 'keep-alive': _, ...others } = answer.headers;
      response.writeHead(answer.statusCode, others);
      pipeline(answer, response, () => {});
    });
    sent.on('error', (error) => {
      if (response.headersSent || response.destroyed) return response.destroy();
      // Nobody has seen what could not be sent, and reading twice does no harm. Everything else is the client's to repeat.
      if (error.code === 'ECONNREFUSED' || method === 'GET') pass(request, response, body, tried);
      else refuse(response, 502);
    });
    response.on('close', () => sent.destroy());
    sent.end(body);
  }

  function passUpgrade(request, socket, head, tried = new Set()) {
    const target = next(tried);
    if (!target) return socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n');
    const upstream = connect(target.port, host);
    upstream.once('connect', () => {
      upstream.write(headOf(request));
      upstream.write(head);
      pipeline(socket, upstream, socket, () => {});
    });
    upstream.once('error', () => {
      if (upstream.bytesWritten === 0) passUpgrade(request, socket, head, tried);
    });
  }

  const server = createServer(async (request, response) => {
    if (own(request, response)) return;
    // Read whole, so that it can be sent to another process when the first one is gone.
    const body = await buffer(request).catch(() => null);
    if (body) pass(request, response, body);
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    passUpgrade(request, socket, head);
  });
  return server;
}

function headOf({ method, url, rawHeaders }) {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function refuse(response, status, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ status, title: 'No process answered. Try again.' }));
}
