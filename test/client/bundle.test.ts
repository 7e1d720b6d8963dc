// The one file that pages import: small, and the client alone.

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { ROOT, read } from '../repository/source.ts';

const MAX_BYTES = 6 * 1024;

/** The arguments of `esbuild` in the package's own build. */
const script: string = JSON.parse(read('package.json')).scripts.build;
const target = /--target=(\S+)/.exec(script)?.[1];

async function bundle() {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    target: String(target),
    write: false,
    metafile: true,
  } as const);
  return { bytes: outputFiles[0]!.contents, inputs: Object.keys(metafile.inputs) };
}

describe('the bundled client', () => {
  it(`is at most ${MAX_BYTES} bytes, minified and compressed`, async () => {
    expect(target).toBeDefined();
    const { bytes } = await bundle();
    expect(gzipSync(bytes, { level: 9 }).length).toBeLessThanOrEqual(MAX_BYTES);
  });

  it('holds the client and the parts of the protocol that have no dependency', async () => {
    const { inputs } = await bundle();
    const foreign = inputs.filter((path) => !/^src\/client\//.test(path));
    expect(foreign.sort()).toEqual(['src/protocol/event-stream.ts', 'src/protocol/event-types.ts']);
  });
});
