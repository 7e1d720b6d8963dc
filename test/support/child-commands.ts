// What a child process of a test does: it answers the commands that the test asks it with.

/** What the answer to a command looks like. */
export type Answer = { readonly value: unknown } | { readonly error: string };

/** Answers each command with what its handler returns, and ends with its parent. */
export function answerCommands(handlers: Readonly<Record<string, (input: never) => unknown>>): void {
  process.on('message', async ({ command, input }: { command: string; input: unknown }) => {
    try {
      process.send!({ value: await handlers[command]!(input as never) } satisfies Answer);
    } catch (error) {
      process.send!({ error: String(error instanceof Error ? error.stack : error) } satisfies Answer);
    }
  });
  process.on('disconnect', () => process.exit());
}
