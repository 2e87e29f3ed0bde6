//! Queues of work under load: many blocked consumers, many producers, and every element is delivered once and in order,
//! whatever times out, is unblocked or pushed together meanwhile.
//!
//! `NUTHATCH_QUEUE_ELEMENTS` says how many elements are pushed in all (CI takes the default).

mod common;

use common::{Client, Process, elements, text};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CONSUMERS: usize = 200;
const PRODUCERS: usize = 50;
const QUEUES: usize = 10;
const DEFAULT_ELEMENTS: usize = 60_000;

/// More workers than the machine may have cores, so that they are interrupted anywhere.
const WORKERS: &str = "6";

/// Nothing was delivered for so long: something is lost.
const STALLED: Duration = Duration::from_secs(20);

fn queue(number: usize) -> String {
    format!("queue:{}", number % QUEUES)
}

/// What was delivered to one consumer, in order: queue, producer, number.
type Delivered = Vec<(String, usize, usize)>;

struct Fair {
    server: Process,
    delivered: AtomicUsize,
    total: usize,
    failed: AtomicBool,
}

/// Ends the test for all when one thread panics.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Fair {
    fn is_over(&self) -> bool {
        self.delivered.load(Ordering::Relaxed) >= self.total || self.failed.load(Ordering::Relaxed)
    }

    /// Notes the elements in a reply; none if the time was over.
    fn note(&self, reply: &[u8], delivered: &mut Delivered) {
        let Some(parts) = elements(reply) else { panic!("{}", reply.escape_ascii()) };
        let [key, popped] = parts.as_slice() else {
            assert!(reply == b"*-1\r\n", "{}", reply.escape_ascii());
            return;
        };
        let popped = elements(popped).unwrap_or_else(|| vec![*popped]);
        for element in &popped {
            let element = text(element);
            let (producer, number) = element.split_once(':').expect("an element of a producer");
            delivered.push((text(key), producer.parse().unwrap(), number.parse().unwrap()));
        }
        self.delivered.fetch_add(popped.len(), Ordering::Relaxed);
    }

    /// Pushes elements with growing numbers, in various ways.
    fn produce(&self, producer: usize, count: usize) {
        let _alarm = Alarm(&self.failed);
        let mut client = self.server.connect();
        let mut rng = StdRng::seed_from_u64(producer as u64);
        let mut number = 0;
        while number < count && !self.failed.load(Ordering::Relaxed) {
            let requests = [1, 1, 1, 8][rng.random_range(0..4)];
            let mut sent = 0;
            for _ in 0..requests {
                let mut words = vec!["RPUSH".to_owned(), queue(rng.random_range(0..QUEUES))];
                for _ in 0..[1, 1, 1, 3][rng.random_range(0..4)] {
                    if number < count {
                        words.push(format!("{producer}:{number}"));
                        number += 1;
                    }
                }
                if words.len() > 2 {
                    client.send(&words);
                    sent += 1;
                }
            }
            for _ in 0..sent {
                let reply = client.receive();
                assert_eq!(reply[0], b':', "{}", reply.escape_ascii());
            }
        }
    }

    /// Takes elements, in various ways, until all are delivered.
    fn consume(&self, consumer: usize) -> Delivered {
        let _alarm = Alarm(&self.failed);
        let mut client = self.server.connect();
        let mut rng = StdRng::seed_from_u64(1_000 + consumer as u64);
        let mut delivered = Vec::new();
        // Each queue has those who wait for it alone.
        let (first, second) = (queue(consumer), queue(consumer * 7 + 3));
        while !self.is_over() {
            // Short times make the clock meet pushers.
            let timeout = ["0.2", "0.2", "0.01", "0.002"][rng.random_range(0..4)];
            let request = match consumer % 5 {
                0 | 1 => vec!["BLPOP", &first, timeout],
                2 => vec!["BLPOP", &first, &second, timeout],
                3 => vec!["BLMPOP", timeout, "2", &second, &first, "LEFT", "COUNT", "3"],
                _ => vec!["BLMPOP", timeout, "1", &first, "LEFT"],
            };
            // Some send the next requests before they have the reply.
            let pipeline = if consumer.is_multiple_of(3) { 3 } else { 1 };
            (0..pipeline).for_each(|_| client.send(&request));
            (0..pipeline).for_each(|_| self.note(&client.receive(), &mut delivered));
        }
        delivered
    }

    /// Ends waits that go on, now and then.
    fn disturb(&self) {
        let _alarm = Alarm(&self.failed);
        let mut client = self.server.connect();
        let mut rng = StdRng::seed_from_u64(7);
        let (mut last, mut since) = (0, Instant::now());
        while !self.is_over() {
            let id = rng.random_range(1..CONSUMERS + PRODUCERS).to_string();
            client.ask(&["CLIENT", "UNBLOCK", &id]);
            thread::sleep(Duration::from_millis(1));
            let delivered = self.delivered.load(Ordering::Relaxed);
            if delivered != last {
                (last, since) = (delivered, Instant::now());
            }
            assert!(since.elapsed() < STALLED, "{delivered} of {} were delivered, and no more", self.total);
        }
    }
}

#[test]
fn every_element_is_delivered_once_and_in_order() {
    let wanted = std::env::var("NUTHATCH_QUEUE_ELEMENTS").ok().and_then(|count| count.parse().ok());
    let each = wanted.unwrap_or(DEFAULT_ELEMENTS) / PRODUCERS;
    let fair = Fair {
        server: Process::nuthatch(&["--io-threads", WORKERS]),
        delivered: AtomicUsize::new(0),
        total: each * PRODUCERS,
        failed: AtomicBool::new(false),
    };
    let all: Vec<Delivered> = thread::scope(|scope| {
        let fair = &fair;
        let consumers: Vec<_> =
            (0..CONSUMERS).map(|consumer| scope.spawn(move || fair.consume(consumer))).collect();
        scope.spawn(|| fair.disturb());
        (0..PRODUCERS).for_each(|producer| {
            scope.spawn(move || fair.produce(producer, each));
        });
        consumers
            .into_iter()
            .map(|consumer| consumer.join().expect("a consumer without a complaint"))
            .collect()
    });
    let mut seen = vec![vec![0_u32; each]; PRODUCERS];
    for delivered in &all {
        // What one consumer gets of one producer's elements in one queue comes in the order of the pushes.
        let mut last: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for (queue, producer, number) in delivered {
            seen[*producer][*number] += 1;
            let before = last.insert((queue, *producer), *number);
            assert!(before.is_none_or(|before| before < *number), "{queue}: {number} came after {before:?}");
        }
    }
    for (producer, counts) in seen.iter().enumerate() {
        for (number, count) in counts.iter().enumerate() {
            assert_eq!(*count, 1, "element {producer}:{number} was delivered {count} times");
        }
    }
    let mut client = fair.server.connect();
    assert_eq!(common::info(&mut client, "total_blocking_keys"), 0);
    assert_eq!(common::info(&mut client, "blocked_clients"), 0);
    assert_eq!(client.ask(&["DBSIZE"]), b":0\r\n");
}

/// Waits until so many clients are blocked.
fn await_blocked(client: &mut Client, count: u64) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while common::info(client, "blocked_clients") != count {
        assert!(Instant::now() < give_up, "not {count} clients are blocked");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn whoever_came_first_is_served_first() {
    let server = Process::nuthatch(&["--io-threads", WORKERS]);
    let mut pusher = server.connect();
    for command in ["BLPOP", "BRPOPLPUSH", "BZPOPMIN"] {
        let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            match command {
                "BRPOPLPUSH" => client.send(&[command, "queue", "elsewhere", "0"]),
                _ => client.send(&[command, "queue", "0"]),
            }
            await_blocked(&mut pusher, number as u64 + 1);
        }
        for number in 0..40 {
            let number = number.to_string();
            match command {
                "BZPOPMIN" => pusher.ask(&["ZADD", "queue", "1", &number]),
                _ => pusher.ask(&["LPUSH", "queue", &number]),
            };
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let reply = client.receive();
            let element = elements(&reply).map_or(text(&reply), |parts| text(parts[1]));
            assert_eq!(element, number.to_string(), "{command}");
        }
        await_blocked(&mut pusher, 0);
    }
}

#[test]
fn a_thousand_waiting_clients_cost_no_cpu() {
    let server = Process::nuthatch(&["--io-threads", "2"]);
    let mut clients: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&["BLPOP", "never", "0"]);
    }
    let mut control = server.connect();
    await_blocked(&mut control, 1000);
    let cpu_ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).expect("a process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system")
    };
    let before = cpu_ticks();
    thread::sleep(Duration::from_secs(2));
    let ticks = cpu_ticks() - before;
    // A hundredth of a second each; the server's own clock takes some.
    assert!(ticks <= 10, "{ticks} hundredths of a second of CPU time in two seconds");
}
