// Who may import whom. `ROWS` is the rule: a file of `src/` imports its own row and the rows above it, types included.

import { describe, expect, it } from 'vitest';
import { filesUnder, importsOf, read, resolveImport } from './source.ts';

/** From the top down. Of several patterns that fit a file, the longest decides. */
const ROWS: readonly { readonly name: string; readonly files: readonly string[] }[] = [
  { name: 'ground', files: ['errors', 'timers', 'option-checks', 'listeners', 'random', 'allowance', 'tls-errors'] },
  { name: 'protocol', files: ['protocol/*'] },
  {
    name: 'contracts',
    files: ['options', 'broker/broker', 'counter/counter-store', 'auth/token-verifier', 'transports/transport'],
  },
  { name: 'engine', files: ['session/*', 'broker/*', 'auth/*', 'publisher', 'under-way', 'user-records'] },
  {
    name: 'leaves',
    files: [
      'transports/*',
      'broker/memory-*',
      'broker/deduplication-*',
      'counter/memory-*',
      'auth/*-verifier',
      'auth/jw*',
      'auth/remembered',
    ],
  },
  { name: 'door', files: ['http/*'] },
  { name: 'package', files: ['usercast', 'observation', 'index'] },
  { name: 'side', files: ['client/*'] },
  { name: 'testing', files: ['testing/*'] },
];

/** The client runs in a page: it takes the protocol and nothing else of the server, and of that only what is free of dependencies. */
const SIDE_IMPORTS = ['protocol'];

/** Interchangeable parts stand on the contracts and on files of their own folder, so that an outside author can write one. */
const LEAVES_IMPORT = ['ground', 'protocol', 'contracts'];

/** The one home of each dependency, so that each can be replaced. */
const HOMES: Readonly<Record<string, RegExp>> = {
  ws: /^src\/transports\/websocket\.ts$/,
  jose: /^src\/auth\//,
  eventemitter3: /^src\/listeners\.ts$/,
  valibot: /^src\/protocol\//,
};

/** The packages of a host that an adapter binds to: only there, and never needed by anything else. */
const PEER_HOMES: Readonly<Record<string, RegExp>> = {
  redis: /^adapters\/redis\//,
  '@nats-io/transport-node': /^adapters\/nats\//,
  '@nats-io/jetstream': /^adapters\/nats\//,
  '@nats-io/kv': /^adapters\/nats\//,
};

/** What the wire is made of also runs in a browser. */
const PURE = /^src\/protocol\//;

const sources = filesUnder('src', /\.ts$/);
const adapters = filesUnder('adapters', /\.ts$/);
const imports = [...sources, ...adapters].flatMap((from) =>
  importsOf(read(from)).map(({ specifier, typeOnly }) => ({ from, to: specifier, typeOnly })),
);
const relative = imports
  .filter(({ to }) => to.startsWith('.'))
  .map(({ from, to, typeOnly }) => ({ from, to: resolveImport(from, to), typeOnly }));

function fits(pattern: string, file: string): boolean {
  const [start = '', end = ''] = pattern.split('*');
  return pattern.includes('*') ? file.startsWith(start) && file.endsWith(end) : file === pattern;
}

function rowOf(path: string): number {
  const file = path.replace(/^src\//, '').replace(/\.ts$/, '');
  const fitting = ROWS.flatMap((row, index) => row.files.map((pattern) => ({ index, pattern })))
    .filter(({ pattern }) => fits(pattern, file))
    .sort((a, b) => b.pattern.length - a.pattern.length);
  return fitting[0]?.index ?? -1;
}

const rowName = (path: string): string => ROWS[rowOf(path)]?.name ?? 'none';
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** Files of one folder may know each other's types: they cooperate, and nothing of it is left when the code runs. */
const binding = relative.filter(({ from, to, typeOnly }) => !(typeOnly && folderOf(from) === folderOf(to)));

function cycleFrom(start: string): string[] | null {
  const visited = new Set<string>();
  function walk(file: string, path: string[]): string[] | null {
    for (const { to } of binding.filter(({ from }) => from === file)) {
      if (to === start) return [...path, to];
      if (visited.has(to)) continue;
      visited.add(to);
      const cycle = walk(to, [...path, to]);
      if (cycle) return cycle;
    }
    return null;
  }
  return walk(start, [start]);
}

describe('imports', () => {
  it('are all seen by this test', () => {
    const code = `
      import type { A } from './a.ts';
      import {
        b,
      } from 'b';
      export { c } from './c.ts';
      import 'd';
      // import 'e';
      const f = await import('node:f');`;
    expect(importsOf(code).map(({ specifier }) => specifier)).toEqual(['./a.ts', 'b', './c.ts', 'd', 'node:f']);
    expect(importsOf(code).map(({ typeOnly }) => typeOnly)).toEqual([true, false, false, false, false]);
  });

  it('has a row for every file', () => {
    expect(sources.filter((path) => rowOf(path) < 0)).toEqual([]);
  });

  it('point to files that are there', () => {
    const known = new Set([...sources, ...adapters]);
    expect(relative.filter(({ to }) => !known.has(to))).toEqual([]);
  });

  it('stay in their own row or go up', () => {
    const wrong = relative.filter(({ from, to }) => from.startsWith('src/') && rowOf(to) > rowOf(from));
    expect(wrong).toEqual([]);
  });

  it('of the leaves reach the contracts, what is above them, and files of their own folder', () => {
    const wrong = relative
      .filter(({ from }) => rowName(from) === 'leaves')
      .filter(({ to }) => !LEAVES_IMPORT.includes(rowName(to)))
      .filter(({ from, to }) => !(rowName(to) === 'leaves' && folderOf(from) === folderOf(to)));
    expect(wrong).toEqual([]);
  });

  it('of the client reach the protocol, beyond its own folder', () => {
    const wrong = relative
      .filter(({ from }) => rowName(from) === 'side')
      .filter(({ to }) => !SIDE_IMPORTS.includes(rowName(to)) && rowName(to) !== 'side');
    expect(wrong).toEqual([]);
    expect(relative.filter(({ from, to }) => rowName(to) === 'side' && rowName(from) !== 'side')).toEqual([]);
  });

  it('of the client and of what it runs of the protocol name no package', () => {
    const reached = new Set(sources.filter((path) => rowName(path) === 'side'));
    for (const file of reached) {
      for (const { from, to, typeOnly } of relative) if (from === file && !typeOnly) reached.add(to);
    }
    expect(imports.filter(({ from, to, typeOnly }) => reached.has(from) && !typeOnly && !to.startsWith('.'))).toEqual(
      [],
    );
  });

  it('of testing reach the public entry and their own folder, and nobody reaches them', () => {
    const wrong = relative
      .filter(({ from }) => rowName(from) === 'testing')
      .filter(({ to }) => to !== 'src/index.ts' && rowName(to) !== 'testing');
    expect(wrong).toEqual([]);
    expect(relative.filter(({ from, to }) => rowName(to) === 'testing' && rowName(from) !== 'testing')).toEqual([]);
  });

  it('of the adapters reach the public entry, the ground and their own folder', () => {
    const wrong = relative
      .filter(({ from }) => from.startsWith('adapters/'))
      .filter(({ to }) => to !== 'src/index.ts' && rowName(to) !== 'ground')
      .filter(({ from, to }) => !(folderOf(from) !== 'adapters' && folderOf(from) === folderOf(to)));
    expect(wrong).toEqual([]);
  });

  it('make no cycle, but for types within a folder', () => {
    expect(sources.map(cycleFrom).filter((cycle) => cycle !== null)).toEqual([]);
  });

  it('keep each dependency in its one home', () => {
    const packages = imports.filter(({ to }) => !to.startsWith('.') && !to.startsWith('node:'));
    const homes = { ...HOMES, ...PEER_HOMES };
    expect(packages.filter(({ from, to }) => !homes[to]?.test(from))).toEqual([]);
  });

  it('name every dependency of package.json and no other', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    expect(Object.keys(dependencies).sort()).toEqual(Object.keys(HOMES).sort());
    const used = new Set(imports.map(({ to }) => to));
    expect(Object.keys(HOMES).filter((name) => !used.has(name))).toEqual([]);
  });

  it('keep the protocol free of Node', () => {
    expect(imports.filter(({ from, to }) => PURE.test(from) && to.startsWith('node:'))).toEqual([]);
  });
});
