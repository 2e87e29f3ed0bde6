//! Redis is the judge of scripts: each of these gets the same reply from this server and from Debian's Redis, to the
//! byte, errors included, in both protocol versions.
//!
//! A script runs with two keys and four arguments; between scripts both databases are emptied. What Redis 7.0, which
//! is at hand, does otherwise than 7.2 is left out: how fractions are passed to commands, `os`, some texts, functions
//! that newer versions have withdrawn, and errors that it crashes on.

mod common;

use common::{Client, Process};

const KEYS: [&str; 2] = ["{k}1", "{k}2"];
const ARGS: [&str; 4] = ["1", "two", "3.5", ""];

/// What the language itself gives.
const VALUES: &[&str] = &[
    "return 1",
    "return 3.99",
    "return -3.99",
    "return 1e15",
    "return 1/0",
    "return -1/0",
    "return 0/0",
    "return 'text'",
    "return ''",
    "return 'a\\0b'",
    "return true",
    "return false",
    "return nil",
    "return",
    "",
    "return {}",
    "return {1,2,3}",
    "return {1,2,nil,4}",
    "return {1,'two',{3,{4,{}}},true,false}",
    "return {ok='FINE'}",
    "return {ok='two\\r\\nlines'}",
    "return {err='MYCODE message'}",
    "return {err='message'}",
    "return {err='two\\r\\nlines'}",
    "return {1,{err='MYERR inner'},{ok='inner'}}",
    "return {err=5}",
    "return {ok=5}",
    "return {double=3.5}",
    "return {double=1/0}",
    "return {map={a=1}}",
    "return {set={x=true}}",
    "return {big_number='123456789012345678901234567890'}",
    "return {verbatim_string={format='txt',string='text'}}",
    "return {verbatim_string={format='t',string='text'}}",
    "return {verbatim_string={string='text'}}",
    "return redis.status_reply('OK')",
    "return redis.error_reply('ERR x')",
    "return redis.error_reply('x')",
    "return redis.error_reply('-CODE x')",
    "return redis.error_reply('')",
    "return redis.error_reply(5)",
    "return redis.status_reply()",
    "return redis.sha1hex('')",
    "return redis.sha1hex('abc')",
    "return redis.sha1hex(123)",
    "return redis.sha1hex()",
    "return KEYS",
    "return ARGV",
    "return {#KEYS, #ARGV, KEYS[1], ARGV[4], KEYS[3]}",
    "return function() end",
    "return coroutine.create(function() end)",
    "return redis.LOG_DEBUG + redis.LOG_VERBOSE + redis.LOG_NOTICE + redis.LOG_WARNING",
    "return {redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL}",
    "return _VERSION",
    "return tostring(nil) .. tostring(true) .. tostring(1.5) .. tostring(1e100)",
    "return {tonumber('0x10'), tonumber('z', 36), tonumber('x')}",
    "return string.format('%5.2f|%d|%s|%q|%x', 3.14159, 42, 'x', 'a\"b', 255)",
    "return {string.rep('ab', 3), ('abc'):upper(), string.reverse('abc'), string.len('abc')}",
    "return {string.find('hello world', 'o w'), string.match('key=val', '(%w+)=(%w+)')}",
    "return string.gsub('hello', 'l', 'L')",
    "local t = {} for w in string.gmatch('one two', '%a+') do t[#t+1] = w end return t",
    "return table.concat({1,2,3}, ',')",
    "local t = {3,1,2} table.sort(t) return t",
    "local t = {1,2,3} table.insert(t, 4) table.remove(t, 1) return t",
    "return {math.floor(3.7), math.max(1,5,3), math.abs(-4), math.fmod(7,3)}",
    "return {unpack({1,2,3}, 2)}",
    "return {select('#', 1, nil, 3), select(2, 'a', 'b')}",
    "local co = coroutine.wrap(function() coroutine.yield(1) coroutine.yield(2) end) return {co(), co()}",
    "return {pcall(error, 'x')}",
    "return {pcall(function() error('x') end)}",
    "return {pcall(function() error({err='MY x'}) end)}",
    "return {pcall(function() error({1,2}) end)}",
    "return {xpcall(function() error('x') end, function(e) return 'handled ' .. e end)}",
    "return {pcall(redis.call, 'nosuch')}",
    "return {pcall(redis.call, 'get')}",
    "math.randomseed(42) return {math.random(1000), math.random(1000), math.random(5, 10)}",
    "math.randomseed(7) return tostring(math.random())",
    "return math.random(0)",
    "return math.random(5, 1)",
    "return math.random(1, 2, 3)",
    "return loadstring('return 1 + 1')()",
    "return {loadstring('return +')}",
    "return {loadstring('x', 'name')}",
    "return {load(function() return nil end)}",
    "local parts = {'return ', '4', '2'} local i = 0 return load(function() i = i + 1 return parts[i] end)()",
    "return {load(function() return 5 > 3 end)}",
    "return {loadstring('\\27Lua')}",
    "return redis.breakpoint()",
    "return redis.replicate_commands()",
    "return redis.debug('x')",
    "return redis.set_repl(redis.REPL_ALL)",
    "return redis.acl_check_cmd('set', 'x', 'y')",
    "return redis.acl_check_cmd('nosuch')",
    "return redis.acl_check_cmd()",
    "local n = 0 for k, v in pairs({a=1, b=2, 3}) do n = n + v end return n",
    "return next({})",
    "return rawget({a=1}, 'a')",
    "return rawequal(redis, redis)",
    "return redis.REDIS_VERSION_NUM > 0",
];

/// What is an error, and how it is told.
const ERRORS: &[&str] = &[
    "error('x')",
    "error('x', 0)",
    "error('x', 2)",
    "error()",
    "error(nil)",
    "error(5)",
    "error(true)",
    "error({err='MYCODE x'})",
    "error({err='x'})",
    "\n\nerror('third line')",
    "local function f() error('inner') end\nf()",
    "return nosuch",
    "return nosuch.field",
    "nosuch = 1",
    "function f() end",
    "local x = nil; return x.y",
    "local x = nil; return x()",
    "return 1 + {}",
    "return {} .. 'x'",
    "return 1 < 'x'",
    "return #5",
    "return redis.nosuch()",
    "return redis.nosuch",
    "return redis.call()",
    "return redis.pcall()",
    "return redis.call({})",
    "return redis.call('get', {})",
    "return redis.pcall('get', true)",
    "return redis.call('nosuch')",
    "return redis.pcall('nosuch')",
    "return redis.call('get')",
    "return redis.call('get', 'a', 'b')",
    "return redis.call('set', KEYS[1], '1') and redis.call('lpush', KEYS[1], 'x')",
    "redis.call('set', KEYS[1], 'x')\nreturn redis.call('incr', KEYS[1])",
    "redis.call('set', KEYS[1], 'x') return redis.pcall('incr', KEYS[1])",
    "redis.call('set', KEYS[1], 'x') return redis.pcall('incr', KEYS[1]).err",
    "redis.call('set', KEYS[1], 'x') local r = {pcall(redis.call, 'incr', KEYS[1])} return r",
    "redis.call('set', KEYS[1], 'x') local ok, e = pcall(redis.call, 'incr', KEYS[1]) return {tostring(ok), e}",
    "return redis.call('eval', 'return 1', 0)",
    "return redis.call('multi')",
    "return redis.call('subscribe', 'x')",
    "return redis.call('auth', 'x')",
    "return redis.call('config', 'nosuch')",
    "return redis.call('object', 'nosuch', KEYS[1])",
    "return redis.setresp()",
    "return redis.setresp(4)",
    "return redis.set_repl(99)",
    "return redis.log()",
    "return redis.log('x', 'y')",
    "string.nosuch = 1",
    "redis.call = 1",
    "_G.x = 1",
    "cjson.encode = nil",
    "rawset(_G, 'x', 1)",
    "rawset(redis, 'x', 1)",
    "setmetatable(_G, {})",
    "setmetatable(_G, nil)",
    "setmetatable(redis, nil)",
    "setmetatable(1, nil)",
    "setmetatable({}, 1)",
    "getmetatable('').__index = function() end",
    "getmetatable(_G).__index = nil",
    "table.insert(redis, 1)",
    "return getmetatable(redis)",
    "return getmetatable({})",
    "return type(getmetatable(_G))",
    "return type(getmetatable(''))",
    "return type(getmetatable('').__index)",
    "return dofile('x')",
    "return loadfile('x')",
    "return print('x')",
    "return io.open('x')",
    "return require('x')",
    "return package.path",
    "return debug.getinfo(1)",
    "return module('x')",
    "return string.rep()",
    "return string.rep('x', -1)",
    "return ('x'):rep('y')",
    "return table.concat({1,{},3})",
    "return unpack({}, 1, 1e8)",
    "return string.format('%d', 'x')",
    "return string.format('%y', 1)",
    "return setmetatable({}, {__index = function(t, k) error('from index ' .. k) end}).x",
    "return setmetatable({}, {__tostring = function() return 'x' end})",
    "local t = setmetatable({}, {__call = function(self, a) return a * 2 end}) return t(21)",
    "return (function(...) return select('#', ...) end)(1, nil, nil)",
    "return x x",
    "return 'unfinished",
    "return (",
    "if true then",
    "for",
    "goto x",
    "return 1 return 2",
    "return [[unfinished",
    "local function f() return f() + 1 end return f()",
    "return string.gsub('x', '(', '')",
    "return string.find('x', '[a')",
    "return coroutine.resume(coroutine.create(function() error('in coroutine') end))",
    "coroutine.yield(1)",
    "#!lua\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 'x')",
    "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=\nreturn 1",
    "#!lua flags=nosuch\nreturn 1",
    "#!lua name=x\nreturn 1",
    "#!lua",
    "#!python\nreturn 1",
    "#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys\nreturn nosuch",
    "#!\nreturn 1",
];

/// Commands, and their replies as values.
const COMMANDS: &[&str] = &[
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('get', KEYS[1])",
    "return redis.call('set', KEYS[1], 12345) and redis.call('get', KEYS[1])",
    "return redis.call('set', KEYS[1], 1e10) and redis.call('get', KEYS[1])",
    "redis.call('rpush', KEYS[1], 'a', 'b', 'c') return redis.call('lrange', KEYS[1], 0, -1)",
    "redis.call('hset', KEYS[1], 'f', 'v') return redis.call('hgetall', KEYS[1])",
    "redis.call('hset', KEYS[1], 'f', 'v') return redis.call('hmget', KEYS[1], 'f', 'g')",
    "redis.call('zadd', KEYS[1], 1.5, 'm') return redis.call('zscore', KEYS[1], 'm')",
    "redis.call('zadd', KEYS[1], 1.5, 'm') return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    "redis.call('sadd', KEYS[1], 'm') return redis.call('smembers', KEYS[1])",
    "return redis.call('type', KEYS[1])",
    "return redis.call('type', KEYS[1]).ok",
    "return redis.call('ping')",
    "return redis.call('echo', 'a\\0b')",
    "return redis.call('incr', KEYS[1]) + redis.call('incrby', KEYS[1], 10)",
    "return type(redis.call('get', KEYS[1]))",
    "return redis.call('exists', KEYS[1], KEYS[2])",
    "return redis.call('mset', KEYS[1], 1, KEYS[2], 2) and redis.call('mget', KEYS[1], KEYS[2], 'nosuch')",
    "redis.call('set', KEYS[1], 'x', 'px', 100000) return redis.call('pttl', KEYS[1]) > 0",
    "redis.call('select', 9) redis.call('set', 'in-nine', 1) return redis.call('dbsize')",
    "return redis.call('dbsize')",
    "redis.call('set', 'undeclared', 'x') return redis.call('get', 'undeclared')",
    "redis.call('set', 'undeclared:' .. ARGV[1], 'x') return redis.call('keys', '*')",
    "redis.call('set', KEYS[1], 'x') redis.call('rename', KEYS[1], 'other') return redis.call('get', 'other')",
    "redis.call('set', KEYS[1], string.rep('x', 100000)) return #redis.call('get', KEYS[1])",
    "redis.call('set', KEYS[1], string.rep('x', 40000)) return redis.call('get', KEYS[1])",
    "for i = 1, 100 do redis.call('rpush', KEYS[1], i) end return redis.call('llen', KEYS[1])",
    "redis.setresp(3) redis.call('hset', KEYS[1], 'f', 'v') return redis.call('hgetall', KEYS[1])",
    "redis.setresp(3) redis.call('hset', KEYS[1], 'f', 'v') return redis.call('hgetall', KEYS[1]).map.f",
    "redis.setresp(3) redis.call('sadd', KEYS[1], 'm') return redis.call('smembers', KEYS[1])",
    "redis.setresp(3) redis.call('zadd', KEYS[1], 1.5, 'm') return redis.call('zscore', KEYS[1], 'm')",
    "redis.setresp(3) redis.call('zadd', KEYS[1], 1.5, 'm') return redis.call('zscore', KEYS[1], 'm').double * 2",
    "redis.setresp(3) return redis.call('get', KEYS[1])",
    "redis.setresp(3) return {redis.call('get', KEYS[1]), 1}",
    "redis.setresp(3) return true",
    "redis.setresp(3) return {true, false}",
    "redis.setresp(3) return type(redis.call('get', KEYS[1]))",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'attrib')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'verbatim')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'bignum')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'true')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'double')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'null')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'set')",
    "return redis.call('debug', 'protocol', 'null')",
    "redis.call('sadd', KEYS[1], 'f', 'a', 'z', 'c', 'm') return redis.call('sort', KEYS[1], 'by', 'nosort')",
    "redis.call('sadd', KEYS[1], 'f', 'a', 'z', 'c', 'm') return redis.call('sort', KEYS[1], 'by', 'nosort', 'limit', 1, 2, 'desc')",
    "redis.call('sadd', KEYS[1], 10, 9, 2) return redis.call('sort_ro', KEYS[1], 'by', 'nosort')",
    "redis.call('rpush', KEYS[1], 'f', 'a', 'z') return redis.call('sort', KEYS[1], 'by', 'nosort')",
    "return redis.call('xadd', KEYS[1], '1-1', 'f', 'v') and redis.call('xrange', KEYS[1], '-', '+')",
];

/// Numbers, strings and tables in JSON, MessagePack and C structures, and operations on bits.
const LIBRARIES: &[&str] = &[
    "return cjson.encode({1,2,3})",
    "return cjson.encode({})",
    "return cjson.encode({a=1})",
    "return cjson.encode({a={b={c={}}}})",
    "return cjson.encode({[1]=1,[2]=2,[4]=4})",
    "return cjson.encode({[1]=1,[100]=2})",
    "return cjson.encode({[3]=1,[11]=2})",
    "return cjson.encode({[1.5]=1})",
    "return cjson.encode({[true]=1})",
    "return cjson.encode({[0]=1})",
    "return cjson.encode({[-1]=1})",
    "return cjson.encode('a\"b\\\\c/d\\n\\t\\r\\b\\f\\1\\127')",
    "return cjson.encode(1.5) .. cjson.encode(100) .. cjson.encode(1e20) .. cjson.encode(-0.1) .. cjson.encode(1/3)",
    "return cjson.encode(123456789012345) .. ' ' .. cjson.encode(12345678901234) .. ' ' .. cjson.encode(0.00001)",
    "return cjson.encode(1e14) .. ' ' .. cjson.encode(2^53) .. ' ' .. cjson.encode(-2^31) .. ' ' .. cjson.encode(1e9)",
    "return cjson.encode(1/0)",
    "return cjson.encode(0/0)",
    "return cjson.encode(nil)",
    "return cjson.encode(true)",
    "return cjson.encode(cjson.null)",
    "return cjson.encode(function() end)",
    "return cjson.encode(coroutine.create(function() end))",
    "return cjson.encode()",
    "return cjson.encode(1, 2)",
    "local t = {} for i = 1, 1001 do t = {t} end return cjson.encode(t)",
    "local t = {} for i = 1, 999 do t = {t} end return #cjson.encode(t)",
    "return cjson.decode('[1,2,3]')",
    "return cjson.decode('{\"a\":[true,false,null,\"x\"]}').a",
    "return tostring(cjson.decode('null') == cjson.null)",
    "return cjson.decode('\"\\\\u0041\\\\u00e9\\\\u20ac\\\\ud83d\\\\ude00\"')",
    "return cjson.decode('\"\\\\ud83d\"')",
    "return cjson.decode('\"\\\\udc00\"')",
    "return cjson.decode('\"\\\\uZZZZ\"')",
    "return cjson.decode('\"\\\\x\"')",
    "return cjson.decode('\"unfinished')",
    "return cjson.decode('[1,2')",
    "return cjson.decode('[1,,2]')",
    "return cjson.decode('{\"a\" 1}')",
    "return cjson.decode('{a:1}')",
    "return cjson.decode('{\"a\":1,}')",
    "return cjson.decode('[1] x')",
    "return cjson.decode('')",
    "return cjson.decode(' ')",
    "return cjson.decode('tru')",
    "return cjson.decode('@')",
    "return cjson.decode('\\0\\0')",
    "return cjson.decode('[1\\0]')",
    "return cjson.decode(5)",
    "return cjson.decode({})",
    "return cjson.decode()",
    "return tostring(cjson.decode('1e3')) .. tostring(cjson.decode('-0.5')) .. tostring(cjson.decode('0x1F'))",
    "return tostring(cjson.decode('[inf]')[1]) .. tostring(cjson.decode('[-inf]')[1]) .. tostring(cjson.decode('[+1]')[1])",
    "return cjson.decode('[-]')",
    "return cjson.decode('[1.2.3]')",
    "return cjson.decode('[01]')",
    "return cjson.decode(string.rep('[', 1001) .. string.rep(']', 1001))",
    "return #cjson.decode(string.rep('[', 999) .. string.rep(']', 999))",
    "return {cjson.encode_max_depth(), cjson.decode_max_depth(), cjson.encode_number_precision()}",
    "return {cjson.encode_sparse_array()}",
    "return {tostring(cjson.encode_keep_buffer()), tostring(cjson.encode_invalid_numbers())}",
    "return tostring(cjson.decode_invalid_numbers())",
    "local c = cjson.new() c.encode_sparse_array(true) return c.encode({[1]=1,[100]=2})",
    "local c = cjson.new() c.encode_sparse_array(true, 0, 1) return c.encode({[1]=1,[5]=2})",
    "local c = cjson.new() c.encode_number_precision(3) return c.encode({1/3, 12345, 1e-7})",
    "local c = cjson.new() return c.encode_number_precision(15)",
    "local c = cjson.new() return c.encode_max_depth('x')",
    "local c = cjson.new() c.encode_max_depth(2) return c.encode({{{}}})",
    "local c = cjson.new() c.decode_max_depth(2) return c.decode('[[[]]]')",
    "local c = cjson.new() c.encode_invalid_numbers('null') return c.encode({1/0, 0/0})",
    "local c = cjson.new() c.encode_invalid_numbers(true) return c.encode({1/0, -1/0})",
    "local c = cjson.new() return c.encode_invalid_numbers('x')",
    "local c = cjson.new() c.decode_invalid_numbers(false) return c.decode('[0x1F]')",
    "local c = cjson.new() c.decode_invalid_numbers(false) return c.decode('[nan]')",
    "return {cjson._NAME, cjson._VERSION}",
    "return cmsgpack.pack(1)",
    "return cmsgpack.pack(0, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 2^53)",
    "return cmsgpack.pack(-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649)",
    "return cmsgpack.pack(1.5, 0.1, 1/0, -0.5, 1e300)",
    "return cmsgpack.pack('', 'short', string.rep('x', 32), string.rep('y', 300), string.rep('z', 70000))",
    "return cmsgpack.pack(true, false, nil)",
    "return cmsgpack.pack({}, {1,2,3}, {a=1}, {1,nil,3}, {[2]=1}, {[1.5]=1})",
    "local t = {} for i = 1, 20 do t[i] = i end return cmsgpack.pack(t)",
    "local t = {} t.t = t return cmsgpack.pack(t)",
    "return cmsgpack.pack()",
    "return {cmsgpack.unpack(cmsgpack.pack(1, 'x', {1,2}, -5, 70000, 1.5))}",
    "return cmsgpack.unpack('\\xc1')",
    "return cmsgpack.unpack('\\205\\1')",
    "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
    "return cmsgpack.unpack('\\219\\255\\255\\255\\255abc')",
    "return cmsgpack.unpack('\\129\\192\\1')",
    "return cmsgpack.unpack('')",
    "return cmsgpack.unpack()",
    "return {cmsgpack.unpack_one('\\1\\2\\3')}",
    "return {cmsgpack.unpack_one('\\1\\2\\3', 2)}",
    "return {cmsgpack.unpack_limit('\\1\\2\\3', 2)}",
    "return {cmsgpack.unpack_limit('\\1\\2\\3', 2, 1)}",
    "return cmsgpack.unpack_limit('\\1', -1)",
    "return cmsgpack.unpack_one('\\1', 5)",
    "return cmsgpack.unpack_one('\\1', -5)",
    "return cmsgpack.unpack(string.rep('\\145', 100000))",
    "return tostring(cmsgpack.unpack('\\207\\255\\255\\255\\255\\255\\255\\255\\255'))",
    "return {cmsgpack._NAME, cmsgpack._VERSION}",
    "return struct.pack('bBhHlLiI', -1, 255, -2, 65535, -3, 4, -5, 6)",
    "return struct.pack('>i4<i4', 1, 1)",
    "return struct.pack('!4bi', 1, 2)",
    "return struct.pack('fd', 1.5, 2.5)",
    "return struct.pack('sc3c0x', 'abc', 'defg', 'hi')",
    "return struct.pack('c5', 'abc')",
    "return struct.pack('i33', 1)",
    "return struct.pack('i16>i16', -1, -1)",
    "return struct.pack('y', 1)",
    "return struct.pack('!3i', 1)",
    "return struct.pack('i')",
    "return struct.pack('i99999999999', 1)",
    "return {struct.unpack('bBhH', struct.pack('bBhH', -1, 255, -2, 65535))}",
    "return {struct.unpack('>i2', '\\1\\2'), struct.unpack('<i2', '\\1\\2')}",
    "return {struct.unpack('s', 'abc\\0def')}",
    "return {struct.unpack('bc0', '\\3abcd')}",
    "return struct.unpack('s', 'abc')",
    "return struct.unpack('c0', 'abc')",
    "return struct.unpack('i8', 'abc')",
    "return struct.unpack('i4', 'abcd', 0)",
    "return struct.unpack('i4', 'abcd', 2)",
    "return struct.unpack('i4', 'abcd', -1)",
    "return {struct.unpack('I16', string.rep('\\255', 16))}",
    "return {struct.size('bhi'), struct.size('!8bd'), struct.size('c10'), struct.size('i3')}",
    "return struct.size('s')",
    "return struct.size('c0')",
    "return struct.size('?')",
    "return {bit.tobit(0xffffffff), bit.tobit(2^40 + 5), bit.tobit(-1.5)}",
    "return {bit.band(0xff, 0x0f), bit.bor(1, 2, 4), bit.bxor(5, 1), bit.bnot(0)}",
    "return {bit.lshift(1, 31), bit.rshift(-1, 28), bit.arshift(-256, 4), bit.lshift(1, 33)}",
    "return {bit.rol(0x12345678, 12), bit.ror(0x12345678, 12), bit.bswap(0x12345678)}",
    "return {bit.tohex(255), bit.tohex(255, 4), bit.tohex(-1, -8), bit.tohex(1, 0), bit.tohex(1, 100)}",
    "return bit.tohex(65535, -2147483648)",
    "return bit.band()",
    "return bit.band('x')",
    "return bit.band({})",
    "return bit.lshift(1)",
];

/// Scripts that clients are known to send.
const APPLICATIONS: &[&str] = &[
    // A limiter with a fixed window.
    "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], 60) end return n",
    // A limiter with a sliding window.
    "local now = 1000000 redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - 60) local n = redis.call('ZCARD', KEYS[1]) \
     if n < tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], now, now) redis.call('EXPIRE', KEYS[1], 60) return 1 \
     end return 0",
    // Redlock: release and extend.
    "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end",
    "redis.call('set', KEYS[1], ARGV[1]) if redis.call('get', KEYS[1]) == ARGV[1] then \
     return redis.call('pexpire', KEYS[1], 10000) else return 0 end",
    // Keys built from arguments, as by Asynq.
    "local prefix = 'asynq:{' .. ARGV[2] .. '}:' redis.call('HSET', prefix .. 't:1', 'msg', 'm', 'state', 'pending') \
     redis.call('LPUSH', prefix .. 'pending', '1') local id = redis.call('RPOPLPUSH', prefix .. 'pending', prefix .. \
     'active') if id then local key = prefix .. 't:' .. id redis.call('HSET', key, 'state', 'active') \
     return redis.call('HGET', key, 'state') end return nil",
    "local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 100) for _, id in ipairs(ids) do \
     redis.call('LPUSH', ARGV[2] .. id, id) end return table.getn(ids)",
    "return cjson.encode(redis.call('hgetall', KEYS[1]))",
    "local t = cjson.decode('{\"id\":7,\"tags\":[\"a\",\"b\"]}') redis.call('hset', KEYS[1], 'id', t.id) \
     redis.call('sadd', KEYS[2], unpack(t.tags)) return {redis.call('hget', KEYS[1], 'id'), redis.call('scard', KEYS[2])}",
];

fn eval(client: &mut Client, script: &str) -> Vec<u8> {
    let keys = KEYS.len().to_string();
    let mut request = vec!["EVAL", script, &keys];
    request.extend(KEYS);
    request.extend(ARGS);
    client.ask(&request)
}

/// Runs scripts on both servers, and tells all that differ.
fn compare(scripts: &[&str]) {
    let args = ["--enable-debug-command", "yes"];
    let (redis, nuthatch) = (Process::redis(&args), Process::nuthatch(&args));
    let mut different = Vec::new();
    for protocol in ["2", "3"] {
        let (mut judge, mut tested) = (redis.connect(), nuthatch.connect());
        for client in [&mut judge, &mut tested] {
            client.ask(&["HELLO", protocol]);
        }
        for script in scripts {
            let expected = eval(&mut judge, script);
            let got = eval(&mut tested, script);
            if got != expected {
                different.push(format!(
                    "RESP{protocol} {script}\n  Redis:    {}\n  Nuthatch: {}",
                    expected.escape_ascii(),
                    got.escape_ascii()
                ));
            }
            judge.ask(&["FLUSHALL"]);
            tested.ask(&["FLUSHALL"]);
        }
    }
    assert!(different.is_empty(), "{} replies differ\n{}", different.len(), different.join("\n"));
}

#[test]
fn values_are_those_of_redis() {
    compare(VALUES);
}

#[test]
fn errors_are_those_of_redis() {
    compare(ERRORS);
}

#[test]
fn commands_in_scripts_are_those_of_redis() {
    compare(COMMANDS);
}

#[test]
fn libraries_are_those_of_redis() {
    compare(LIBRARIES);
}

#[test]
fn applications_get_what_they_get_from_redis() {
    compare(APPLICATIONS);
}
