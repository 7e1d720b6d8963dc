// Tells of a broker that stays away: each call that fails says so as well, but a quiet process makes none.

import { UsercastError } from '../errors.ts';
import { setTimer, type Timer } from '../timers.ts';
import type { Broker } from './broker.ts';

/** Calls back once for each time that the broker is not ready for longer than `patienceMs`. Returns what ends it. */
export function watchOutages(broker: Broker, patienceMs: number, onOutage: (cause: UsercastError) => void): () => void {
  let timer: Timer | null = null;
  const rest = (): void => {
    if (timer) clearTimeout(timer);
    timer = null;
  };
  const follow = (): void => {
    if (broker.status === 'ready') rest();
    else timer ??= setTimer(tell, patienceMs);
  };
  const tell = (): void => {
    if (broker.status === 'ready') return;
    const state = broker.status === 'connecting' ? 'was never connected to' : 'has been lost';
    const cause = broker.outage ?? null;
    const why = cause ? `: ${cause.message}` : '';
    const message = `the broker ${state} for ${patienceMs} ms${why}`;
    onOutage(new UsercastError('broker_unavailable', message, cause ? { cause } : {}));
  };
  const stopListening = broker.onStatus(follow);
  follow();
  return () => {
    rest();
    stopListening();
  };
}
