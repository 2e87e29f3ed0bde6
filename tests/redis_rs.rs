//! The Rust client `redis` does with this server what it does with Redis: blocking and asynchronous, in both
//! protocols, alone and in pipelines.

mod common;

use common::Process;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Commands, ErrorKind, ExistenceCheck, SetExpiry, SetOptions, Value};
use std::collections::{BTreeMap, BTreeSet};

const PROTOCOLS: [&str; 2] = ["resp2", "resp3"];

fn open(server: &Process, protocol: &str) -> redis::Client {
    redis::Client::open(format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port)).expect("a URL")
}

/// Runs a test on a fresh server, in each protocol.
fn blocking(test: impl Fn(&mut redis::Connection, &Process) -> redis::RedisResult<()>) {
    for protocol in PROTOCOLS {
        let server = Process::nuthatch(&[]);
        let mut connection = open(&server, protocol).get_connection().expect("a connection");
        test(&mut connection, &server).unwrap_or_else(|error| panic!("{protocol}: {error}"));
    }
}

#[test]
fn strings() {
    blocking(|redis, _| {
        redis.set::<_, _, ()>("k", "v")?;
        assert_eq!(redis.get::<_, String>("k")?, "v");
        assert_eq!(redis.get::<_, Option<String>>("none")?, None);
        let only_new = SetOptions::default().conditional_set(ExistenceCheck::NX);
        assert_eq!(redis.set_options::<_, _, Option<String>>("k", "w", only_new)?, None);
        let expiring = SetOptions::default().with_expiration(SetExpiry::EX(100)).get(true);
        assert_eq!(redis.set_options::<_, _, String>("k", "w", expiring)?, "v");
        assert!(matches!(redis.ttl::<_, i64>("k")?, 99..=100));
        assert_eq!(redis.get_del::<_, String>("k")?, "w");
        redis.mset::<_, _, ()>(&[("a", 1), ("b", 2)])?;
        assert_eq!(redis.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"])?, [Some(1), None, Some(2)]);
        assert!(!redis.mset_nx::<_, _, bool>(&[("a", 9), ("c", 9)])?);
        assert_eq!(redis.incr::<_, _, i64>("a", 41)?, 42);
        assert_eq!(redis.incr::<_, _, f64>("a", 0.5)?, 42.5);
        assert_eq!(redis.append::<_, _, usize>("b", "34")?, 3);
        assert_eq!(redis.getrange::<_, String>("b", 1, -1)?, "34");
        let value: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        redis.set::<_, _, ()>(b"\0\xff\r\n", &value)?;
        assert!(redis.get::<_, Vec<u8>>(b"\0\xff\r\n")? == value);
        Ok(())
    });
}

#[test]
fn keys() {
    blocking(|redis, _| {
        let names: BTreeSet<String> = (0..1000).map(|number| format!("key:{number}")).collect();
        for name in &names {
            redis.set::<_, _, ()>(name, "v")?;
        }
        let scanned: BTreeSet<String> = redis.scan_match::<_, String>("key:*")?.collect();
        assert_eq!(scanned, names);
        assert_eq!(redis.keys::<_, Vec<String>>("key:99?")?.len(), 10);
        redis.rename::<_, _, ()>("key:0", "first")?;
        assert!(!redis.rename_nx::<_, _, bool>("key:1", "key:2")?);
        assert_eq!(redis.key_type::<_, String>("first")?, "string");
        assert_eq!(redis.del::<_, i64>(&["first", "none"])?, 1);
        assert!(redis.expire::<_, bool>("key:1", 100)?);
        assert!(redis.persist::<_, bool>("key:1")?);
        assert!(redis.exists::<_, bool>("key:1")?);
        assert_eq!(redis::cmd("DBSIZE").query::<i64>(redis)?, 999);
        redis::cmd("FLUSHALL").query::<()>(redis)?;
        assert_eq!(redis::cmd("DBSIZE").query::<i64>(redis)?, 0);
        Ok(())
    });
}

#[test]
fn pipelines() {
    blocking(|redis, _| {
        let mut pipeline = redis::pipe();
        for number in 0..5000 {
            pipeline.set(format!("k{number}"), number).ignore().get(format!("k{number}"));
        }
        let replies: Vec<i64> = pipeline.query(redis)?;
        assert!(replies.into_iter().eq(0..5000));
        let failing = redis::pipe().set("k", "text").incr("k", 1).query::<Value>(redis);
        assert_eq!(failing.expect_err("INCR of a text").kind(), ErrorKind::ResponseError);
        assert_eq!(redis.get::<_, String>("k")?, "text");
        Ok(())
    });
}

#[test]
fn transactions() {
    blocking(|redis, server| {
        let replies: (i64, i64) = redis::pipe().atomic().incr("n", 1).incr("n", 41).query(redis)?;
        assert_eq!(replies, (1, 42));
        let failing = redis::pipe().atomic().set("k", "text").incr("k", 1).query::<Value>(redis);
        assert_eq!(failing.expect_err("INCR of a text").kind(), ErrorKind::ResponseError);
        assert_eq!(redis.get::<_, String>("k")?, "text");
        let mut other =
            redis::Client::open(format!("redis://127.0.0.1:{}", server.port))?.get_connection()?;
        let mut attempts = 0;
        let (n,): (i64,) = redis::transaction(redis, &["n"], |redis, pipeline| {
            let n: i64 = redis.get("n")?;
            if attempts == 0 {
                other.set::<_, _, ()>("n", 100)?;
            }
            attempts += 1;
            pipeline.set("n", n + 1).ignore().get("n").query(redis)
        })?;
        assert_eq!((n, attempts), (101, 2));
        Ok(())
    });
}

#[test]
fn errors() {
    blocking(|redis, _| {
        redis.set::<_, _, ()>("k", "text")?;
        let error = redis.incr::<_, _, i64>("k", 1).expect_err("INCR of a text");
        assert_eq!(error.kind(), ErrorKind::ResponseError);
        assert_eq!(error.detail(), Some("value is not an integer or out of range"));
        let error = redis::cmd("NONSENSE").arg("x").query::<()>(redis).expect_err("no such command");
        assert!(error.to_string().contains("unknown command 'NONSENSE'"), "{error}");
        Ok(())
    });
}

#[test]
fn sessions() {
    blocking(|redis, server| {
        redis::cmd("SELECT").arg(3).query::<()>(redis)?;
        redis.set::<_, _, ()>("k", "in three")?;
        let url = format!("redis://127.0.0.1:{}/3", server.port);
        let mut third = redis::Client::open(url)?.get_connection()?;
        assert_eq!(third.get::<_, String>("k")?, "in three");
        redis.client_setname::<_, ()>("tester")?;
        assert_eq!(redis.client_getname::<String>()?, "tester");
        let info: redis::InfoDict = redis::cmd("INFO").query(redis)?;
        assert_eq!(info.get::<u16>("tcp_port"), Some(server.port));
        let maxclients: BTreeMap<String, u32> =
            redis::cmd("CONFIG").arg("GET").arg("maxclients").query(redis)?;
        assert_eq!(maxclients["maxclients"], 10_000);
        Ok(())
    });
}

#[test]
fn passwords() {
    let server = Process::nuthatch(&["--requirepass", "secret"]);
    for protocol in PROTOCOLS {
        let connect = |credentials: &str| {
            let url = format!("redis://{credentials}127.0.0.1:{}/?protocol={protocol}", server.port);
            redis::Client::open(url)?.get_connection().map(|mut redis| redis.get::<_, Option<String>>("k"))
        };
        assert_eq!(connect(":secret@").expect("a connection").expect("a reply"), None);
        assert_eq!(connect("default:secret@").expect("a connection").expect("a reply"), None);
        let refused = connect(":wrong@").map(|_| ()).expect_err("a refusal");
        // The client's own kind of error for AUTH's refusal, the server's code for HELLO's.
        assert!(
            refused.kind() == ErrorKind::AuthenticationFailed || refused.code() == Some("WRONGPASS"),
            "{refused}"
        );
        // Without a password the client only notices when it has something to ask.
        let unauthenticated = connect("").and_then(|reply| reply).expect_err("a refusal");
        assert!(unauthenticated.to_string().contains("NOAUTH"), "{unauthenticated}");
    }
}

/// Runs a test on a fresh server, with a connection that many tasks can share, in each protocol.
fn shared<F: Future<Output = redis::RedisResult<()>>>(test: impl Fn(MultiplexedConnection) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for protocol in PROTOCOLS {
        let server = Process::nuthatch(&[]);
        let client = open(&server, protocol);
        let run = async { test(client.get_multiplexed_async_connection().await?).await };
        runtime.block_on(run).unwrap_or_else(|error| panic!("{protocol}: {error}"));
    }
}

#[test]
fn many_tasks_on_one_connection() {
    shared(|redis| async move {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..50_i64 {
            let mut redis = redis.clone();
            tasks.spawn(async move {
                for number in 0..100 {
                    let key = format!("{task}:{number}");
                    redis.set::<_, _, ()>(&key, number).await?;
                    assert_eq!(redis.get::<_, i64>(&key).await?, number);
                    redis.incr::<_, _, ()>("total", 1).await?;
                }
                redis::RedisResult::Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.expect("a task")?;
        }
        let mut redis = redis;
        assert_eq!(redis.get::<_, i64>("total").await?, 5000);
        Ok(())
    });
}

#[test]
fn asynchronous_pipelines() {
    shared(|mut redis| async move {
        let mut pipeline = redis::pipe();
        for number in 0..2000 {
            pipeline.incr("n", 1).set(format!("k{number}"), "v").ignore();
        }
        let counts: Vec<i64> = pipeline.query_async(&mut redis).await?;
        assert!(counts.into_iter().eq(1..=2000));
        let mut found = redis.scan_match::<_, String>("k*").await?;
        let mut names = BTreeSet::new();
        while let Some(name) = found.next_item().await {
            names.insert(name);
        }
        assert_eq!(names.len(), 2000);
        Ok(())
    });
}

#[test]
fn publish_and_subscribe() {
    for protocol in PROTOCOLS {
        let server = Process::nuthatch(&[]);
        let mut publisher = open(&server, protocol).get_connection().expect("a connection");
        let mut connection = open(&server, protocol).get_connection().expect("a connection");
        let mut listener = connection.as_pubsub();
        // One by one: in RESP3 the library waits for the first confirmation of a call only.
        for channel in ["news", "weather"] {
            listener.subscribe(channel).expect("a subscription");
        }
        listener.psubscribe("n*").expect("a subscription");
        assert_eq!(publisher.publish::<_, _, i64>("news", "hello").expect("a count"), 2);
        assert_eq!(publisher.publish::<_, _, i64>("weather", b"\0\xff").expect("a count"), 1);
        let message = listener.get_message().expect("a message");
        assert_eq!((message.get_channel_name(), message.from_pattern()), ("news", false));
        assert_eq!(message.get_payload::<String>().expect("text"), "hello");
        let message = listener.get_message().expect("a message");
        assert_eq!(message.get_pattern::<String>().expect("text"), "n*");
        let message = listener.get_message().expect("a message");
        assert_eq!(message.get_payload_bytes(), b"\0\xff");
        for channel in ["news", "weather"] {
            listener.unsubscribe(channel).expect("an end");
        }
        listener.punsubscribe("n*").expect("an end");
        assert_eq!(publisher.publish::<_, _, i64>("news", "hello").expect("a count"), 0);
    }
}

#[test]
fn asynchronous_messages_beside_commands() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = Process::nuthatch(&[]);
    let heard = runtime.block_on(async {
        let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
        let client = open(&server, "resp3");
        let mut redis = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis.subscribe("news").await?;
        for number in 0..100 {
            redis.publish::<_, _, ()>("news", number).await?;
            assert_eq!(redis.incr::<_, _, i64>("n", 1).await?, number + 1);
        }
        let mut heard = Vec::new();
        while heard.len() < 100 {
            let push = pushes.recv().await.expect("a push");
            if push.kind == redis::PushKind::Message {
                heard.push(redis::from_redis_value::<i64>(&push.data[1])?);
            }
        }
        redis::RedisResult::Ok(heard)
    });
    assert!(heard.expect("messages").into_iter().eq(0..100));
}
