// The public surface: what package.json offers is there, the entry files say each name, and each name says what it is.

import { describe, expect, it } from 'vitest';
import { filesUnder, read, reexportsOf, withoutComments } from './source.ts';

interface Target {
  readonly types: string;
  readonly default: string;
}

const manifest = JSON.parse(read('package.json')) as { exports: Record<string, Target | string> };
const targets = Object.values(manifest.exports).filter((target) => typeof target !== 'string');
/** `./dist/adapters/koa.js` is made from `adapters/koa.ts`. */
const entries = targets.map((target) => target.default.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts'));

/** The declaration of an exported name, with the docstring before it, followed through re-exports. */
function findDeclaration(path: string, name: string): { path: string; documented: boolean } | null {
  const declaration = new RegExp(
    `(\\*/\\n)?^export (?:declare |abstract |async )*(?:function\\*?|class|const|interface|type) ${name}\\b`,
    'm',
  ).exec(read(path));
  if (declaration) return { path, documented: declaration[1] !== undefined };
  const reexport = reexportsOf(path).find((candidate) => candidate.name === name);
  return reexport ? findDeclaration(reexport.from, reexport.original) : null;
}

/** The members of the options that a caller writes, each with whether a docstring stands before it. */
function optionMembers(path: string): { member: string; documented: boolean }[] {
  const interfaces = [...read(path).matchAll(/^export interface (\w+Options)\b[\s\S]*?\n\}/gm)];
  const called = interfaces.filter(([, name]) => publicNames.some((entry) => entry.name === name));
  return called.flatMap(([body, name]) =>
    [...body.matchAll(/(\*\/\n)?^ {2}(?:readonly )?(\w+)\??:/gm)].map((member) => ({
      member: `${path} ${name}.${member[2]}`,
      documented: member[1] !== undefined,
    })),
  );
}

const publicNames = entries.flatMap((path) => {
  const own = [...read(path).matchAll(/^export (?:async )?(?:function|class|const|interface|type) (\w+)/gm)];
  const names = [...own.map((match) => String(match[1])), ...reexportsOf(path).map(({ name }) => name)];
  return names.map((name) => ({ path, name }));
});

describe('the public entries', () => {
  it('are built from sources of their own name, with types', () => {
    const sources = [...filesUnder('src', /\.ts$/), ...filesUnder('adapters', /\.ts$/)];
    expect(entries.filter((path) => !sources.includes(path))).toEqual([]);
    for (const target of targets) expect(target.types).toBe(target.default.replace(/\.js$/, '.d.ts'));
  });

  it('are the adapters, src/index.ts, and those of the client and of testing', () => {
    const own = ['src/client/index.ts', 'src/index.ts', 'src/testing/index.ts'];
    const adapters = filesUnder('adapters', /^adapters\/(?:[^/]+|[^/]+\/index)\.ts$/);
    expect([...entries].sort()).toEqual([...adapters, ...own]);
  });

  it('list names and never everything', () => {
    const files = [...filesUnder('src', /\.ts$/), ...filesUnder('adapters', /\.ts$/)];
    expect(files.filter((path) => /^export (?:type )?\*/m.test(withoutComments(read(path))))).toEqual([]);
    expect(files.filter((path) => /^export default\b/m.test(read(path)))).toEqual([]);
  });

  it('export something each', () => {
    expect(entries.filter((entry) => !publicNames.some(({ path }) => path === entry))).toEqual([]);
  });

  it('export names that are declared with a docstring', () => {
    const declarations = publicNames.map(({ path, name }) => ({ name, declaration: findDeclaration(path, name) }));
    expect(declarations.filter(({ declaration }) => declaration === null)).toEqual([]);
    expect(declarations.filter(({ declaration }) => !declaration?.documented)).toEqual([]);
  });

  it('say of every option what it is', () => {
    const declaring = new Set(publicNames.map(({ path, name }) => findDeclaration(path, name)?.path ?? path));
    const members = [...declaring].flatMap(optionMembers);
    expect(members.length).toBeGreaterThan(0);
    expect(members.filter(({ documented }) => !documented).map(({ member }) => member)).toEqual([]);
  });
});

describe('the sources', () => {
  it('export nothing that no other file names', () => {
    const sources = filesUnder('src', /\.ts$/);
    const texts = [...sources, ...filesUnder('adapters', /\.ts$/), ...filesUnder('test', /\.ts$/)].map((path) => ({
      path,
      words: new Set(withoutComments(read(path)).match(/\w+/g)),
    }));
    const unused = sources.flatMap((path) =>
      [...read(path).matchAll(/^export (?:abstract |async )*(?:function\*?|class|const) (\w+)/gm)]
        .map((match) => String(match[1]))
        .filter((name) => !texts.some((other) => other.path !== path && other.words.has(name)))
        .map((name) => `${path}: ${name}`),
    );
    expect(unused).toEqual([]);
  });
});
