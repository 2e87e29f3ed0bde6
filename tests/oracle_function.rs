//! Redis is the judge of functions: a sequence of FUNCTION and FCALL gets the same replies from this server and from
//! Debian's Redis, errors included, and each restores what the other has dumped.

mod common;

use common::{Client, Process, elements};

const COUNTER: &str = "#!lua name=counter\nlocal function add(keys, args) return redis.call('INCRBY', keys[1], args[1]) end\n\
                       redis.register_function('add', add)\n\
                       redis.register_function{function_name='read', callback=function(keys) \
                       return redis.call('GET', keys[1]) end, flags={'no-writes'}, description='reads'}";

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('hello', function(keys, args) return {#keys, args} end)\n\
                       redis.register_function('Fails', function() return nosuch end)\n\
                       redis.register_function('raises', function() error('x') end)\n\
                       redis.register_function('command', function(keys) return redis.call('INCR', keys[1], 1) end)\n\
                       redis.register_function('state', function() return type(redis.register_function) end)\n\
                       redis.register_function('leak', function() x = 1 end)";

/// With one function only, since Redis lists several in any order.
const ONE: &str = "#!lua name=one\nredis.register_function{function_name='only', callback=function() end, \
                   flags={'no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'}, description='d'}";

/// Code that cannot be loaded, each for a reason of its own.
const REFUSED: &[&str] = &[
    "return 1",
    "#!lua",
    "#!lua\nreturn 1",
    "#!lua name=a-b\n",
    "#!lua name=\n",
    "#!js name=x\n",
    "#!lua name=x\n",
    "#!lua name=x\nreturn 1",
    "#!lua name=x name=y\n",
    "#!lua name=x foo=y\n",
    "#!lua name=x 'unbalanced\n",
    "#!lua name=x\nsyntax error",
    "#!lua name=x\nerror('at load')",
    "#!lua name=x\nredis.call('GET', 'x')",
    "#!lua name=x\nlocal a = math.floor(1)",
    "#!lua name=x\nlocal a = nosuch",
    "#!lua name=x\nx = 1",
    "#!lua name=x\nredis.register_function()",
    "#!lua name=x\nredis.register_function('f')",
    "#!lua name=x\nredis.register_function('f', 'g')",
    "#!lua name=x\nredis.register_function(1, 2, 3)",
    "#!lua name=x\nredis.register_function({}, function() end)",
    "#!lua name=x\nredis.register_function('bad name', function() end)",
    "#!lua name=x\nredis.register_function('', function() end)",
    "#!lua name=x\nredis.register_function('f', function() end) redis.register_function('f', function() end)",
    "#!lua name=x\nredis.register_function('add', function() end)",
    "#!lua name=x\nredis.register_function('ADD', function() end)",
    "#!lua name=x\nredis.register_function{function_name='f'}",
    "#!lua name=x\nredis.register_function{callback=function() end}",
    "#!lua name=x\nredis.register_function{function_name=function() end, callback=function() end}",
    "#!lua name=x\nredis.register_function{function_name='f', callback='x'}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags='x'}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags={'nosuch'}}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, description={}}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, nosuch='x'}",
];

fn requests() -> Vec<Vec<&'static str>> {
    let mut requests: Vec<Vec<&str>> = vec![
        vec!["FUNCTION", "LIST"],
        vec!["FUNCTION", "STATS"],
        vec!["FUNCTION", "LOAD", COUNTER],
        vec!["FUNCTION", "LOAD", COUNTER],
        vec!["FUNCTION", "LOAD", "REPLACE", COUNTER],
        vec!["FUNCTION", "LOAD", "NOSUCH", COUNTER],
        vec!["FUNCTION", "LOAD", "REPLACE"],
        vec!["FUNCTION", "LOAD"],
        vec!["FCALL", "add", "1", "k", "5"],
        vec!["FCALL", "ADD", "1", "k", "5"],
        vec!["FCALL", "read", "1", "k"],
        vec!["FCALL_RO", "read", "1", "k"],
        vec!["FCALL_RO", "add", "1", "k", "5"],
        vec!["FCALL", "nosuch", "0"],
        vec!["FCALL", "add", "x"],
        vec!["FCALL", "add", "-1"],
        vec!["FCALL", "add", "5", "k"],
        vec!["FCALL", "add"],
        vec!["FCALL", "add", "1", "k"],
        vec!["FCALL", "add", "1", "k", "x"],
        vec!["FUNCTION", "LOAD", LIBRARY],
        vec!["FCALL", "hello", "2", "a", "b", "c", "d"],
        vec!["FCALL", "hello", "0"],
        vec!["FCALL", "Fails", "0"],
        vec!["FCALL", "fails", "0"],
        vec!["FCALL", "raises", "0"],
        vec!["FCALL", "command", "1", "k"],
        vec!["FCALL", "state", "0"],
        vec!["FCALL", "leak", "0"],
        vec!["FUNCTION", "STATS"],
        vec!["FUNCTION", "LOAD", ONE],
        vec!["FUNCTION", "LIST", "LIBRARYNAME", "O*"],
        vec!["FUNCTION", "LIST", "LIBRARYNAME", "o*", "WITHCODE"],
        vec!["FUNCTION", "LIST", "LIBRARYNAME", "nosuch"],
        vec!["FUNCTION", "LIST", "LIBRARYNAME"],
        vec!["FUNCTION", "LIST", "WITHCODE", "WITHCODE"],
        vec!["FUNCTION", "LIST", "NOSUCH"],
        vec!["FUNCTION", "DELETE", "nosuch"],
        vec!["FUNCTION", "DELETE", "lib"],
        vec!["FUNCTION", "DELETE"],
        vec!["FCALL", "hello", "0"],
        vec!["FUNCTION", "KILL"],
        vec!["FUNCTION", "NOSUCH"],
        vec!["FUNCTION", "FLUSH", "NOSUCH"],
        vec!["FUNCTION", "FLUSH", "SYNC", "SYNC"],
        vec!["FUNCTION", "RESTORE", "x"],
        vec!["FUNCTION", "RESTORE", "x", "NOSUCH"],
        vec!["FUNCTION", "RESTORE", "x", "FLUSH", "FLUSH"],
    ];
    requests.extend(REFUSED.iter().map(|code| vec!["FUNCTION", "LOAD", *code]));
    requests.extend([
        vec!["FUNCTION", "STATS"],
        vec!["FUNCTION", "FLUSH"],
        vec!["FUNCTION", "STATS"],
        vec!["FCALL", "add", "1", "k", "5"],
    ]);
    requests
}

#[test]
fn functions_are_those_of_redis() {
    let (redis, nuthatch) = (Process::redis(&[]), Process::nuthatch(&[]));
    let mut different = Vec::new();
    for protocol in ["2", "3"] {
        let (mut judge, mut tested) = (redis.connect(), nuthatch.connect());
        for client in [&mut judge, &mut tested] {
            client.ask(&["HELLO", protocol]);
            client.ask(&["FLUSHALL"]);
        }
        for request in requests() {
            let (expected, got) = (judge.ask(&request), tested.ask(&request));
            if got != expected {
                different.push(format!(
                    "RESP{protocol} {request:?}\n  Redis:    {}\n  Nuthatch: {}",
                    expected.escape_ascii(),
                    got.escape_ascii()
                ));
            }
        }
    }
    assert!(different.is_empty(), "{} replies differ\n{}", different.len(), different.join("\n"));
}

/// The bytes of a bulk string.
fn bulk(reply: &[u8]) -> Vec<u8> {
    let start = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    reply[start..reply.len() - 2].to_vec()
}

fn libraries(client: &mut Client) -> usize {
    elements(&client.ask(&["FUNCTION", "LIST"])).expect("libraries").len()
}

#[test]
fn dumps_are_restored_by_the_other() {
    let (redis, nuthatch) = (Process::redis(&[]), Process::nuthatch(&[]));
    for (from, to) in [(&redis, &nuthatch), (&nuthatch, &redis)] {
        let (mut from, mut to) = (from.connect(), to.connect());
        for client in [&mut from, &mut to] {
            client.ask(&["FUNCTION", "FLUSH"]);
        }
        from.ask(&["FUNCTION", "LOAD", COUNTER]);
        from.ask(&["FUNCTION", "LOAD", LIBRARY]);
        let dumped = bulk(&from.ask(&["FUNCTION", "DUMP"]));
        let request = |policy: &str| {
            [b"FUNCTION".to_vec(), b"RESTORE".to_vec(), dumped.clone(), policy.as_bytes().to_vec()]
        };
        assert_eq!(to.ask(&request("APPEND")), b"+OK\r\n");
        assert_eq!(libraries(&mut to), 2);
        assert_eq!(to.ask(&request("APPEND"))[0], b'-');
        assert_eq!(to.ask(&request("REPLACE")), b"+OK\r\n");
        assert_eq!(to.ask(&request("FLUSH")), b"+OK\r\n");
        assert_eq!(libraries(&mut to), 2);
        to.ask(&["DEL", "k"]);
        assert_eq!(to.ask(&["FCALL", "add", "1", "k", "5"]), b":5\r\n");
    }
}
