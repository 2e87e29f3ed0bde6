//! What scripts must not be able to do: a script for each published weakness of Redis's scripting that could
//! apply here, and for what a sandbox has to keep. Each gets an answer, and the server goes on.

mod common;

use common::{Client, Process, text};

fn eval(client: &mut Client, script: &str) -> String {
    let reply = client.ask(&["EVAL", script, "0"]);
    match reply[0] {
        b'$' if reply == b"$-1\r\n" => "nil".to_owned(),
        b'*' | b'_' => reply.escape_ascii().to_string(),
        _ => text(&reply),
    }
}

/// Runs a script that must end with this error, on a server that must survive it.
fn refused(client: &mut Client, script: &str, expected: &str) {
    let got = eval(client, script);
    assert!(got.contains(expected), "{script}\nexpected: {expected}\ngot: {got}");
    assert_eq!(text(&client.ask(&["PING"])), "PONG", "{script}");
}

fn gives(client: &mut Client, script: &str, expected: &str) {
    let got = eval(client, script);
    assert_eq!(got, expected, "{script}");
    assert_eq!(text(&client.ask(&["PING"])), "PONG", "{script}");
}

const READ_ONLY: &str = "Attempt to modify a readonly table";

/// CVE-2022-0543 (Debian's packages left `package` in place), CVE-2015-4335 (bytecode).
#[test]
fn no_files_processes_modules_or_bytecode() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    for name in [
        "package", "require", "module", "io", "debug", "dofile", "loadfile", "print", "newproxy", "getfenv",
        "setfenv",
    ] {
        let expected = format!("nonexistent global variable '{name}'");
        refused(client, &format!("return {name}"), &expected);
    }
    for call in ["os.execute('true')", "os.exit()", "os.getenv('HOME')", "os.remove('x')", "os.tmpname()"] {
        refused(client, &format!("return {call}"), "attempt to call field");
    }
    let dumped = "local f = string.dump(function() return 1 end)";
    gives(client, &format!("{dumped} return tostring(loadstring(f))"), "nil");
    gives(
        client,
        &format!("{dumped} return tostring(load(function() local s = f f = nil return s end))"),
        "nil",
    );
    let (_, message) = ("", eval(client, "return select(2, loadstring('\\27Lua'))"));
    assert!(message.contains("unexpected symbol"), "{message}");
}

/// CVE-2022-24735 (a script changes what those of other users call), CVE-2025-46818 (by way of the metatables of basic
/// types).
#[test]
fn nothing_of_the_servers_can_be_changed() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    let tables = [
        "_G",
        "redis",
        "server",
        "string",
        "table",
        "math",
        "os",
        "coroutine",
        "cjson",
        "cmsgpack",
        "struct",
        "bit",
    ];
    for table in tables {
        refused(client, &format!("{table}.x = 1"), READ_ONLY);
        refused(client, &format!("rawset({table}, 'x', 1)"), READ_ONLY);
        refused(client, &format!("setmetatable({table}, {{}})"), READ_ONLY);
        refused(client, &format!("table.insert({table}, 1)"), READ_ONLY);
        refused(client, &format!("for k in pairs({table}) do rawset({table}, k, nil) end"), READ_ONLY);
        // What can be reached from it cannot be changed either.
        gives(
            client,
            &format!(
                "for k, v in pairs({table}) do if type(v) == 'table' and v ~= KEYS and v ~= ARGV then \
                 if pcall(function() v.x = 1 end) or pcall(rawset, v, 'x', 1) then return tostring(k) end end end \
                 return 'nothing'"
            ),
            "nothing",
        );
    }
    refused(client, "getmetatable('').__index = {}", READ_ONLY);
    refused(client, "getmetatable('').__index.rep = function() end", READ_ONLY);
    refused(client, "getmetatable('').__add = function() end", READ_ONLY);
    refused(client, "getmetatable(_G).__index = function() end", READ_ONLY);
    refused(client, "rawset(getmetatable(''), '__index', {})", READ_ONLY);
    refused(client, "local _, t = pairs(redis) t.call = 1", READ_ONLY);
    refused(client, "x = 1", READ_ONLY);
    refused(client, "KEYS = {}", READ_ONLY);
    gives(
        client,
        "for _, v in ipairs({nil, true, 1, function() end}) do if getmetatable(v) then return 'has' end end \
                   return 'none'",
        "none",
    );
    // Nor is anything left behind where all scripts could find it.
    eval(client, "string.leak = 1");
    gives(client, "return tostring(rawget(string, 'leak'))", "nil");
    gives(client, "return redis.call('PING').ok", "PONG");
    gives(client, "return ('x'):rep(3)", "xxx");
}

/// CVE-2022-24736 (null pointers by odd error values), CVE-2021-32626 (the stack of Lua overflows in conversions).
#[test]
fn odd_values_are_answered() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    for script in [
        "error({})",
        "error({err={}})",
        "error({err=function() end})",
        "error(setmetatable({}, {__index = function() error('x') end}))",
        "error(setmetatable({}, {__tostring = function() error('x') end}))",
        "return setmetatable({}, {__index = function() error('x') end})",
        "return {err=setmetatable({}, {})}",
        "local e = {} e.err = e error(e)",
        "error(redis)",
        "error(_G)",
        "error(coroutine.create(function() end))",
        "return xpcall(function() error('a') end, function() error('b') end)",
        "local t = {} for i = 1, 100000 do t = {t} end return t",
        "local t = {} t[1] = t return t",
        "local t = {} t.map = t return t",
        "local t = {} t.set = {[t]=true} return t",
        "redis.setresp(3) local t = {} t.map = {[t]=t} return t",
        "return redis.call(unpack({}, 1, 7000))",
        "return {unpack({}, 1, 7999)}",
    ] {
        client.ask(&["EVAL", script, "0"]);
        assert_eq!(text(&client.ask(&["PING"])), "PONG", "{script}");
    }
    refused(client, "local t = {} for i = 1, 100000 do t = {t} end return t", "*");
}

/// CVE-2024-31449 (`bit.tohex`), CVE-2015-8080, CVE-2018-11219 and CVE-2020-14147 (`struct`), CVE-2018-11218
/// (`cmsgpack`): sizes that overflow.
#[test]
fn libraries_survive_sizes_at_the_limits() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    gives(client, "return bit.tohex(65535, -2147483648)", "0000FFFF");
    gives(client, "return bit.tohex(1, 2147483647)", "00000001");
    refused(client, "return struct.pack('>I2147483648', 1)", "integral size overflow");
    refused(client, "return struct.pack('I99999999999999999999', 1)", "integral size overflow");
    refused(client, "return struct.unpack('I4', 'abcd', 18446744073709551615)", "string too short");
    refused(client, "return struct.unpack('I4', 'abcd', -2)", "string too short");
    refused(client, "return struct.unpack('bc0', '\\255')", "string too short");
    refused(client, "return struct.unpack('c2147483647', 'x')", "string too short");
    refused(client, "return struct.unpack('i' , 'abcd', 9223372036854775807)", "string too short");
    refused(client, "return struct.size('c2147483648')", "integral size overflow");
    refused(client, "return struct.pack('c2147483647', 'x')", "string too short");
    refused(client, "return struct.pack('!1073741824i', 1) == 1 and 1 or error('alive')", "alive");
    refused(client, "return cmsgpack.unpack(string.rep('\\145', 4000000))", "stack overflow");
    refused(client, "return cmsgpack.unpack('\\223\\255\\255\\255\\255')", "Missing bytes");
    refused(client, "return cmsgpack.pack(unpack({}, 1, 7990))", "");
    refused(client, "return cjson.decode(string.rep('[', 4000000))", "too many nested");
    refused(
        client,
        "cjson.decode_max_depth(100000000) return cjson.decode(string.rep('[', 4000000))",
        "too many nested",
    );
    refused(
        client,
        "local t = {} for i = 1, 100000 do t = {t} end cjson.encode_max_depth(100000000) \
                     return cjson.encode(t)",
        "excessive nesting",
    );
    refused(
        client,
        "cjson.encode_sparse_array(true, 2147483647, 2147483647) return #cjson.encode({[1]=1,[3]=1})",
        "",
    );
}

/// CVE-2022-24834 (`cjson` and `cmsgpack` count the room for long texts in 32 bits): results many times as long as the
/// texts have all their bytes.
#[test]
fn long_texts_are_encoded_whole() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    gives(client, r"return #cjson.encode(('\1'):rep(2000000))", "12000002");
    gives(client, r"return #cjson.encode({('\1'):rep(2000000), ('/'):rep(2000000)})", "16000007");
    gives(client, r"return #cjson.encode({[('\127'):rep(500000)] = ('\\'):rep(500000)})", "4000007");
    gives(client, r"return #cmsgpack.pack(('\1'):rep(2000000), {('\1'):rep(2000000)})", "4000011");
    gives(
        client,
        r"local s = ('\1'):rep(2000000) return tostring(cjson.decode(cjson.encode(s)) == s)",
        "true",
    );
    gives(
        client,
        r"local s = ('\1'):rep(2000000) return tostring(cmsgpack.unpack(cmsgpack.pack(s)) == s)",
        "true",
    );
}

/// CVE-2025-46817 (`unpack` counts its results in 32 bits), CVE-2025-46819 (the lexer of long texts).
#[test]
fn the_language_survives_numbers_at_the_limits() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    for range in
        ["0, 2147483647", "-2147483648, 2147483647", "1, 2147483647", "-1, 2147483646", "-2147483647, 1e8"]
    {
        refused(client, &format!("return {{unpack({{}}, {range})}}"), "too many results to unpack");
    }
    gives(client, "return {unpack({}, 2147483647, -2147483648)}", "*0\\r\\n");
    for open in ["[", "[[", "[=", "[==", "]=", "[==[ ]=", "--[==[", "[=[ ]==]", "[====x"] {
        eval(client, open);
        eval(client, &format!("return loadstring({open:?})"));
    }
    eval(client, &format!("return [{}[ x", "=".repeat(200_000)));
    refused(client, "return ('x'):rep(1e9)", "resulting string too large");
    refused(client, "return ('x'):rep(1e300)", "resulting string too large");
    gives(client, "return #('x'):rep(100, 'y')", "100");
    refused(
        client,
        "return string.find(string.rep('a', 200000), string.rep('a?', 200000) .. 'b')",
        "too complex",
    );
    refused(
        client,
        "return string.gsub(string.rep('a', 200000), string.rep('.-', 200000), '')",
        "too complex",
    );
    gives(client, "return string.find(string.rep('a', 100000) .. '+', '+', 1, true)", "100001");
    // Recursion of C functions, with a buffer each.
    eval(client, "local function f(s) return (s:gsub('.', f)) end return f('x')");
    eval(client, "local function f() return pcall(f) end return f()");
    eval(
        client,
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
    );
    eval(client, &format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000)));
    eval(client, &format!("return {}", "{".repeat(100_000)));
    assert_eq!(text(&client.ask(&["PING"])), "PONG");
}

/// CVE-2025-49844 (the parser uses what was collected meanwhile), CVE-2024-46981 (finalisers run while an interpreter
/// is closed).
#[test]
fn the_collector_does_not_take_what_is_in_use() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    let stress = "collectgarbage('setpause', 0) collectgarbage('setstepmul', 1000000) ";
    let body = "local t = {} for i = 1, 300 do t[i] = 'local v' .. i .. ' = \"text number ' .. i .. '\" .. ' .. i end \
                local code = 'do ' .. table.concat(t, ' end do ') .. ' end return 7' ";
    for _ in 0..20 {
        gives(client, &format!("{stress}{body} return loadstring(code, 'name ' .. math.random())()"), "7");
        gives(client, &format!("{stress}{body} return loadstring(code)()"), "7");
        let reader = "local at = 0 local function reader() collectgarbage() at = at + 1 local from = (at - 1) * 50 + 1 \
                      local part = code:sub(from, from + 49) if part == '' then return nil end return part end";
        gives(client, &format!("{body}{reader} return load(reader, 'name ' .. math.random())()"), "7");
        assert_eq!(text(&client.ask(&["SCRIPT", "FLUSH"])), "OK");
    }
    refused(client, "return newproxy(true)", "nonexistent global variable 'newproxy'");
    // A table's finaliser is none in this version of Lua.
    eval(
        client,
        "for i = 1, 1000 do setmetatable({}, {__gc = function() redis.call('SET', 'x', 'y') end}) end",
    );
    assert_eq!(text(&client.ask(&["SCRIPT", "FLUSH"])), "OK");
    gives(client, "collectgarbage() return redis.call('EXISTS', 'x')", "0");
}

/// A script that is too long for one answer, in every way in which it could be.
#[test]
fn a_script_starts_with_what_it_was_given_and_no_more() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    assert_eq!(
        client.ask(&["EVAL", "return {KEYS[1], ARGV[1]}", "1", "k", "a"]),
        b"*2\r\n$1\r\nk\r\n$1\r\na\r\n"
    );
    gives(client, "return #KEYS + #ARGV", "0");
    eval(client, "KEYS[1] = 'left behind'");
    gives(client, "return tostring(KEYS[1])", "nil");
    assert_eq!(client.ask(&["SELECT", "3"]), b"+OK\r\n");
    eval(client, "redis.call('SELECT', 9)");
    client.ask(&["SET", "here", "1"]);
    client.ask(&["SELECT", "3"]);
    assert_eq!(client.ask(&["GET", "here"]), b"$1\r\n1\r\n");
}
