//! The log of effects, held to Redis's: the same commands are run on both, and what each writes into its append-only
//! file is compared.

mod common;

use common::{Client, Process, encode, frame_len};
use std::path::Path;
use std::time::{Duration, Instant};

/// The commands in the last increment of a server's log, in words that do not depend on how commands are spelt.
fn logged(server: &Process) -> Vec<String> {
    let folder = server.dir().join("appendonlydir");
    let increment = |path: &Path| path.to_string_lossy().ends_with(".incr.aof");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| increment(path));
    files.sort();
    let bytes = std::fs::read(files.last().expect("an increment")).expect("a file");
    let (mut rest, mut commands) = (bytes.as_slice(), Vec::new());
    while let Some(len) = frame_len(rest) {
        let (request, tail) = rest.split_at(len);
        rest = tail;
        commands.push(words(request).join(" "));
    }
    assert!(rest.is_empty(), "half a command: {}", rest.escape_ascii());
    commands
}

fn words(request: &[u8]) -> Vec<String> {
    let elements = common::elements(request).expect("a request");
    elements.into_iter().map(common::text).collect()
}

/// What may differ: how names are spelt, times by a moment, the forms in which ours says more or says it otherwise.
fn normal(commands: Vec<String>) -> Vec<String> {
    let mut normal = Vec::new();
    for command in commands {
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        words[0] = words[0].to_lowercase();
        // Redis logs GEOADD as the ZADD that it is to it.
        if words[0] == "zadd" && words.iter().any(|word| word.len() == 16 && word.parse::<u64>().is_ok()) {
            words = vec!["geoadd".into(), words[1].clone()];
        } else if words[0] == "geoadd" {
            words.truncate(2);
        }
        // Ours tells how much a group has read, which Redis forgets.
        if words[0] == "xgroup" && words[1].eq_ignore_ascii_case("setid") && words.len() == 7 {
            continue;
        }
        // What a stream is trimmed to is said in one way only, and that it is there is not said again.
        if words[0] == "xadd" || words[0] == "xtrim" {
            words.retain(|word| word != "=" && !word.eq_ignore_ascii_case("nomkstream"));
        }
        // Which members are popped is left to chance.
        if words[0] == "srem" {
            words = vec![words[0].clone(), words[1].clone(), words.len().to_string()];
        }
        for word in &mut words {
            if let Ok(time) = word.parse::<u64>()
                && time > 1_700_000_000_000
                && time < 2_900_000_000_000
            {
                *word = (time / 10_000_000).to_string();
            }
            // IDs of streams are times.
            if word.len() > 13 && word.contains('-') && word.starts_with('1') {
                *word = "ID".to_owned();
            }
            *word = word.to_lowercase();
        }
        normal.push(words.join(" "));
    }
    // A transaction of which only one command is left is none.
    let mut at = 0;
    while at + 2 < normal.len() {
        if normal[at] == "multi" && normal[at + 2] == "exec" {
            normal.remove(at + 2);
            normal.remove(at);
        }
        at += 1;
    }
    normal
}

const SCRIPT: &str = "
DEBUG SET-ACTIVE-EXPIRE 0
SET a 1|SET a 2 NX|SET a 2 XX GET|SET a 3 KEEPTTL|SET e 1 EX 1000|SET e 1 PX 1000000|SET e 1 EXAT 2600000000
SET e 2 PXAT 2600000000123|SETEX e 100 x|PSETEX e 100000 x|SETNX e 1|SETNX n 1|GETSET n 2|GETSET n2 3
GETEX n|GETEX n EX 100|GETEX n PERSIST|GETEX n PERSIST|GETEX n PXAT 1000|GETDEL n2|GETDEL none
APPEND a xyz|SETRANGE a 2 q|INCR c|INCRBY c 5|DECRBY c 2|INCRBYFLOAT f 1.25|INCRBYFLOAT f 3|MSET x 1 y 2|MSETNX x 1 z 2|MSETNX v 1 w 2
EXPIRE a 100|EXPIRE a 100 NX|PEXPIRE a 200000 GT|EXPIREAT a 2600000000|PEXPIREAT a 2600000001000|PERSIST a|PERSIST a|EXPIRE x -1|EXPIRE none 10
DEL y none|UNLINK z v|DEL none|TOUCH a|RENAME w w2|RENAMENX w2 a|COPY a a2|COPY a a2 REPLACE|MOVE a2 1|SWAPDB 5 6
LPUSH l 1 2 3|RPUSH l 4 5 6|LPUSHX none 1|RPUSHX l 7|LPOP l|RPOP l 2|LPOP none|LINSERT l BEFORE 1 0|LINSERT l BEFORE 99 0|LSET l 0 s
LMOVE l m LEFT RIGHT|RPOPLPUSH l m|LREM m 0 none|LREM m 1 1|LTRIM l 0 3|LMPOP 2 none l LEFT COUNT 2|LMPOP 1 none LEFT|RPUSH l a b c d e
BLPOP none l 1|BRPOP l 1|BLMPOP 1 1 l RIGHT COUNT 10|RPUSH l a b c d e|BLMOVE l m LEFT LEFT 1|BRPOPLPUSH l m 1|BLMPOP 1 2 none l LEFT
SADD s 1 2 3|SADD s 1|SREM s 9|SREM s 1|SMOVE s t 2|SPOP one|SADD one x|SPOP one|SADD one x y|SPOP one 5|SADD one x|SPOP one 0
SINTERSTORE d s t|SUNIONSTORE d s t|SDIFFSTORE d s t|SDIFFSTORE d none none|SADD t 5 1 3|SORT t STORE sorted|SORT none STORE sorted
ZADD z 1 a 2 b 3 c|ZADD z NX 1 a|ZADD z XX CH 5 a|ZADD z INCR 2 a|ZINCRBY z 1 b|ZREM z none|ZREM z c|ZADD z 3 c 4 d 5 e 6 f
ZPOPMIN z|ZPOPMAX z 1|ZPOPMIN none|ZMPOP 2 none z MIN COUNT 2|BZPOPMIN none z 1|ZADD z 3 c 4 d 5 e|BZPOPMAX z 1|BZMPOP 1 1 z MAX COUNT 9
ZADD z 1 a 2 b|ZADD z2 5 a|ZUNIONSTORE zz 2 z z2|ZINTERSTORE zz 2 z z2|ZDIFFSTORE zz 2 z z2|ZRANGESTORE zz z 0 -1|ZREMRANGEBYRANK z 5 6|ZREMRANGEBYRANK z 0 0|ZREMRANGEBYSCORE z 0 100|ZREMRANGEBYLEX zz [a [b
HSET h f 1 g 2|HSETNX h f 2|HSETNX h k 2|HMSET h i 1|HINCRBY h f 5|HINCRBYFLOAT h f 1.5|HDEL h none|HDEL h g i|HDEL h f k
SETBIT b 7 1|BITFIELD b SET u8 0 255|BITFIELD b GET u8 0|BITOP NOT nb b|PFADD p a b c|PFADD p a|PFMERGE q p|GEOADD geo 13.36 38.11 p1 15.08 37.5 p2
GEOSEARCHSTORE gs geo FROMLONLAT 15 37 BYRADIUS 200 km ASC|GEOADD geo XX 13.36 38.12 p1
XADD st 1-1 f v|XADD st 2-* f v|XADD st NOMKSTREAM 3-1 f v|XADD none NOMKSTREAM * f v|XADD st MAXLEN 2 4-1 f v|XTRIM st MAXLEN 9|XTRIM st MAXLEN 1|XADD st 5-1 f v|XADD st 6-1 f v|XDEL st 5-1|XDEL st 5-1
XGROUP CREATE st g 0|XGROUP CREATE new g $ MKSTREAM|XGROUP CREATECONSUMER st g al|XGROUP CREATECONSUMER st g al|XREADGROUP GROUP g bo COUNT 1 STREAMS st >|XREADGROUP GROUP g bo STREAMS st >|XACK st g 4-1|XACK st g 4-1|XCLAIM st g al 0 6-1|XAUTOCLAIM st g bo 0 0|XGROUP SETID st g 4-1|XREADGROUP GROUP g ca NOACK STREAMS st >
XGROUP DELCONSUMER st g bo|XSETID st 9-9|XGROUP DESTROY st g|XGROUP DESTROY st g
MULTI|SET a 1|INCR c|EXEC|MULTI|SET a 1|EXEC|MULTI|GET a|EXEC|MULTI|SET a 1|SELECT 2|SET b 1|SELECT 0|EXEC|MULTI|SET a 1|DISCARD|MULTI|SPOP t|DEL none|EXEC
SELECT 3|SET a 1|SELECT 0|SET a 2|FLUSHDB|FLUSHDB|SELECT 4|SET q 1|FLUSHALL ASYNC|FLUSHALL|SELECT 0
SET gone 1|PEXPIRE gone 1|DEBUG SLEEP 0.01|SET gone 2|PEXPIRE gone 1|DEBUG SLEEP 0.01|GET gone|SET last 1";

/// Whether a script's line asks something of which the reply or effect is left to chance.
fn run(client: &mut Client) {
    for line in SCRIPT.split(['|', '\n']).filter(|line| !line.is_empty()) {
        let reply = client.ask(&line.split(' ').collect::<Vec<_>>());
        assert!(!reply.starts_with(b"-ERR unknown"), "{line}: {}", reply.escape_ascii());
    }
}

#[test]
fn the_log_is_the_one_that_redis_writes() {
    let args = ["--appendonly", "yes", "--enable-debug-command", "yes", "--appendfsync", "always"];
    let servers = [Process::nuthatch(&args), Process::redis(&args)];
    let mut logs = Vec::new();
    for server in &servers {
        let mut client = server.connect();
        let give_up = Instant::now() + Duration::from_secs(10);
        while client.ask(&["PING"]) != b"+PONG\r\n" {
            assert!(Instant::now() < give_up);
        }
        run(&mut client);
        // A waiting client is served by the one who pushes.
        let mut waiting = server.connect();
        waiting.write(&encode(&["BLPOP", "queue", "0"]));
        std::thread::sleep(Duration::from_millis(100));
        client.ask(&["RPUSH", "queue", "x", "y"]);
        waiting.receive();
        waiting.write(&encode(&["BLMOVE", "pipe", "out", "LEFT", "RIGHT", "0"]));
        std::thread::sleep(Duration::from_millis(100));
        client.ask(&["RPUSH", "pipe", "x"]);
        waiting.receive();
        waiting.write(&encode(&["BZPOPMIN", "zqueue", "0"]));
        std::thread::sleep(Duration::from_millis(100));
        client.ask(&["ZADD", "zqueue", "1", "x"]);
        waiting.receive();
        client.ask(&["SET", "end", "1"]);
        std::thread::sleep(Duration::from_millis(200));
        logs.push(normal(logged(server)));
    }
    let (ours, theirs) = (&logs[0], &logs[1]);
    let differ = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
    if let Some(at) = differ {
        let from = at.saturating_sub(3);
        panic!(
            "ours:\n{}\nRedis's:\n{}",
            ours[from..ours.len().min(at + 4)].join("\n"),
            theirs[from..theirs.len().min(at + 4)].join("\n")
        );
    }
    assert_eq!(ours.len(), theirs.len());
}
