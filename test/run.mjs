// @ts-check
// `npm test`: every check of the project in order, each with its output, and one last line that adds them up. With
// arguments (`npm test -- test/protocol`) only the tests that they name.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { provide } from './support/needs.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const REPORT = '.cache/vitest.json';
const filters = process.argv.slice(2);
const vitest = ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`];

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

/** @param {string[]} command @returns {() => boolean} */
const npx = (command) => () => spawnSync('npx', ['--no', ...command], { stdio: 'inherit' }).status === 0;
/** @param {string} name @returns {() => boolean} */
const npm = (name) => () => spawnSync('npm', ['run', '--silent', name], { stdio: 'inherit' }).status === 0;

/** @type {[name: string, run: () => boolean][]} */
const steps =
  filters.length > 0
    ? [['tests', npx([...vitest, ...filters])]]
    : [
        ['needs', provide],
        ['build', npm('build')],
        ['types', npm('typecheck')],
        ['lint', npm('lint')],
        ['tests', npx([...vitest, '--coverage'])],
      ];

/**
 * Adds up vitest's JSON report and names what failed. A file that failed without a failed test did not load, or a hook
 * of it broke.
 * @returns {Count}
 */
function readReport() {
  /** @typedef {{ status: string, fullName: string, failureMessages: string[] }} Outcome */
  /** @type {{ testResults: { name: string, status: string, message: string, assertionResults: Outcome[] }[] }} */
  const { testResults } = JSON.parse(readFileSync(REPORT, 'utf8'));
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const file of testResults) {
    const outcomes = file.assertionResults.map((result) => result.status);
    const failed = outcomes.filter((outcome) => outcome === 'failed').length;
    const passed = outcomes.filter((outcome) => outcome === 'passed').length;
    count.passed += passed;
    count.failed += failed === 0 && file.status === 'failed' ? 1 : failed;
    count.skipped += outcomes.length - passed - failed;
    if (file.status !== 'failed') continue;
    lines.push(`FAILED  ${relative('.', file.name)}`);
    for (const result of file.assertionResults) {
      if (result.status !== 'failed') continue;
      lines.push(`        ${result.fullName}`, `        ${result.failureMessages[0]?.slice(0, 600) ?? ''}`);
    }
    if (failed === 0) lines.push(`        ${file.message.slice(0, 600)}`);
  }
  return count;
}

/** @type {Count} */
const total = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
rmSync(REPORT, { force: true });
for (const [name, run] of steps) {
  console.log(`\n── ${name}`);
  const started = performance.now();
  const ok = run();
  total[ok ? 'passed' : 'failed'] += 1;
  lines.push(`${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(8)} ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

try {
  const tests = readReport();
  total.passed += tests.passed;
  total.failed += tests.failed;
  total.skipped += tests.skipped;
} catch (error) {
  total.failed += 1;
  lines.push(`FAILED  the tests left no report: ${error instanceof Error ? error.message : error}`);
}

console.log(`\n${lines.join('\n')}\n`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || (total.skipped > 0 && process.env.CI) ? 1 : 0;
