// What no file of the project says.

import { describe, expect, it } from 'vitest';
import { filesUnder, read, withoutComments } from './source.ts';

const TEXT = /(?:\.(?:ts|mts|js|mjs|json|md|html|css|svg|ya?ml)|LICENSE|\.npmrc|\.gitignore|\.ci\/run)$/;
const all = filesUnder('.', TEXT).filter((path) => !path.endsWith('package-lock.json'));
const code = all.filter((path) => /\.(?:ts|js|mjs)$/.test(path));
const product = code.filter((path) => /^(?:src|adapters)\//.test(path));
const tests = code.filter((path) => path.startsWith('test/'));

/** The lines of the files that a pattern finds; this file, which has to name it, is left out. */
function linesWith(
  files: readonly string[],
  pattern: RegExp,
  clean: (text: string) => string = (text) => text,
): string[] {
  return files
    .filter((path) => path !== 'test/repository/text.test.ts')
    .flatMap((path) =>
      clean(read(path))
        .split('\n')
        .filter((line) => pattern.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
}

describe('no file', () => {
  it('is over 320 lines', () => {
    expect(product.filter((path) => read(path).trimEnd().split('\n').length > 320)).toEqual([]);
  });

  it('uses the type that turns checking off', () => {
    const any = /(?::|\bas|[<|&,(=]) *any\b(?! [a-z])|\bany\[\]|@ts-ignore|@ts-nocheck/;
    expect(linesWith(code, any, withoutComments)).toEqual([]);
  });

  it('puts work off', () => {
    expect(linesWith(all, /\b(?:TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  });

  it('leaves a test out', () => {
    const left =
      /\b(?:describe|suite|it|test)(?:\.\w+)*\.(?:only|skip|todo|skipIf|runIf|fails)\b|\b(?:ctx|context)\.skip\(/;
    expect(linesWith(tests, left)).toEqual([]);
  });

  it('speaks of the place where it was written', () => {
    const place =
      /\/(?:work|root|tmp\/brief)\/|\bshared\/|\b(?:CONTRACT|ARCHITECTURE|STYLE|FACTS|FIELD)(?:\.md| \d)|\brealtime\.md\b/;
    expect(linesWith(all, place)).toEqual([]);
    expect(linesWith(all, /\bissues? (?:#?\d|show\b|list\b)/i)).toEqual([]);
  });
});

describe('the lock files', () => {
  it('name no registry', () => {
    expect(linesWith(filesUnder('.', /package-lock\.json$/), /"resolved": "http/)).toEqual([]);
  });
});
