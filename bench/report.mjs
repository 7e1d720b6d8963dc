// From measurements to what is read: medians, spreads, ratios beside their targets, in the terminal and in RESULTS.md.

import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { versionOf } from './engines.mjs';
import { STEADY } from './measures/cluster.mjs';
import { COMPETITORS } from './pair.mjs';
import { SECTIONS } from './sections.mjs';

const UNITS = {
  µs: { size: 1, digits: 2 },
  ms: { size: 1, digits: 1 },
  KiB: { size: 1024, digits: 2 },
  'MB/s': { size: 1e6, digits: 1 },
  '1/s': { size: 1, digits: 0 },
};

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, low: sorted[0], high: sorted.at(-1) };
}

function format({ median, low, high }, digits) {
  const text = median.toFixed(digits);
  return low === high ? text : `${text} (${low.toFixed(digits)}-${high.toFixed(digits)})`;
}

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

  /** One against another, round by round: what disturbs a round of a shared machine disturbs both. */
  ratios(row, name, otherRow, other) {
    const others = this.of(otherRow, other);
    return others && this.of(row, name)?.map((value, round) => value / others[round]);
  }
}

const line = (...cells) => `| ${cells.join(' | ')} |`;
const verdict = (sign, target, isMet) => `${sign} ${target}: ${isMet ? 'met' : '**missed**'}`;

function valueTable({ of, against, rows }, measurements, names) {
  const columns = [of, ...against];
  const hasLimits = Object.values(rows).some(({ limit }) => limit !== undefined);
  const lines = names.map((row) => {
    const { label, unit, limit } = rows[row];
    const { size, digits } = UNITS[unit];
    const spreads = columns.map((name) => {
      const found = measurements.of(row, name);
      return found && spread(found.map((value) => value / size));
    });
    const cells = spreads.map((found) => (found ? format(found, digits) : '-'));
    const limits = hasLimits ? [spreads[0] ? verdict('≤', limit, spreads[0].median <= limit) : '-'] : [];
    return line(`${label}, ${unit}`, ...cells, ...limits);
  });
  const heads = [...columns.map((name) => COMPETITORS[name].label), ...(hasLimits ? ['target'] : [])];
  return [line('', ...heads), line(...['', ...heads].map(() => '---')), ...lines];
}

function ratioTable({ of, against, rows }, measurements, names) {
  if (against.length === 0) return [];
  const lines = names.map((row) => {
    const { label, targets, from = row, moreIsBetter = false } = rows[row];
    const cells = against.flatMap((name) => {
      const ratios = measurements.ratios(row, of, from, name);
      if (!ratios) return ['-', ''];
      const ratio = spread(ratios);
      const target = targets?.[name];
      if (target === undefined) return [format(ratio, 2), ''];
      const isMet = moreIsBetter ? ratio.median >= target : ratio.median <= target;
      return [format(ratio, 2), verdict(moreIsBetter ? '≥' : '≤', target, isMet)];
    });
    return line(label, ...cells);
  });
  const heads = against.flatMap((name) => [COMPETITORS[name].label, 'target']);
  return ['', line(`${COMPETITORS[of].label} against`, ...heads), line(...['', ...heads].map(() => '---')), ...lines];
}

/** The tables of what was measured, as Markdown; `measured` are the rows that were asked for. */
export function tables(measurements, measured) {
  return SECTIONS.flatMap((section) => {
    const isMeasured = (row) => [section.of, ...section.against].some((name) => measurements.of(row, name));
    const names = Object.keys(section.rows).filter((row) => measured(row) || isMeasured(row));
    if (names.length === 0) return [];
    const values = valueTable(section, measurements, names);
    return [[`## ${section.title}`, '', ...values, ...ratioTable(section, measurements, names)].join('\n')];
  }).join('\n\n');
}

/** What was measured, and on what. */
export function machine(size) {
  const require = createRequire(import.meta.url);
  const version = (name) => require(`${name}/package.json`).version;
  const [cpu] = cpus();
  return [
    `- ${new Date().toISOString().slice(0, 10)}, ${cpu.model.trim()}, ${cpus().length} cores, ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${release()}, Node ${process.version}`,
    `- usercast ${require('../package.json').version}, ws ${version('ws')}, Socket.IO ${version('socket.io')}`,
    `- between processes: Redis ${versionOf('redis')} without persistence, NATS ${versionOf('nats')}, ` +
      `redis ${version('redis')}, Socket.IO's Redis adapter ${version('@socket.io/redis-adapter')}, ` +
      `its Redis Streams adapter ${version('@socket.io/redis-streams-adapter')}`,
    `- messages, with and without a cursor: ${size.connections} connections of distinct users, ` +
      `${size.generations * size.rounds} rounds`,
    `- idle connections: ${size.idleConnections}, ${size.processRounds} processes each; handshakes: ` +
      `${size.handshakes}, ${size.processRounds} processes each`,
    `- two processes: ${size.connections} connections over both, deliveries at a steady ` +
      `${Object.entries(STEADY)
        .map(([recipients, rate]) => `${rate}/s to ${recipients}`)
        .join(', ')}, ` +
      `${size.clusterRounds} rounds; Redis' own time: ${size.appendUsers} users, half with a subscriber, ` +
      `${size.appendRounds} rounds`,
    `- resuming: ${size.resumes} clients at once that missed ${size.missed} messages each; reconnecting: ` +
      `${size.reconnects} clients at once; replay: ${size.replayed} messages; ${size.comeBackRounds} rounds each`,
  ].join('\n');
}
