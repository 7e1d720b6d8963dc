import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

if (!process.env.TEST_SEED) {
  process.env.TEST_SEED = String(randomInt(2 ** 31));
  console.log(`seed: TEST_SEED=${process.env.TEST_SEED} repeats this run`);
}

export default defineConfig({
  resolve: {
    // Tests and examples name the package as its users do, and get the sources.
    alias: [
      { find: /^usercast$/, replacement: file('src/index.ts') },
      { find: /^usercast\/client$/, replacement: file('src/client/index.ts') },
      { find: /^usercast\/testing$/, replacement: file('src/testing/index.ts') },
      { find: /^usercast\/(express|koa)$/, replacement: file('adapters/$1.ts') },
      { find: /^usercast\/(nats|redis)$/, replacement: file('adapters/$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/setup.ts'],
    env: { TEST_SEED: process.env.TEST_SEED },
    pool: 'forks',
    testTimeout: 10_000,
    hookTimeout: 20_000,
    retry: 0,
    allowOnly: false,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'adapters/**/*.ts'],
      reporter: ['text', 'json-summary'],
      reportOnFailure: true,
      thresholds: { branches: 90 },
    },
  },
});
