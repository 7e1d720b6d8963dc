// What a client does after each close code: the column of the server's table, small enough for a page.

/** What has to be done before the client reconnects, or instead. */
export type CloseAction = 'stop' | 'renew' | 'reload' | null;

const STOP: readonly number[] = [1000, 1007, 1008, 1009];

/** The action after a close code. Those that nobody planned for are drops below 4000, and final from there up. */
export function actionAfter(code: number): CloseAction {
  if (code === 4401) return 'renew';
  if (code === 4410) return 'reload';
  return STOP.includes(code) || (code >= 4000 && code !== 4408 && code !== 4429) ? 'stop' : null;
}

/** Milliseconds that a client pauses after a close code, whatever else it waits. */
export function pauseAfter(code: number): number {
  return code === 4429 ? 5_000 : 0;
}

/** The attempts that a server in trouble is taken to have cost already. */
export function attemptsAfter(code: number): number {
  return code === 1011 || code === 1013 ? 3 : 0;
}
