// @ts-check
// `npm run test:nodes`, or `node test/nodes.mjs 20.19 24`: the tests on other releases of Node, whose binaries come from
// npm into .cache/. Not part of `npm test`.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const versions = process.argv.slice(2);
const platform =
  process.platform === 'darwin' && process.arch === 'arm64'
    ? 'bin-darwin-arm64'
    : `${process.platform}-${process.arch}`;
const failed = [];

for (const version of versions.length > 0 ? versions : ['20.19', '22', '24']) {
  const folder = `.cache/node${version}`;
  const node = join(process.cwd(), folder, 'node_modules', `node-${platform}`, 'bin', 'node');
  if (!existsSync(node)) {
    const install = [
      'install',
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--prefix',
      folder,
      `node-${platform}@${version}`,
    ];
    spawnSync('npm', install, { stdio: 'inherit' });
  }
  console.log(`\n── Node ${version}: ${node}`);
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  const { status } = spawnSync(node, ['node_modules/vitest/vitest.mjs', 'run'], { stdio: 'inherit', env });
  if (status !== 0) failed.push(version);
}

console.log(failed.length > 0 ? `\nfailed on Node ${failed.join(', ')}` : '\npassed on every Node asked for');
process.exitCode = failed.length > 0 ? 1 : 0;
