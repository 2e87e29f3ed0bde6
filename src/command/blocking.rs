//! What blocking commands have in common: reading the time to wait, beginning to wait, and what is counted when
//! the wait is over. What they wait for is data (see [`Operation`]), given by the commands of each type.

use super::args::Args;
use super::call::Call;
use super::errors::Error;
use super::spec::Flags;
use super::table::table;
use crate::state::Server;
use crate::state::counters::WorkerCounters;
use crate::state::session::{Next, Wait};
use crate::state::waiters::{Bill, Operation, Terms, Waiter};
use crate::types::long_double::LongDouble;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When a wait is over: Unix milliseconds, `None` for never.
pub type Deadline = Option<i64>;

const TIMEOUT_NOT_FLOAT: Error = Error::line("ERR timeout is not a float or out of range");

/// Consumes a time in seconds, which may have a fraction. 0 is for ever.
pub fn next_seconds(args: &mut Args<'_>, now_ms: i64) -> Result<Deadline, Error> {
    let seconds = LongDouble::parse(args.take()?).ok_or(TIMEOUT_NOT_FLOAT)?;
    deadline(seconds.scaled_ceil(1000).ok_or(Error::TimeoutOutOfRange)?, now_ms)
}

/// Consumes a time in milliseconds. 0 is for ever.
pub fn next_millis(args: &mut Args<'_>, now_ms: i64) -> Result<Deadline, Error> {
    deadline(args.next_i64().map_err(|_| Error::TimeoutNotInteger)?, now_ms)
}

fn deadline(timeout_ms: i64, now_ms: i64) -> Result<Deadline, Error> {
    match timeout_ms {
        ..0 => Err(Error::TimeoutNegative),
        0 => Ok(None),
        1.. => timeout_ms.checked_add(now_ms).map(Some).ok_or(Error::TimeoutOutOfRange),
    }
}

/// Keys as an operation keeps them.
pub fn owned<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Box<[Box<[u8]>]> {
    keys.map(Box::from).collect()
}

/// Ends the command without a reply: the connection waits until the operation was done, or its time is over.
/// Where a command may not wait (in a transaction, in a script), it replies at once as if its time were over. Returns who
/// waits.
pub fn wait(
    call: &mut Call<'_, '_>,
    deadline_ms: Deadline,
    operation: impl Operation + 'static,
) -> Option<Arc<Waiter>> {
    if call.origin.is_inside() {
        operation.give_up(call.out);
        return None;
    }
    let session = &mut *call.session;
    let terms = Terms { proto: session.proto, silent: session.is_silent(), is_timed: deadline_ms.is_some() };
    let args = call.entry.loggable(call.args.request()).map(Box::from).collect();
    let bill = Bill { command: call.entry.id, args, nanos: AtomicU64::new(0) };
    let waiter = call.server.waiters.wait(call.keys, &session.client, Box::new(operation), terms, bill);
    session.wait = Some(Box::new(Wait { waiter: waiter.clone(), deadline_ms }));
    session.next = Next::Wait;
    Some(waiter)
}

/// Counts a command whose wait is over, unless that was done: once, and without the time that it waited.
pub fn count(server: &Server, counters: &WorkerCounters, waiter: &Waiter, now_ms: i64) {
    let Some(outcome) = waiter.take_outcome() else { return };
    let bill = &waiter.bill;
    let nanos = bill.nanos.load(Ordering::Relaxed) + outcome.nanos;
    let track_latency = server.counters.track_latency.load(Ordering::Relaxed);
    counters.commands[bill.command].record(1, nanos, outcome.error.is_some().into(), track_latency);
    counters.totals.commands.add(1);
    if let Some(code) = &outcome.error {
        counters.totals.error_replies.add(1);
        server.counters.count_error(code);
    }
    let micros = nanos / 1000;
    let (slower_than, flags) =
        (server.config.slowlog_log_slower_than(), table().all[bill.command].spec.flags);
    if slower_than >= 0 && micros as i64 >= slower_than && !flags.contains(Flags::SKIP_SLOWLOG) {
        let name = waiter.client.names.lock().name.clone();
        let args = bill.args.iter().map(|arg| &**arg);
        server.slowlog.push(now_ms / 1000, micros, args, &waiter.client.addr, &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::scan::{Request, Span};
    use bytes::Bytes;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn seconds(text: &str) -> Result<Deadline, Error> {
        let large = [Bytes::copy_from_slice(text.as_bytes())];
        let request = Request::new(&[], &large, &[Span::Large(0)]);
        next_seconds(&mut Args::new(request, 0), NOW_MS)
    }

    #[test]
    fn times_are_rounded_up_to_milliseconds() {
        assert_eq!(seconds("0"), Ok(None));
        assert_eq!(seconds("0.0"), Ok(None));
        assert_eq!(seconds("-0.0001"), Ok(None));
        for (text, millis) in
            [("1", 1000), ("0.001", 1), ("0.0001", 1), ("0.0011", 2), ("1.5", 1500), ("0x1p-3", 125)]
        {
            assert_eq!(seconds(text), Ok(Some(NOW_MS + millis)), "{text}");
        }
        for text in ["", "abc", " 1", "1 ", "nan", "1e5000"] {
            assert_eq!(seconds(text), Err(TIMEOUT_NOT_FLOAT), "{text}");
        }
        for text in ["-1", "-0.0011", "-inf", "-1e300"] {
            assert_eq!(seconds(text), Err(Error::TimeoutNegative), "{text}");
        }
        for text in ["inf", "1e300", "9223372036854775807", "9223372036854775"] {
            assert_eq!(seconds(text), Err(Error::TimeoutOutOfRange), "{text}");
        }
    }
}
