// The JSON body of a request, bounded; or what a body parser of the host has made of it already.

import type { IncomingMessage } from 'node:http';
import { Refusal } from '../protocol/refusals.ts';

const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A request whose body was read by a body parser, such as `express.json()`. */
interface ParsedRequest extends IncomingMessage {
  body?: unknown;
}

/**
 * The parsed body.
 * @throws Refusal `unsupported_media_type`, `body_too_large`, or `malformed_body` for what is no JSON.
 */
export async function readJson(req: IncomingMessage, maxBytes: number): Promise<unknown> {
  const { headers } = req;
  if (!JSON_TYPE.test(headers['content-type'] ?? '')) {
    throw new Refusal('unsupported_media_type', 'send the body as Content-Type: application/json');
  }
  if (Number(headers['content-length']) > maxBytes) throw tooLarge(maxBytes);
  const parsed = parsedBefore(req);
  if (parsed !== undefined) return parsed;
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new Refusal('unsupported_media_type', 'send the body without a Content-Encoding');
  }
  return parse(await readBytes(req, maxBytes));
}

function parsedBefore(req: ParsedRequest): unknown {
  const wasRead = req.readableDidRead || req.readableEnded;
  const { body } = req;
  if (typeof body === 'string' || Buffer.isBuffer(body)) return parse(Buffer.from(body));
  // body-parser 1 gives `{}` to requests that it did not read.
  if (body !== undefined && body !== null && (wasRead || Object.keys(body).length > 0)) return body;
  if (wasRead) {
    throw new Refusal(
      'malformed_body',
      'the body was read before it came here: put usercast before what reads it, or leave the parsed body in req.body',
    );
  }
  return undefined;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    throw new Refusal('malformed_body', 'the body is not JSON in UTF-8');
  }
}

function readBytes(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = () => {
      req.off('data', onData).off('end', onEnd).off('close', onClose);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= maxBytes) return;
      stop();
      req.pause();
      reject(tooLarge(maxBytes));
    };
    const onEnd = () => {
      stop();
      resolve(Buffer.concat(chunks));
    };
    const onClose = () => {
      stop();
      reject(new Refusal('malformed_body', 'the body ended early'));
    };
    // A client that resets the connection says so with an error as well; `close` follows.
    req.on('error', () => {});
    req.on('data', onData).on('end', onEnd).on('close', onClose);
  });
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal('body_too_large', `the body is over ${maxBytes} bytes`);
}
