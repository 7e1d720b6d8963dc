// What a child process of a test does: it answers the commands that the test asks it with.

/** A command on its way to a child. */
export interface Command {
  readonly id: number;
  readonly command: string;
  readonly input: unknown;
}

/** What the answer to a command looks like. */
export type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

/** Answers each command with what its handler returns, and ends with its parent. */
export function answerCommands(handlers: Readonly<Record<string, (input: never) => unknown>>): void {
  process.on('message', async ({ id, command, input }: Command) => {
    try {
      process.send!({ id, value: await handlers[command]!(input as never) } satisfies Answer);
    } catch (error) {
      process.send!({ id, error: String(error instanceof Error ? error.stack : error) } satisfies Answer);
    }
  });
  process.on('disconnect', () => process.exit());
}
