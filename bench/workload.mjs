// What every competitor is given: the users, the event of the fan-out with its expected bytes, and the tokens.

import { exportSPKI, generateKeyPair, SignJWT } from 'jose';

const ISSUER = 'https://id.example.com';
const AUDIENCE = 'chat';
const SECRET = 'a secret of at least 32 bytes, only for measuring';

const ID_PREFIX = '5f1c8a52-7d0e-4c4b-9a3e-';
/** Digits of the running number that an event id ends with. */
export const NUMBER_DIGITS = 12;

export const userIds = (count) => Array.from({ length: count }, (_, i) => `user-${String(i).padStart(6, '0')}`);

/** The event with this running number: a text message of some 300 encrypted bytes, sent by nobody of the recipients. */
export function textEvent(number) {
  return {
    id: ID_PREFIX + String(number).padStart(NUMBER_DIGITS, '0'),
    type: 'msg.text',
    box_id: '0b7e4f6a-54f0-4f3d-8d51-5a9e0c7c2f10',
    content: { encrypted: 'q83vEjRWeJCrze8S'.repeat(19), public_key: 'mF2nG6zVxq0wBt7cJr4yKd9sHp3uLe8a' },
    server_event_created_at: '2026-11-22T10:00:00.000Z',
    sender: {
      id: 'b2d5c3e8-2f6b-4c8e-9d0a-7a1f5e3c4b21',
      display_name: 'Ada Lovelace',
      avatar_url: 'https://cdn.example.com/avatars/ada.png',
      identifier_value: 'ada@example.com',
      identifier_kind: 'email',
    },
  };
}

/** The exact bytes of a delivered event on this wire, before the running number and after it, but for what ends it. */
export function expectedBytes(wire) {
  const event = textEvent(0);
  const text =
    wire === 'socket-io'
      ? `42${JSON.stringify(['event.new', event])}`
      : JSON.stringify({ type: 'event.new', object: event });
  const at = text.indexOf(ID_PREFIX) + ID_PREFIX.length;
  return { before: text.slice(0, at), after: text.slice(at + NUMBER_DIGITS, -1) };
}

/** Signed tokens, one a user, and what the verifier needs to check them. */
export async function issueTokens(alg, users) {
  const pair = alg === 'RS256' ? await generateKeyPair(alg, { extractable: true }) : null;
  const key = pair ? pair.privateKey : new TextEncoder().encode(SECRET);
  const sign = (userId, i) =>
    new SignJWT({ scope: 'realtime' })
      .setProtectedHeader({ alg, typ: 'JWT' })
      .setSubject(userId)
      .setJti(`token-${i}`)
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(key);
  return {
    tokens: await Promise.all(users.map(sign)),
    keys: {
      issuer: ISSUER,
      audience: AUDIENCE,
      ...(pair ? { publicKey: await exportSPKI(pair.publicKey) } : { secret: SECRET }),
    },
  };
}

/** Draws so many distinct users at a time, the same ones in each process that begins anew. */
export class Draw {
  #users;
  #state = 1;

  constructor(users) {
    this.#users = [...users];
  }

  next(size) {
    for (let i = 0; i < size; i++) {
      const j = i + Math.floor(this.#random() * (this.#users.length - i));
      const drawn = this.#users[j];
      this.#users[j] = this.#users[i];
      this.#users[i] = drawn;
    }
    return this.#users.slice(0, size);
  }

  /** @see mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
  #random() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
