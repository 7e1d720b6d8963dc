// The slots of a Redis Cluster: which one a key or channel is in, and who has it.

const CRC16 = new Uint16Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  CRC16[byte] = crc;
}

/** How many there are. */
export const SLOTS = 16_384;

/**
 * The slot of a key or of a sharded channel: of what stands between its first braces, where anything does.
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (let i = 0; i < hashed.length; i++) {
    const unit = hashed.charCodeAt(i);
    if (unit > 127) return slotOfBytes(Buffer.from(hashed));
    crc = ((crc << 8) & 0xffff) ^ CRC16[((crc >> 8) ^ unit) & 0xff]!;
  }
  return crc % SLOTS;
}

function slotOfBytes(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ CRC16[((crc >> 8) ^ byte) & 0xff]!;
  return crc % SLOTS;
}

/** Slots from `first` to `last`, and their primary. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  /** Empty where the server does not know its own: it is the one that was asked. */
  readonly host: string;
  readonly port: number;
}

/** The reply of `CLUSTER SLOTS`; ranges that cannot be read are left out. */
export function slotRanges(reply: unknown): SlotRange[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((range: unknown) => {
    if (!Array.isArray(range) || !Array.isArray(range[2])) return [];
    const [first, last] = [Number(range[0]), Number(range[1])];
    const [host, port] = [String(range[2][0] ?? ''), Number(range[2][1])];
    const isRange = first >= 0 && last < SLOTS && first <= last && port > 0;
    return isRange ? [{ first, last, host: host === '?' ? '' : host, port }] : [];
  });
}
