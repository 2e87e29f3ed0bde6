//! What a worker does for its connections once a second, traffic or not: ends those that are idle for longer
//! than `timeout` allows, and those that leave more replies unread than `client-output-buffer-limit` allows.

use super::worker::Worker;
use crate::keyspace::unix_ms;
use crate::memory;
use crate::state::Client;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// As often as Redis looks at each client.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs until the worker ends.
pub async fn run(worker: Rc<Worker>) {
    let mut soft_limit = SoftLimit::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        memory::publish();
        let config = &worker.server.config;
        let settings = worker.settings.get(config);
        let timeout_secs = config.timeout() as i64;
        if timeout_secs == 0 && settings.output_hard_bytes == 0 && settings.output_soft_bytes == 0 {
            continue;
        }
        let clients = worker.server.clients.all();
        let own = clients.iter().filter(|client| client.worker == worker.id);
        let now_ms = unix_ms();
        let mut waiting = Vec::new();
        for client in own {
            if timeout_secs != 0 && (now_ms - client.last_active_ms.load(Relaxed)) / 1000 > timeout_secs {
                tracing::debug!("Closing idle client");
                client.kill();
                continue;
            }
            let bytes = client.output_bytes.load(Relaxed);
            if settings.exceeds_hard_limit(bytes) {
                refuse_output(&worker, client, bytes);
            } else if settings.exceeds_soft_limit(bytes) {
                waiting.push(client);
            }
        }
        let allowed = Duration::from_secs(settings.output_soft_secs.max(0) as u64);
        soft_limit.check(waiting, allowed, Instant::now(), |client| {
            refuse_output(&worker, client, client.output_bytes.load(Relaxed));
        });
    }
}

/// Ends a connection whose client does not take its replies.
pub fn refuse_output(worker: &Worker, client: &Client, bytes: usize) {
    worker.totals().output_buffer_disconnections.add(1);
    tracing::warn!("Client id={} omem={bytes} closed for overcoming of output buffer limits.", client.id);
    client.kill();
}

/// Since when clients are above the soft limit, by their ids.
#[derive(Default)]
struct SoftLimit(HashMap<u64, Instant>);

impl SoftLimit {
    /// `above` are all clients above the limit now; those that have been so for too long are refused.
    fn check<'a>(
        &mut self,
        above: impl IntoIterator<Item = &'a std::sync::Arc<Client>>,
        allowed: Duration,
        now: Instant,
        mut refuse: impl FnMut(&Client),
    ) {
        let before = std::mem::take(&mut self.0);
        for client in above {
            let since = before.get(&client.id).copied().unwrap_or(now);
            if now - since > allowed {
                refuse(client);
            } else {
                self.0.insert(client.id, since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::clients::Transport;
    use std::sync::Arc;

    #[test]
    fn soft_limits_count_from_the_first_time_without_a_break() {
        let client = |id| Arc::new(Client::new(id, Transport::Tcp, String::new(), String::new(), 0, 0));
        let allowed = Duration::from_secs(2);
        let mut limit = SoftLimit::default();
        let begin = Instant::now();
        let mut refused_at = |second: u64, ids: &[u64]| {
            let clients: Vec<_> = ids.iter().map(|id| client(*id)).collect();
            let mut refused = Vec::new();
            let now = begin + Duration::from_secs(second);
            limit.check(&clients, allowed, now, |client| refused.push(client.id));
            refused
        };
        assert_eq!(refused_at(0, &[1, 2]), []);
        assert_eq!(refused_at(1, &[1, 3]), []);
        assert_eq!(refused_at(2, &[1, 2, 3]), []);
        assert_eq!(refused_at(3, &[1, 2, 3]), [1]);
        assert_eq!(refused_at(4, &[2, 3]), [3]);
        assert_eq!(refused_at(5, &[2]), [2]);
        assert!(limit.0.is_empty());
    }
}
