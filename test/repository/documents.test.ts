// README.md and its neighbours: links lead somewhere, and the code in them compiles.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeBlocks } from './code-blocks.ts';
import { filesUnder, ROOT, read } from './source.ts';

const documents = filesUnder('.', /\.md$/);

/** The anchors of a document's headings, as code hosts make them. */
function anchorsOf(path: string): Set<string> {
  const headings = read(path)
    .replace(/^```[\s\S]*?^```/gm, '')
    .matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map((match) =>
      String(match[1])
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replace(/ /g, '-'),
    ),
  );
}

function brokenLinks(path: string): string[] {
  const text = read(path).replace(/^```[\s\S]*?^```/gm, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)[^)]*\)|\b(?:src|href)="([^"]+)"/g)].map((match) =>
    String(match[1] ?? match[2]),
  );
  return links
    .filter((link) => !/^(?:https?|mailto):/.test(link))
    .filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      return !existsSync(join(ROOT, target)) || (anchor !== undefined && !anchorsOf(target).has(anchor));
    })
    .map((link) => `${path}: ${link}`);
}

/**
 * Type-checks the blocks of a document. A block without an import goes on from the first block that has one, as a reader
 * takes it.
 */
function checkBlocks(path: string): string {
  const blocks = codeBlocks(read(path)).filter(({ language }) => ['ts', 'js'].includes(language));
  const first = blocks.find(({ code }) => /^import\b/m.test(code))?.code ?? '';
  const folder = join(ROOT, '.cache/documents', path.replaceAll('/', '-'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { language, code, line } of blocks) {
    const whole = /^import\b/m.test(code) || language === 'js' ? code : `${first}\n{\n${code}\n}\n`;
    writeFileSync(join(folder, `line-${line}.${language}`), `${whole}\nexport {};\n`);
  }
  if (blocks.length === 0) return '';
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: { lib: ['ES2023', 'DOM'], checkJs: true, noUnusedLocals: false, noUnusedParameters: false },
    include: ['*'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  return spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder], { cwd: ROOT, encoding: 'utf8' })
    .stdout;
}

describe('the documents', () => {
  it('link to files and headings that are there', () => {
    expect(documents.flatMap(brokenLinks)).toEqual([]);
  });

  it('show code that compiles', { timeout: 120_000 }, () => {
    expect(
      ['README.md', 'PROTOCOL.md', 'CONTRIBUTING.md']
        .filter((path) => documents.includes(path))
        .map(checkBlocks)
        .join(''),
    ).toBe('');
  });

  it('say it on a page: README.md has fewer than 250 lines', () => {
    expect(read('README.md').split('\n').length).toBeLessThan(250);
  });
});
