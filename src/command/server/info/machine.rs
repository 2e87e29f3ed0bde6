//! INFO's sections on the process and its connections.

use super::Text;
use crate::keyspace::access;
use crate::observe::process;
use crate::state::Server;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 24 * 3600;

/// The revision that was built, if whoever built it has said so; zeros otherwise, as in Redis.
const REVISION: &str = match option_env!("NUTHATCH_GIT_SHA1") {
    Some(revision) => revision,
    None => "00000000",
};

/// Never changes while the process lives.
static OPERATING_SYSTEM: LazyLock<String> = LazyLock::new(process::operating_system);

pub fn server(text: &mut Text, server: &Server, now_ms: i64) {
    let uptime_secs = server.started.elapsed().as_secs();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let config_file = server.config_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let tcp_port = server.tcp_port.load(Relaxed);
    text.field("redis_version", crate::REDIS_VERSION);
    text.field("server_name", "nuthatch");
    text.field("nuthatch_version", crate::VERSION);
    text.field("redis_git_sha1", REVISION);
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", crate::VERSION);
    text.field("redis_mode", "standalone");
    text.field("os", &*OPERATING_SYSTEM);
    text.field("arch_bits", usize::BITS);
    text.field("multiplexing_api", "epoll");
    text.field("process_id", std::process::id());
    text.field("process_supervised", "no");
    text.field("run_id", &server.run_id);
    text.field("tcp_port", tcp_port);
    text.field("server_time_usec", now.as_micros());
    text.field("uptime_in_seconds", uptime_secs);
    text.field("uptime_in_days", uptime_secs / SECONDS_PER_DAY);
    text.field("hz", server.config.hz());
    text.field("configured_hz", server.config.hz());
    text.field("lru_clock", access::clock(now_ms));
    text.field("executable", &server.executable);
    text.field("config_file", config_file);
    text.field("io_threads_active", (server.workers > 1) as u8);
    listeners(text, server, tcp_port);
}

fn listeners(text: &mut Text, server: &Server, tcp_port: u32) {
    let mut number = 0;
    if tcp_port != 0 {
        let addresses = server.config.bind();
        let addresses: Vec<_> = addresses.iter().map(|address| String::from_utf8_lossy(address)).collect();
        let binds: String = addresses.iter().map(|address| format!(",bind={address}")).collect();
        text.line(format_args!("listener{number}:name=tcp{binds},port={tcp_port}"));
        number += 1;
    }
    let path = server.config.unixsocket();
    if !path.is_empty() {
        let path = String::from_utf8_lossy(&path);
        text.line(format_args!("listener{number}:name=unix,bind={path}"));
    }
}

pub fn clients(text: &mut Text, server: &Server, _now_ms: i64) {
    let clients = server.clients.all();
    let largest =
        |bytes: fn(&crate::state::Client) -> usize| clients.iter().map(|c| bytes(c)).max().unwrap_or(0);
    let input = largest(|client| {
        client.query_bytes.load(Relaxed)
            + client.query_free_bytes.load(Relaxed)
            + client.args_bytes.load(Relaxed)
    });
    let output = largest(|client| client.waiting_bytes());
    let paused = clients.iter().filter(|client| client.paused.load(Relaxed)).count();
    text.field("connected_clients", clients.len());
    text.field("cluster_connections", 0);
    text.field("maxclients", server.config.maxclients());
    text.field("client_recent_max_input_buffer", input);
    text.field("client_recent_max_output_buffer", output);
    text.field("blocked_clients", paused + server.waiters.clients());
    text.field("pubsub_clients", server.pubsub.clients());
    text.field("tracking_clients", server.tracking.tracked_clients());
    text.field("watching_clients", clients.iter().filter(|client| client.watch.keys() > 0).count());
    text.field("clients_in_timeout_table", server.waiters.timed_clients());
    text.field("total_watched_keys", server.watchers.watched_keys());
    let blocking = server.waiters.blocking_keys();
    text.field("total_blocking_keys", blocking.all);
    text.field("total_blocking_keys_on_nokey", blocking.without_key);
}

/// The workers: their connections, and how often each has read and written.
pub fn threads(text: &mut Text, server: &Server, _now_ms: i64) {
    let mut clients = vec![0; server.workers];
    server.clients.count_by_worker(&mut clients);
    for (worker, clients) in clients.into_iter().enumerate() {
        let totals = &server.counters.worker(worker).totals;
        let (reads, writes) = (totals.reads.get(), totals.writes.get());
        text.line(format_args!("io_thread_{worker}:clients={clients},reads={reads},writes={writes}"));
    }
}

pub fn cpu(text: &mut Text, _server: &Server, _now_ms: i64) {
    let (own, children) = (process::cpu(), process::children_cpu());
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    text.field("used_cpu_sys", seconds(own.system));
    text.field("used_cpu_user", seconds(own.user));
    text.field("used_cpu_sys_children", seconds(children.system));
    text.field("used_cpu_user_children", seconds(children.user));
}
