// Runs before each test file: every fast-check property of the run starts from the run's seed.

import fc from 'fast-check';
import { seed } from './seed.ts';

fc.configureGlobal({ seed });
