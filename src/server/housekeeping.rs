//! What is done for clients by time, not by request: closing idle ones and those that do not read, giving
//! back buffers, keeping the memory of all within `maxmemory-clients`.
//!
//! Every client is looked at once a second or more often, a share of them in each turn, so that many clients
//! do not make one turn long. This only reads the clients' public records and signals their connections.

use crate::config::value::{OutputLimit, OutputLimits};
use crate::state::clients::{ClientClass, MAX_REPLY_BUFFER_BYTES, MIN_REPLY_BUFFER_BYTES};
use crate::state::{Client, Server};
use std::sync::atomic::Ordering::Relaxed;

/// Clients looked at in a turn, if there are as many (Redis's figure).
const MIN_CLIENTS_PER_TURN: usize = 5;

/// After this time without traffic a client's input buffer is given back, milliseconds (Redis's figure).
const KEEP_INPUT_BUFFER_MS: i64 = 2000;

/// Free room of this size is not worth giving back, bytes (Redis's figure).
pub const KEEP_INPUT_ROOM_BYTES: usize = 4 * 1024;

/// Goes round the clients.
#[derive(Default)]
pub struct Housekeeping {
    /// Number of the client that was looked at last.
    last_id: u64,
}

impl Housekeeping {
    /// One of `turns_per_second` turns.
    pub fn turn(&mut self, server: &Server, turns_per_second: usize, now_ms: i64) {
        let count = server.clients.count().div_ceil(turns_per_second).max(MIN_CLIENTS_PER_TURN);
        let mut clients = server.clients.after(self.last_id, count);
        self.last_id = clients.last().map_or(0, |client| client.id);
        if clients.len() < count {
            // The end of the table: on with its beginning, but with nobody twice in a turn.
            let first_id = clients.first().map_or(u64::MAX, |client| client.id);
            let mut more = server.clients.after(0, count - clients.len());
            more.retain(|client| client.id < first_id);
            self.last_id = more.last().map_or(self.last_id, |client| client.id);
            clients.append(&mut more);
        }
        let limits = server.config.client_output_buffer_limit();
        let timeout_ms = server.config.timeout() as i64 * 1000;
        for client in &clients {
            if is_idle(client, timeout_ms, now_ms) {
                tracing::debug!("Closing idle client");
                client.kill();
            } else if exceeds_soft_limit(client, &limits, now_ms) {
                server.counters.housekeeping.output_buffer_disconnections.add(1);
                let (id, bytes) = (client.id, client.waiting_bytes());
                tracing::warn!("Client id={id} omem={bytes} closed for overcoming of output buffer limits.");
                server.clients.kill(client);
            } else {
                trim_input(client, now_ms);
                fit_reply_buffer(server, client, now_ms);
            }
        }
        if let Some(limit) = server.config.max_client_bytes() {
            server.clients.evict(limit);
        }
    }
}

/// Whether the client has been silent for longer than `timeout_ms`. 0 is no limit.
fn is_idle(client: &Client, timeout_ms: i64, now_ms: i64) -> bool {
    timeout_ms != 0 && !client.is_blocked() && now_ms - client.last_active_ms.load(Relaxed) > timeout_ms
}

/// The output limits of a class of clients.
pub fn output_limit(limits: &OutputLimits, class: ClientClass) -> OutputLimit {
    match class {
        ClientClass::Normal => limits.normal,
        ClientClass::Replica => limits.replica,
        ClientClass::Pubsub => limits.pubsub,
    }
}

/// Whether the client's output has been over its soft limit for too long.
fn exceeds_soft_limit(client: &Client, limits: &OutputLimits, now_ms: i64) -> bool {
    let limit = output_limit(limits, client.class());
    let waiting = client.output_beyond_buffer(client.waiting_bytes());
    if limit.soft_bytes == 0 || waiting as u64 <= limit.soft_bytes {
        client.over_soft_limit_since_ms.store(0, Relaxed);
        return false;
    }
    let since_ms = match client.over_soft_limit_since_ms.load(Relaxed) {
        0 => {
            client.over_soft_limit_since_ms.store(now_ms, Relaxed);
            now_ms
        }
        since_ms => since_ms,
    };
    now_ms - since_ms > limit.soft_seconds.saturating_mul(1000)
}

/// Has input buffers given back that have been without use.
fn trim_input(client: &Client, now_ms: i64) {
    let unused = now_ms - client.last_active_ms.load(Relaxed) > KEEP_INPUT_BUFFER_MS;
    if unused && client.query_free_bytes.load(Relaxed) > KEEP_INPUT_ROOM_BYTES {
        client.trim();
    }
}

/// Makes the share of the output that counts as the reply buffer follow the size of the replies, as Redis
/// does with the buffer that each of its clients has.
fn fit_reply_buffer(server: &Server, client: &Client, now_ms: i64) {
    let switches = &server.switches;
    if !switches.reply_resizing.load(Relaxed) {
        return;
    }
    let size = client.reply_buffer_bytes.load(Relaxed);
    let peak = client.reply_peak_bytes.load(Relaxed).min(size);
    if peak < size / 2 && size > MIN_REPLY_BUFFER_BYTES {
        client.reply_buffer_bytes.store((peak + 1).max(MIN_REPLY_BUFFER_BYTES), Relaxed);
        server.counters.housekeeping.reply_buffer_shrinks.add(1);
    } else if peak == size && size < MAX_REPLY_BUFFER_BYTES {
        client.reply_buffer_bytes.store((size * 2).min(MAX_REPLY_BUFFER_BYTES), Relaxed);
        server.counters.housekeeping.reply_buffer_expands.add(1);
    }
    let reset_ms = switches.reply_peak_reset_ms.load(Relaxed);
    if reset_ms >= 0 && now_ms - client.reply_peak_since_ms.load(Relaxed) > reset_ms {
        client.reply_peak_bytes.store(client.output_bytes.load(Relaxed), Relaxed);
        client.reply_peak_since_ms.store(now_ms, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::clients::Transport;

    fn client() -> Client {
        Client::new(1, Transport::Tcp, "1.2.3.4:5".into(), "0.0.0.0:6".into(), 3, 0)
    }

    #[test]
    fn the_soft_limit_is_one_of_time() {
        let client = client();
        let limit = OutputLimit { hard_bytes: 0, soft_bytes: 1000, soft_seconds: 3 };
        let limits = OutputLimits { normal: limit, replica: limit, pubsub: limit };
        let over = |output_bytes: usize, now_ms| {
            client.output_bytes.store(output_bytes, Relaxed);
            exceeds_soft_limit(&client, &limits, now_ms)
        };
        let buffered = MAX_REPLY_BUFFER_BYTES;
        assert!(!over(buffered + 1000, 1_000));
        assert!(!over(buffered + 1001, 2_000));
        assert!(!over(buffered + 9000, 5_000));
        assert!(over(buffered + 9000, 5_001));
        // Below the limit in between: the time starts anew.
        assert!(!over(0, 5_002));
        assert!(!over(buffered + 9000, 9_000));
        assert!(!over(buffered + 9000, 12_000));
        assert!(over(buffered + 9000, 12_001));
    }

    #[test]
    fn idle_clients_but_no_paused_ones_are_closed() {
        let client = client();
        let start_ms = client.last_active_ms.load(Relaxed);
        assert!(!is_idle(&client, 0, start_ms + 100_000));
        assert!(!is_idle(&client, 1000, start_ms + 1000));
        assert!(is_idle(&client, 1000, start_ms + 1001));
        client.paused.store(true, Relaxed);
        assert!(!is_idle(&client, 1000, start_ms + 1001));
    }

    #[test]
    fn buffers_without_use_are_given_back() {
        let trimmed = |free: usize, idle_ms: i64| {
            let client = client();
            client.query_free_bytes.store(free, Relaxed);
            trim_input(&client, client.last_active_ms.load(Relaxed) + idle_ms);
            client.take_trim()
        };
        assert!(!trimmed(16_000, 2000));
        assert!(trimmed(16_000, 2001));
        assert!(!trimmed(KEEP_INPUT_ROOM_BYTES, 2001));
    }
}
