// The least of HTTP and WebSocket that a client needs: an upgrade request, masked frames out, a frame scanner in.

/** @see RFC 6455 section 5.2 */
export const OPCODE = { text: 1, close: 8, ping: 9, pong: 10 };

/** What Chromium sends with each handshake, in its order; the same to every competitor. */
export function upgradeRequest({ path, host, token, protocol }) {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Pragma: no-cache',
    'Cache-Control: no-cache',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    'Upgrade: websocket',
    `Origin: http://${host}`,
    'Sec-WebSocket-Version: 13',
    'Accept-Encoding: gzip, deflate, br, zstd',
    'Accept-Language: en-GB,en;q=0.9,fr;q=0.8',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
    ...(protocol ? [`Sec-WebSocket-Protocol: ${protocol}`] : []),
    ...(token ? [`Authorization: Bearer ${token}`] : []),
    '\r\n',
  ].join('\r\n');
}

/** A client's frame. The mask is zero, which leaves the payload as it is. @see RFC 6455 section 5.3 */
export function clientFrame(opcode, payload) {
  const body = Buffer.from(payload);
  if (body.length > 125) throw new RangeError(`clientFrame: ${body.length} bytes, 125 at most`);
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | body.length, 0, 0, 0, 0]), body]);
}

/**
 * Calls `onFrame(bytes, opcode, start, end)` for each whole frame in `bytes` from `at` on, and returns where the first
 * incomplete one begins.
 */
export function scanFrames(bytes, at, length, onFrame) {
  while (length - at >= 2) {
    let size = bytes[at + 1] & 0x7f;
    let header = 2;
    if (size === 126) {
      header = 4;
      if (length - at < header) break;
      size = bytes.readUInt16BE(at + 2);
    } else if (size === 127) {
      header = 10;
      if (length - at < header) break;
      size = Number(bytes.readBigUInt64BE(at + 2));
    }
    const end = at + header + size;
    if (end > length) break;
    onFrame(bytes, bytes[at] & 0x0f, at + header, end);
    at = end;
  }
  return at;
}
