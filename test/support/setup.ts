// Runs before each test file: every fast-check property of the run starts from the run's seed.

import fc from 'fast-check';
import { vi } from 'vitest';
import { seed } from './seed.ts';

fc.configureGlobal({ seed });

// As long as `expect.poll` by the configuration, which has nothing for this one: it would give up after a second.
const { waitFor } = vi;
vi.waitFor = (check, options) => waitFor(check, options ?? { timeout: 10_000 });
