// What a client does after each close code: the column of the server's table, small enough for a page.

/** What has to be done before the client reconnects, or instead. */
export type CloseAction = 'stop' | 'renew' | 'reload' | null;

const STOP: readonly number[] = [1000, 1007, 1008, 1009, 4400, 4403];

/** The action after a close code; those that nobody planned for are drops. */
export function actionAfter(code: number): CloseAction {
  if (STOP.includes(code)) return 'stop';
  return code === 4401 ? 'renew' : code === 4410 ? 'reload' : null;
}

/** Milliseconds that a client pauses after a close code, whatever else it waits. */
export function pauseAfter(code: number): number {
  return code === 4429 ? 5_000 : 0;
}

/** The attempts that a server in trouble is taken to have cost already. */
export function attemptsAfter(code: number): number {
  return code === 1011 || code === 1013 ? 3 : 0;
}
