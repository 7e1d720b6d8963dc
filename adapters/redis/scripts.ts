// What runs inside Redis. Each script is one atomic step on one partition.
//
// A partition counts the calls that append: the count is the offset of all that a call appends, so the offsets of a stream
// grow and leave room. A user is a hash: a field for each box with an unread count, and the empty field for the top, a
// string of the epoch (16 characters), a stamp that says when the life of the keys was last renewed (7), the newest
// entry's tag (8) and its offset. The hash has an end where it holds no counts. A stream is a list of entries: tag, flag,
// offset, a space and the payload. The flag is the sum of 1 where it counted and 2 where all recipients share the payload, which
// has a key then, and the key's name its place. The entry before the oldest that is kept stays as well, for its tag; where the
// stream began, a tag alone has its place. The epoch is the partition's generation, kept with the count of calls in one hash.

import { createHash } from 'node:crypto';
import type { RedisScript } from './redis-link.ts';

function script(source: string): RedisScript {
  return { source, digest: createHash('sha1').update(source).digest('hex') };
}

/**
 * KEYS: the generation, this process's writes. ARGV: the writes that it knows to be carried out, how many ms ago the last of
 * them was known, 16 random characters, `1` to tie the generation to the server's run.
 *
 * A server that knows of fewer writes has lost some: a new generation, unless another process has made one since they were
 * known. Beside it is the server's own time of its making.
 */
const GENERATION = `
local call, sub = redis.call, string.sub
local known, agoMs, random = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local server = ''
if ARGV[4] == '1' then server = string.match(call('INFO', 'server'), 'run_id:(%w+)') end
local function generationAfter(written)
  local stored = call('HGET', KEYS[1], '')
  local isHere = stored and (server == '' or sub(stored, 17) == server)
  if isHere and written >= known then return sub(stored, 1, 16) end
  local time = call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if isHere and now - (call('HGET', KEYS[1], 'made') or 0) < agoMs then return sub(stored, 1, 16) end
  call('HSET', KEYS[1], '', random .. server, 'made', string.format('%d', now))
  return random
end
local WRITES_MS = 86400000
local function write()
  local written = call('INCR', KEYS[2])
  local generation = generationAfter(written - 1)
  if written <= known then
    written = known + 1
    call('SET', KEYS[2], string.format('%d', written), 'PX', WRITES_MS)
  elseif written == 1 then call('PEXPIRE', KEYS[2], WRITES_MS) end
  return written, generation
end
`;

/** Gives a user's hash an end, unless it holds counts: these stay. */
const LET_END = `
local function letEnd(user, lifeMs)
  if call('HLEN', user) == 1 then call('PEXPIRE', user, lifeMs) end
end
`;

/** The top of a user, which begins anew where it is of another generation or not there; what is left of the old stream goes. */
const TOP_OF = `${LET_END}
local function topOf(user, stream, generation, stamp, lifeMs)
  local at = call('HGET', user, '')
  if not at or sub(at, 1, 16) ~= generation then
    call('DEL', stream)
    at = generation .. stamp .. sub(random, 1, 8) .. '0'
    call('HSET', user, '', at)
  end
  letEnd(user, lifeMs)
  return at
end
`;

/**
 * Appends a message to the streams of up to a batch of users, moves their counts and tells their subscribers: each on the
 * user's own channel, or all processes at once on the partition's, with the payload once.
 *
 * KEYS: generation, writes, the message's record; for each delivery the payload's where it is shared, the hash and the stream
 * of each recipient. ARGV: see `GENERATION`; the tag, the batch's number, the stamp, the entries kept, the life of a stream, of
 * a user without counts and of the record in ms, the partition's channel or nothing, what is before the user id in a user's
 * channel; then for each delivery its payload, what names it where it is shared (else empty), `1` where it counts, its box, what
 * it does (`+` counts, `-` acks, empty), the number of its recipients, and their ids as JSON.
 *
 * The record is a hash. As long as one call alone has written it, the empty field holds the call's tag, and a field for
 * each batch what was answered: the batches of one call have no recipient in common. The first call of another tag puts a
 * field for each recipient in their place, and a dash into the empty one. What a recipient got in a generation that is
 * gone is appended again, and not counted again: the count is still there.
 *
 * Returns the writes, the generation, the offset; nothing where that is everybody's, else for each recipient `+`, `=` with
 * generation, tag and offset of the first time, or `!`, separated by spaces; and the errors of those.
 */
export const APPEND = script(`${GENERATION}${LET_END}
local written, generation = write()
local tag, batch, stamp, kept = ARGV[5], ARGV[6], ARGV[7], ARGV[8] + 1
local streamMs, userMs, recordMs, all, own = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
-- Trimming costs as much as appending: it is done for several entries at once.
local most = kept + math.floor(ARGV[8] / 8)

local record, field = KEYS[3], tag .. batch
local by = call('HMGET', record, '', field)
local isShared = by[1] == '-'
if by[2] then
  local same = cmsgpack.unpack(by[2])
  if same[1] == generation then return {written, same[1], same[2], same[3], same[4]} end
end
local function spread(said, segment)
  local of, offset, result, _, lists = unpack(cmsgpack.unpack(segment))
  local nextItem = string.gmatch(result, '%S+')
  for _, list in ipairs(lists) do
    for _, user in ipairs(cjson.decode(list)) do
      if nextItem() ~= '!' then call('HSET', record, 'u' .. user, '=' .. of .. said .. offset) end
    end
  end
end
if by[2] or (by[1] and by[1] ~= tag and not isShared) then
  local segments = call('HGETALL', record)
  for i = 1, #segments, 2 do
    if segments[i] ~= '' then
      spread(sub(segments[i], 1, 8), segments[i + 1])
      call('HDEL', record, segments[i])
    end
  end
  call('HSET', record, '', '-')
  isShared = true
end

local offset = string.format('%d', call('HINCRBY', KEYS[1], 'offset', 1))
local renewed = generation .. stamp
local top = renewed .. tag .. offset
-- Turning a number into text is dear, and many have the same count.
local increased = {}
local function oneMore(count)
  local more = increased[count] or string.format('%d', count + 1)
  increased[count] = more
  return more
end
local function append(user, stream, entry, change, box)
  local at, count
  if change == '+' then
    local fields = call('HMGET', user, '', box)
    at, count = fields[1], oneMore(fields[2] or '0')
  else at = call('HGET', user, '') end
  local isRenewed, previous = at and sub(at, 1, 23) == renewed, nil
  if isRenewed or (at and sub(at, 1, 16) == generation) then previous = sub(at, 24, 31)
  else
    call('DEL', stream)
    previous = sub(random, 1, 8)
  end
  local length = call('RPUSH', stream, entry)
  if length == 1 then
    call('LPUSH', stream, previous)
    isRenewed = false
  elseif length > most then call('LTRIM', stream, -kept, -1) end
  if count then
    call('HSET', user, '', top, box, count)
    if count == '1' then call('PERSIST', user) end
  else
    call('HSET', user, '', top)
    if change == '-' and call('HDEL', user, box) == 1 then letEnd(user, userMs) end
  end
  if not isRenewed then
    call('PEXPIRE', stream, streamMs)
    letEnd(user, userMs)
  end
  return previous
end

local items, errors, lists, n, isPlain = {}, {}, {}, 0, true
local untold
local function tell(channel, message)
  local reply = redis.pcall('PUBLISH', channel, message)
  if type(reply) == 'table' then untold = reply end
end
local key, at = 4, 14
while ARGV[at] do
  local payload, name, flag, box, change = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local count, list = tonumber(ARGV[at + 5]), ARGV[at + 6]
  local whole = tag .. flag .. offset .. ' ' .. payload
  local entry = whole
  if name ~= '' then
    call('SET', KEYS[key], payload, 'PX', streamMs)
    key = key + 1
    entry = tag .. flag + 2 .. offset .. ' ' .. name
  end
  lists[#lists + 1] = list
  local users = (isShared or all == '') and cjson.decode(list)
  local known = {}
  if isShared then
    for i = 1, count do known[i] = 'u' .. users[i] end
    known = call('HMGET', record, unpack(known))
  end
  local told, fresh = {}, 0
  for i = 1, count do
    n = n + 1
    told[i] = '--------'
    local item = known[i]
    local again = item and sub(item, 2, 17) ~= generation
    if item and not again then items[n], isPlain = item, false
    else
      local said, stored, moved = whole, entry, change
      if again then
        said = tag .. '0' .. offset .. ' ' .. payload
        stored, moved = said, ''
      end
      local ok, previous = pcall(append, KEYS[key], KEYS[key + 1], stored, moved, box)
      if ok then
        items[n] = '+'
        if isShared then call('HSET', record, 'u' .. users[i], '=' .. generation .. tag .. offset) end
        if all == '' or again then tell(own .. users[i], 'p' .. previous .. generation .. said)
        else fresh, told[i] = fresh + 1, previous end
      else
        items[n], isPlain = '!', false
        errors[#errors + 1] = type(previous) == 'table' and previous.err or tostring(previous)
      end
    end
    key = key + 2
  end
  at = at + 7
  if fresh > 0 then
    tell(all, generation .. tag .. flag .. offset .. ' ' .. list .. '\\n' .. table.concat(told) .. '\\n' .. payload)
  end
end
local result = isPlain and '' or table.concat(items, ' ')
if not isShared then
  call('HSET', record, '', tag, field, cmsgpack.pack({generation, offset, result, errors, lists}))
end
call('PEXPIRE', record, recordMs)
return untold or {written, generation, offset, result, errors}
`);

/**
 * KEYS: generation, writes; hash, stream and marks of the user. ARGV: see `GENERATION`; the stamp, the life of a user
 * without counts in ms; the generation and offset of the position to read after (empty: no entries), the most entries
 * wanted. Returns the top, the entries and the one before them, the hash, the marks and, where there are any, the time in µs.
 */
export const READ = script(`${GENERATION}${TOP_OF}
local generation = generationAfter(known)
local at = topOf(KEYS[3], KEYS[4], generation, ARGV[5], ARGV[6])
local entries, after, limit = {}, tonumber(ARGV[8]), tonumber(ARGV[9])
if ARGV[7] == generation and limit > 0 and tonumber(sub(at, 32)) > after then
  local low, high = 1, call('LLEN', KEYS[4])
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = call('LINDEX', KEYS[4], middle)
    if tonumber(string.match(entry, '^%d+', 10)) > after then high = middle else low = middle + 1 end
  end
  entries = call('LRANGE', KEYS[4], low - 1, low - 1 + limit)
end
local marks = call('LRANGE', KEYS[5], 0, -1)
local time = #marks > 0 and call('TIME')
return {at, entries, call('HGETALL', KEYS[3]), marks, time and string.format('%d', time[1] * 1000000 + time[2])}
`);

/**
 * KEYS: generation, writes; hash, stream and marks of each user. ARGV: see `GENERATION`; the stamp, the life of a user
 * without counts in ms. Returns the top and the newest mark of each.
 */
export const TOPS = script(`${GENERATION}${TOP_OF}
local generation = generationAfter(known)
local tops = {}
for i = 3, #KEYS, 3 do
  tops[#tops + 1] = topOf(KEYS[i], KEYS[i + 1], generation, ARGV[5], ARGV[6])
  tops[#tops + 1] = call('LINDEX', KEYS[i + 2], -1) or ''
end
return tops
`);

/**
 * Looks whether the partition has lost writes, and sends a probe. KEYS: generation, writes. ARGV: see `GENERATION`; the
 * probe's channel, the partition's. Returns the generation, and how many processes are on
 * the partition's channel.
 */
export const PROBE = script(`${GENERATION}
local written = tonumber(call('GET', KEYS[2]) or '0')
local generation = generationAfter(written)
if written < known then call('SET', KEYS[2], ARGV[1]) end
call('PEXPIRE', KEYS[2], WRITES_MS)
call('PUBLISH', ARGV[5], '')
return {generation, call('PUBSUB', 'NUMSUB', ARGV[6])[2]}
`);

/**
 * KEYS: generation, writes, marks. ARGV: see `GENERATION`; the target, how long marks are kept in ms, how many at most,
 * the channel. A mark's number is the time of its making in microseconds, so that it grows even after all older
 * ones have gone.
 */
export const MARK = script(`${GENERATION}
local written = write()
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = call('LINDEX', KEYS[3], -1)
local number = newest and math.max(now, tonumber(string.match(newest, '^%d+')) + 1) or now
local mark = string.format('%d', number) .. ' ' .. ARGV[5]
local length = call('RPUSH', KEYS[3], mark)
while length > tonumber(ARGV[7]) or tonumber(string.match(call('LINDEX', KEYS[3], 0), '^%d+')) < now - ARGV[6] * 1000 do
  call('LPOP', KEYS[3])
  length = length - 1
end
call('PEXPIRE', KEYS[3], ARGV[6])
call('PUBLISH', ARGV[8], 'm' .. mark)
return written
`);

/** KEYS: generation (for the way to its node). ARGV: the payload, then the channels. */
export const WHISPER = script(`
for i = 2, #ARGV do redis.call('PUBLISH', ARGV[i], 'w' .. ARGV[1]) end
`);

/** KEYS: generation, writes; what is to be erased. ARGV: see `GENERATION`. */
export const FORGET = script(`${GENERATION}
local written = write()
call('DEL', unpack(KEYS, 3))
return written
`);

/** The same script for a cluster, where channels belong to slots as keys do. */
export function sharded({ source }: RedisScript): RedisScript {
  return script(source.replaceAll("'PUBLISH'", "'SPUBLISH'").replaceAll("'NUMSUB'", "'SHARDNUMSUB'"));
}
