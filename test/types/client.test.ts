// What the compiler promises to those who use the client: `npm run typecheck` is what fails here; at run time little happens.

import type { Client, ConnectOptions, FetchLike, ReceivedObject, WebSocketConstructor } from 'usercast/client';
import { describe, expectTypeOf, it } from 'vitest';
import type { WebSocket as NodeWebSocket } from 'ws';
import type { BoxEvent, BoxEventBase } from '../../src/protocol/events.ts';
import type { AckObject, BoxDelete, ErrorObject, FileSaved } from '../../src/protocol/messages.ts';

interface Host {
  events: { 'poll.open': { content: { question: string } } };
  notifications: { 'quota.low': { bytes: number } };
}

declare const client: Client;
declare const hostClient: Client<Host>;

describe('the objects that handlers get', () => {
  it('are those of the catalogue', () => {
    expectTypeOf<ReceivedObject<Record<never, never>, 'event.new'>>().toEqualTypeOf<BoxEvent>();
    expectTypeOf<ReceivedObject<Record<never, never>, 'box.delete'>>().toEqualTypeOf<BoxDelete>();
    expectTypeOf<ReceivedObject<Record<never, never>, 'file.saved'>>().toEqualTypeOf<FileSaved>();
    expectTypeOf<ReceivedObject<Record<never, never>, 'ack'>>().toEqualTypeOf<AckObject>();
    expectTypeOf<ReceivedObject<Record<never, never>, 'error'>>().toEqualTypeOf<ErrorObject>();
  });

  it('follow from the type that is named', () => {
    void (() => {
      client.on('event.new', (event, meta) => {
        expectTypeOf(event).toEqualTypeOf<BoxEvent>();
        expectTypeOf(meta.cursor).toEqualTypeOf<string | undefined>();
        if (event.type === 'msg.file') return event.content.encrypted_file_id;
        // @ts-expect-error no such type
        return event.type === 'poll.open';
      });
      client.on('file.saved', ({ is_saved }) => expectTypeOf(is_saved).toEqualTypeOf<boolean>());
      client.on('any.other', (object) => expectTypeOf(object).toEqualTypeOf<object>());
      client.onAny((type, object) => {
        expectTypeOf(type).toEqualTypeOf<string>();
        expectTypeOf(object).toEqualTypeOf<object>();
      });
    });
  });

  it("have the host's own types", () => {
    void (() => {
      hostClient.on('event.new', (event) => {
        expectTypeOf(event).toExtend<BoxEventBase>();
        if (event.type === 'poll.open') expectTypeOf(event.content.question).toEqualTypeOf<string>();
      });
      hostClient.on('quota.low', ({ bytes }) => expectTypeOf(bytes).toEqualTypeOf<number>());
      // @ts-expect-error it has no such field
      hostClient.on('quota.low', ({ liters }) => liters);
    });
  });
});

describe('what a platform offers', () => {
  it('fits as it is', () => {
    expectTypeOf<typeof NodeWebSocket>().toExtend<WebSocketConstructor>();
    expectTypeOf<typeof fetch>().toExtend<FetchLike>();
  });
});

describe('the options', () => {
  it('take a token as a string or a function', () => {
    const common = { url: '/', userId: 'ann' };
    const all: ConnectOptions[] = [
      { ...common, token: 't' },
      { ...common, token: () => 't' },
      { ...common, token: async ({ renew }) => (renew ? 'new' : 'old') },
    ];
    // @ts-expect-error it has to give one
    all.push({ ...common, token: () => null });
    // @ts-expect-error no such transport
    all.push({ ...common, token: 't', transports: ['udp'] });
  });
});
