"""What Redis itself does, in Lua: each script is one atomic step.

Times are decimal texts of microseconds: exact in a double until the year 2255.
"""

from __future__ import annotations

LOOK = """
-- KEYS: now, sorted sets, marks of events; ARGV: how many sets, then from and to of each
local sets = tonumber(ARGV[1])
local found = {redis.call('GET', KEYS[1]) or ''}
for i = 1, sets do
  found[i + 1] = table.concat(redis.call('ZRANGEBYSCORE', KEYS[i + 1], ARGV[2 * i], ARGV[2 * i + 1]))
end
for i = sets + 2, #KEYS do found[i] = redis.call('EXISTS', KEYS[i]) end
return found
"""

_RELABEL = """
local function relabel(member, time, place, value, at, delay)
  -- windows wait for the label delay themselves; only a later label needs its time
  local from = tonumber(time)
  if tonumber(at) > from + tonumber(delay) then from = tonumber(at) end
  return string.sub(member, 1, 16) .. struct.pack('<i8', from) .. string.sub(member, 25, place - 1)
    .. value .. string.sub(member, place + 8)
end
"""

ADD = (
    _RELABEL
    + """
-- KEYS: now, mark, waiting label, decision, sorted sets
-- ARGV: time, arrival, member, horizon, time to live, place of the label or 0, label delay,
--       event id or '', whether there is a decision ('1' or ''),
--       then of each set: its name without prefix, how long it keeps
local time, arrival, member, ttl, place = ARGV[1], ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[6])
local named = ARGV[8] ~= ''
if named and place > 0 and ARGV[9] ~= '' then redis.call('SET', KEYS[4], ARGV[8], 'PX', ttl) end
if named and redis.call('EXISTS', KEYS[2]) == 1 then return 'duplicate' end
local now = redis.call('GET', KEYS[1])
if not now or tonumber(arrival) > tonumber(now) then
  now = arrival
  redis.call('SET', KEYS[1], now)
end
if tonumber(time) < tonumber(now) - tonumber(ARGV[4]) then return 'late' end
if named and place > 0 then
  local early = redis.call('GET', KEYS[3])
  if early then
    local label = cmsgpack.unpack(early)
    member = relabel(member, time, place, label[1], label[2], ARGV[7])
    redis.call('DEL', KEYS[3])
  end
end
local sets = {}
for i = 5, #KEYS do
  local at = 10 + 2 * (i - 5)
  sets[#sets + 1] = ARGV[at]
  redis.call('ZADD', KEYS[i], time, member)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('(%.0f', tonumber(now) - tonumber(ARGV[at + 1])))
  redis.call('PEXPIRE', KEYS[i], ttl)
end
if named then
  redis.call('SET', KEYS[2], place > 0 and cmsgpack.pack({time, member, sets}) or '', 'PX', ttl)
end
return 'added'
"""
)

LABEL = (
    _RELABEL
    + """
-- KEYS: decision, read where there is no event id
-- ARGV: event id or '', value, at, place of the label, label delay, prefix, time to live
local id = ARGV[1]
if id == '' then
  id = redis.call('GET', KEYS[1])
  if not id then return 0 end
end
local prefix = ARGV[6]
local mark = redis.call('GET', prefix .. 'e:' .. id)
if not mark then
  redis.call('SET', prefix .. 'x:' .. id, cmsgpack.pack({ARGV[2], ARGV[3]}), 'PX', ARGV[7])
  return 0
end
local kept = cmsgpack.unpack(mark)
local member = relabel(kept[2], kept[1], tonumber(ARGV[4]), ARGV[2], ARGV[3], ARGV[5])
for _, name in ipairs(kept[3]) do
  if redis.call('ZREM', prefix .. name, kept[2]) == 1 then redis.call('ZADD', prefix .. name, kept[1], member) end
end
redis.call('SET', prefix .. 'e:' .. id, cmsgpack.pack({kept[1], member, kept[3]}), 'KEEPTTL')
return 1
"""
)

OF_ENTITY = """
-- KEYS: marks of events; ARGV: names of sets without prefix. The marks of events that are in any of them
local wanted, found = {}, {}
for _, name in ipairs(ARGV) do wanted[name] = true end
for _, key in ipairs(KEYS) do
  local mark = redis.call('GET', key)
  if mark and mark ~= '' then
    for _, name in ipairs(cmsgpack.unpack(mark)[3]) do
      if wanted[name] then
        found[#found + 1] = key
        break
      end
    end
  end
end
return found
"""
