// Times on the wire.

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,18})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Whether this is a time with a date that exists; a leap second (`:60`) passes.
 * @see RFC 3339 section 5.6
 */
export function isTime(value: unknown): value is string {
  const match = typeof value === 'string' ? TIME.exec(value) : null;
  if (!match) return false;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
