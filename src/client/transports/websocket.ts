// The WebSocket transport of the client. The token travels as a subprotocol: browsers let a page set no header.

import type { Envelope, OpenTransport } from './transport.ts';

const OPEN = 1;

/** @see RFC 4648 section 5 */
function base64url(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replace(/[+/=]/g, (digit) => ({ '+': '-', '/': '_' })[digit] ?? '');
}

/** Opens a WebSocket that speaks `usercast.v1`. */
export const openWebSocket: OpenTransport = (target, token, cursor, sink) => {
  const url = target.url('ws', cursor).replace(/^http/, 'ws');
  let isBlocked = true;
  try {
    const socket = new target.WebSocket!(url, ['usercast.v1', `usercast.bearer.${base64url(token)}`]);
    socket.onopen = () => {
      isBlocked = false;
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      sink.alive();
      try {
        sink.message(JSON.parse(data as string) as Envelope);
      } catch {
        // It may have been a stored one: the next connection gets it again.
        sink.closed({ code: 1006, reason: 'unreadable message' });
      }
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      sink.closed({ code, reason, isBlocked });
    };
    // Its `close` follows; without a listener some libraries throw.
    socket.onerror = () => {};
    return {
      send: (text) => {
        const isOpen = socket.readyState === OPEN;
        if (isOpen) socket.send(text);
        return isOpen;
      },
      close(isDead) {
        socket.onopen = socket.onmessage = socket.onclose = null;
        // The package `ws` would wait half a minute for an answer, and the process with it.
        if (isDead && 'terminate' in socket) (socket.terminate as () => void)();
        else socket.close(1000);
      },
    };
  } catch {
    // A page served over https may not open `ws:`, a policy may forbid it.
    queueMicrotask(() => sink.closed({ code: 1006, reason: 'WebSocket not allowed', isBlocked }));
    return { send: null, close() {} };
  }
};
