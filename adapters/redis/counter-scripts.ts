// What the counter store runs inside Redis. Each script is one atomic step on one partition.
//
// Of each user there are two hashes with a field per box: the counts, which stay, and what tells an ack from a count that
// it overtook, which is kept as long as ids are remembered. That is, packed: epoch and offset of the last ack; the newest
// positions counted since, each epoch before its offsets; how many they are, at most 128; when it was written; the last epoch.

import { createHash } from 'node:crypto';
import type { RedisScript } from './redis-link.ts';

function script(source: string): RedisScript {
  return { source, digest: createHash('sha1').update(source).digest('hex') };
}

const DETAILS = `
local call = redis.call
local rememberMs = tonumber(ARGV[1])
local time = call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local function detailsOf(key, box)
  local packed = call('HGET', key, box)
  if packed then return cmsgpack.unpack(packed) end
  return {'', 0, {}, 0, 0, ''}
end
local function isAcked(details, epoch, offset)
  return details[1] == epoch and offset <= details[2]
end
local function prune(key)
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    if cmsgpack.unpack(all[i + 1])[5] < nowMs - rememberMs then call('HDEL', key, all[i]) end
  end
end
local function add(details, epoch, offset)
  local recent = details[3]
  if details[6] ~= epoch then recent[#recent + 1] = epoch end
  details[6] = epoch
  recent[#recent + 1] = offset
  details[4] = details[4] + 1
  if details[4] <= 128 then return end
  details[4] = 128
  table.remove(recent, 2)
  if type(recent[2]) == 'string' then table.remove(recent, 1) end
end
local function keep(key, box, details)
  details[5] = nowMs
  local isNew = call('HSET', key, box, cmsgpack.pack(details)) == 1
  call('PEXPIRE', key, rememberMs)
  -- Clients choose what they ack: the boxes of one who never rests go one by one.
  if isNew and call('HLEN', key) % 64 == 0 then prune(key) end
end
`;

/**
 * KEYS: for each message id its record, then for each user the counts and the details. ARGV: how long ids are remembered, how
 * many records; then for each counted message the numbers of its record and of its user, user, box, epoch and offset.
 */
export const INCREMENT: RedisScript = script(`${DETAILS}
local records = tonumber(ARGV[2])
for i = 3, #ARGV, 6 do
  local record, number = KEYS[tonumber(ARGV[i])], tonumber(ARGV[i + 1])
  local user, box, epoch, offset = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5])
  if call('HEXISTS', record, user) == 0 then
    local counts = KEYS[records + number * 2 - 1]
    local key = KEYS[records + number * 2]
    local details = detailsOf(key, box)
    if not isAcked(details, epoch, offset) then
      add(details, epoch, offset)
      call('HINCRBY', counts, box, 1)
      keep(key, box, details)
    end
    call('HSET', record, user, '')
    call('PEXPIRE', record, rememberMs)
  end
end
return 1
`);

/** KEYS: the user's counts and details. ARGV: how long ids are remembered, box, epoch and offset. */
export const RESET: RedisScript = script(`${DETAILS}
local box, epoch, offset = ARGV[2], ARGV[3], tonumber(ARGV[4])
local details = detailsOf(KEYS[2], box)
if isAcked(details, epoch, offset) then return 0 end
local left, of = {epoch, offset, {}, 0, 0, ''}, nil
for _, one in ipairs(details[3]) do
  if type(one) == 'string' then
    of = one
  elseif of == epoch and one > offset then
    add(left, epoch, one)
  end
end
if left[4] > 0 then call('HSET', KEYS[1], box, left[4]) else call('HDEL', KEYS[1], box) end
keep(KEYS[2], box, left)
return 1
`);

/** KEYS: the user's counts. Boxes and counts by turns, whatever protocol the connection speaks. */
export const COUNTS: RedisScript = script("return redis.call('HGETALL', KEYS[1])");

/** KEYS: the user's counts and details. ARGV: epoch and offset. Boxes and counts by turns, without what lies after it. */
export const COUNTS_UP_TO: RedisScript = script(`
local epoch, offset = ARGV[1], tonumber(ARGV[2])
local counts = redis.call('HGETALL', KEYS[1])
local answer = {}
for i = 1, #counts, 2 do
  local count, of = tonumber(counts[i + 1]), nil
  local packed = redis.call('HGET', KEYS[2], counts[i])
  for _, one in ipairs(packed and cmsgpack.unpack(packed)[3] or {}) do
    if type(one) == 'string' then
      of = one
    elseif of == epoch and one > offset then
      count = count - 1
    end
  end
  if count > 0 then
    answer[#answer + 1] = counts[i]
    answer[#answer + 1] = count
  end
end
return answer
`);

/** KEYS: the user's counts and details. */
export const FORGET: RedisScript = script("return redis.call('UNLINK', KEYS[1], KEYS[2])");
