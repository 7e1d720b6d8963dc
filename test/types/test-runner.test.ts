// The runners whose functions the suites of `usercast/testing` take as they are.

import type { TestRunner } from 'usercast/testing';
import { describe, expectTypeOf, it } from 'vitest';

it('the suites take the functions of vitest and of node:test', () => {
  expectTypeOf({ describe, it }).toExtend<TestRunner>();
  expectTypeOf<typeof import('node:test')>().toExtend<TestRunner>();
});
