// What the report consists of: its tables, who is compared with whom in each, the rows and their targets.

const AS_GOOD_AS_SOCKET_IO = { 'socket-io': 1.0 };
const NEW_TOKEN = { ws: 2.3, 'socket-io': 1.1 };

const CLUSTER_SIZES = [
  { size: 1, recipients: '1 recipient', targets: { 'socket-io-streams': 0.5 } },
  { size: 100, recipients: '100 recipients', targets: { 'socket-io-streams': 1.2 } },
  { size: 1000, recipients: '1,000 recipients', targets: { 'socket-io-streams': 1.2 } },
];

/** The rows of each size: what is measured at the steady rate, and from 100 recipients on how fast it goes without one. */
const clusterRows = Object.fromEntries(
  CLUSTER_SIZES.flatMap(({ size, recipients, targets }) => [
    [`cluster-total-${size}`, { label: `message to ${recipients}, CPU of all three processes`, unit: 'µs', targets }],
    [`cluster-engine-${size}`, { label: `${recipients}, of it Redis or NATS`, unit: 'µs' }],
    [
      `cluster-steady-${size}`,
      { label: `${recipients}, deliveries at the steady rate`, unit: '1/s', moreIsBetter: true },
    ],
    ...(size === 1
      ? []
      : [[`cluster-flood-${size}`, { label: `${recipients}, deliveries at most`, unit: '1/s', moreIsBetter: true }]]),
  ]),
);

const NO_MORE_THAN_THE_SCRIPT = { 'bare-script': 1.67 };

/**
 * `of` is compared with each of `against`. A row's `targets` are the highest ratios to be reached (the lowest, where
 * `moreIsBetter`), by competitor; `limit` is the highest value; `from` is the row of those that check no token.
 */
export const SECTIONS = [
  {
    title: 'Messages, idle connections and handshakes',
    of: 'usercast',
    against: ['ws', 'socket-io'],
    rows: {
      'burst-1': { label: 'message, burst of 1', unit: 'µs', targets: { ws: 1.0, 'socket-io': 0.65 } },
      'burst-10': { label: 'message, burst of 10', unit: 'µs', targets: { ws: 0.3, 'socket-io': 0.2 } },
      rss: { label: 'RSS per idle connection', unit: 'KiB', targets: { ws: 1.5, 'socket-io': 0.5 } },
      heap: { label: 'heap per idle connection', unit: 'KiB' },
      'handshake-start': { label: 'handshake, new JWT (RS256), new process', unit: 'µs', targets: NEW_TOKEN },
      'handshake-new': { label: 'handshake, new JWT (RS256), warm process', unit: 'µs', targets: NEW_TOKEN },
      'handshake-remembered': {
        label: 'handshake, remembered JWT',
        unit: 'µs',
        targets: { ws: 1.6, 'socket-io': 0.9 },
      },
      'handshake-start-HS256': {
        label: 'handshake, new JWT (HS256), new process',
        unit: 'µs',
        from: 'handshake-start',
      },
      'handshake-new-HS256': { label: 'handshake, new JWT (HS256), warm process', unit: 'µs', from: 'handshake-new' },
    },
  },
  {
    title: 'A cursor on every message',
    of: 'usercast-v1',
    against: ['usercast'],
    rows: {
      'cursor-1': { label: 'message, burst of 1', unit: 'µs', targets: { usercast: 1.15 } },
      'cursor-10': { label: 'message, burst of 10', unit: 'µs', targets: { usercast: 1.5 } },
    },
  },
  {
    title: 'Coming back',
    of: 'usercast-v1',
    against: ['ws', 'socket-io'],
    rows: {
      'resume-cpu': {
        label: 'resuming with missed messages, CPU per session',
        unit: 'µs',
        targets: AS_GOOD_AS_SOCKET_IO,
      },
      'resume-wall': {
        label: 'resuming with missed messages, until all have them',
        unit: 'ms',
        targets: AS_GOOD_AS_SOCKET_IO,
      },
      'reconnect-p99': { label: 'reconnecting, event loop delay, p99', unit: 'ms' },
      'reconnect-max': { label: 'reconnecting, event loop delay, longest', unit: 'ms' },
      'reconnect-wall': { label: 'reconnecting, until all are open', unit: 'ms' },
      'replay-messages': {
        label: 'replay to one client, messages',
        unit: '1/s',
        moreIsBetter: true,
        targets: AS_GOOD_AS_SOCKET_IO,
      },
      'replay-bytes': {
        label: 'replay to one client, bytes',
        unit: 'MB/s',
        moreIsBetter: true,
        targets: AS_GOOD_AS_SOCKET_IO,
      },
    },
  },
  {
    title: 'Two processes',
    of: 'usercast-redis',
    against: ['socket-io-streams', 'socket-io-redis', 'nats'],
    rows: clusterRows,
  },
  {
    title: "Redis' own time",
    of: 'usercast-redis',
    against: ['bare-script'],
    rows: {
      'append-50': { label: 'append to 50 users, per user', unit: 'µs', targets: NO_MORE_THAN_THE_SCRIPT },
      'append-100': { label: 'append to 100 users, per user', unit: 'µs', targets: NO_MORE_THAN_THE_SCRIPT },
      'append-1000': { label: 'append to 1,000 users, per user', unit: 'µs', targets: NO_MORE_THAN_THE_SCRIPT },
    },
  },
  {
    title: 'Subscribed connections cut',
    of: 'usercast-redis',
    against: [],
    rows: {
      'resubscribe-ready': { label: '10,000 users, until the broker is ready', unit: 'ms', limit: 3_000 },
      'resubscribe-arrived': { label: '10,000 users, until a message to each has come', unit: 'ms', limit: 3_000 },
    },
  },
  {
    title: 'Browser client',
    of: 'usercast-v1',
    against: [],
    rows: { 'client-size': { label: 'minified and gzipped', unit: 'KiB', limit: 6 } },
  },
];
