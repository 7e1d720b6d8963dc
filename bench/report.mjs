// From measurements to what is read: medians, spreads, ratios beside their targets, in the terminal and in RESULTS.md.

import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { COMPETITORS } from './pair.mjs';

const NEW_TOKEN = { ws: 2.3, 'socket-io': 1.1 };

/**
 * The rows of the report. `targets`: the highest ratios to be reached, by competitor; `against`: the row of those that
 * check no token.
 */
const ROWS = {
  'burst-1': { label: 'message, burst of 1', unit: 'µs', targets: { ws: 1.0, 'socket-io': 0.65 } },
  'burst-10': { label: 'message, burst of 10', unit: 'µs', targets: { ws: 0.3, 'socket-io': 0.2 } },
  rss: { label: 'RSS per idle connection', unit: 'KiB', targets: { ws: 1.5, 'socket-io': 0.5 } },
  heap: { label: 'heap per idle connection', unit: 'KiB' },
  'handshake-start': { label: 'handshake, new JWT (RS256), new process', unit: 'µs', targets: NEW_TOKEN },
  'handshake-new': { label: 'handshake, new JWT (RS256), warm process', unit: 'µs', targets: NEW_TOKEN },
  'handshake-remembered': { label: 'handshake, remembered JWT', unit: 'µs', targets: { ws: 1.6, 'socket-io': 0.9 } },
  'handshake-start-HS256': { label: 'handshake, new JWT (HS256), new process', unit: 'µs', against: 'handshake-start' },
  'handshake-new-HS256': { label: 'handshake, new JWT (HS256), warm process', unit: 'µs', against: 'handshake-new' },
};

const UNIT_SIZES = { µs: 1, KiB: 1024 };

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, low: sorted[0], high: sorted.at(-1) };
}

const format = ({ median, low, high }, digits) =>
  `${median.toFixed(digits)} (${low.toFixed(digits)}-${high.toFixed(digits)})`;

/** Collects measurements of a run: the values of each row and competitor, in the order of the rounds. */
export class Measurements {
  #values = new Map();

  add({ row, name, value }) {
    const key = `${row} ${name}`;
    this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
  }

  of(row, name) {
    return this.#values.get(`${row} ${name}`);
  }

  /** usercast against another, round by round: what disturbs a round of a shared machine disturbs both. */
  ratios(row, name) {
    const others = this.of(ROWS[row].against ?? row, name);
    return this.of(row, 'usercast').map((value, round) => value / others[round]);
  }
}

/** The tables, as Markdown. */
export function table(measurements) {
  const rows = Object.keys(ROWS).filter((row) => measurements.of(row, 'usercast'));
  const values = rows.map((row) => {
    const { label, unit } = ROWS[row];
    const cells = Object.keys(COMPETITORS).map((name) => {
      const found = measurements.of(row, name);
      return found ? format(spread(found.map((value) => value / UNIT_SIZES[unit])), 2) : '';
    });
    return `| ${label}, ${unit} | ${cells.join(' | ')} |`;
  });
  const ratios = rows.map((row) => {
    const { label, targets } = ROWS[row];
    const cells = ['ws', 'socket-io'].map((name) => {
      const ratio = spread(measurements.ratios(row, name));
      const target = targets?.[name];
      if (target === undefined) return `${format(ratio, 2)} |`;
      return `${format(ratio, 2)} | ≤ ${target}: ${ratio.median <= target ? 'met' : '**missed**'}`;
    });
    return `| ${label} | ${cells.join(' | ')} |`;
  });
  return [
    `| | ${Object.values(COMPETITORS).join(' | ')} |`,
    '|---|---|---|---|',
    ...values,
    '',
    '| usercast against | bare `ws` | target | Socket.IO | target |',
    '|---|---|---|---|---|',
    ...ratios,
  ].join('\n');
}

/** What was measured, and on what. */
export function machine({ connections, idleConnections, handshakes, generations, rounds, processRounds }) {
  const require = createRequire(import.meta.url);
  const version = (name) => require(`${name}/package.json`).version;
  const [cpu] = cpus();
  return [
    `- ${new Date().toISOString().slice(0, 10)}, ${cpu.model.trim()}, ${cpus().length} cores, ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${release()}, Node ${process.version}`,
    `- usercast ${require('../package.json').version}, ws ${version('ws')}, Socket.IO ${version('socket.io')}`,
    `- messages: ${connections} connections of distinct users, ${generations * rounds} rounds; idle connections: ` +
      `${idleConnections}, ${processRounds} processes each; handshakes: ${handshakes}, ${processRounds} processes each`,
  ].join('\n');
}
