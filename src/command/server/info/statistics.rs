//! INFO's sections of counters: in total, by command, by error.

use super::Text;
use crate::command::table::table;
use crate::state::Server;
use crate::state::pubsub::Kind;
use crate::types::number;
use std::sync::atomic::Ordering::Relaxed;

pub fn stats(text: &mut Text, server: &Server, _now_ms: i64) {
    let totals = server.counters.totals();
    let instant = &server.counters.instant;
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    text.field("total_connections_received", server.clients.accepted());
    text.field("total_commands_processed", totals.commands);
    text.field("instantaneous_ops_per_sec", instant.ops_per_sec.load(Relaxed));
    text.field("total_net_input_bytes", totals.input_bytes);
    text.field("total_net_output_bytes", totals.output_bytes);
    text.field("total_net_repl_input_bytes", 0);
    text.field("total_net_repl_output_bytes", 0);
    text.field("instantaneous_input_kbps", kilobytes(instant.input_bytes_per_sec.load(Relaxed)));
    text.field("instantaneous_output_kbps", kilobytes(instant.output_bytes_per_sec.load(Relaxed)));
    text.field("instantaneous_input_repl_kbps", kilobytes(0));
    text.field("instantaneous_output_repl_kbps", kilobytes(0));
    text.field("rejected_connections", server.clients.rejected());
    text.fields(&[("sync_full", 0), ("sync_partial_ok", 0), ("sync_partial_err", 0)]);
    text.field("expired_subkeys", totals.expired_subkeys);
    text.field("expired_keys", totals.expired_keys);
    // Every key is removed when its time has come: none is ever found to be stale by sampling.
    text.field("expired_stale_perc", "0.00");
    text.field("expired_time_cap_reached_count", 0);
    text.field("expire_cycle_cpu_milliseconds", totals.expire_nanos / 1_000_000);
    text.field("evicted_keys", 0);
    text.field("evicted_clients", server.clients.evicted());
    text.field("evicted_scripts", server.scripting.scripts.evicted());
    text.fields(&[("total_eviction_exceeded_time", 0), ("current_eviction_exceeded_time", 0)]);
    text.field("keyspace_hits", totals.keyspace_hits);
    text.field("keyspace_misses", totals.keyspace_misses);
    text.field("pubsub_channels", server.pubsub.count(Kind::Channel));
    text.field("pubsub_patterns", server.pubsub.count(Kind::Pattern));
    text.field("pubsubshard_channels", server.pubsub.count(Kind::Shard));
    text.fields(&[
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("migrate_cached_sockets", 0),
        ("slave_expires_tracked_keys", 0),
        ("active_defrag_hits", 0),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", 0),
        ("active_defrag_key_misses", 0),
        ("total_active_defrag_time", 0),
        ("current_active_defrag_time", 0),
    ]);
    text.fields(&[
        ("tracking_total_keys", server.tracking.keys()),
        ("tracking_total_items", server.tracking.items()),
        ("tracking_total_prefixes", server.tracking.prefix_count()),
        ("unexpected_error_replies", 0),
    ]);
    text.field("total_error_replies", totals.error_replies);
    text.field("dump_payload_sanitizations", totals.values_checked);
    text.field("total_reads_processed", totals.reads);
    text.field("total_writes_processed", totals.writes);
    // Each worker reads and writes for itself.
    text.field("io_threaded_reads_processed", totals.reads);
    text.field("io_threaded_writes_processed", totals.writes);
    text.field("io_threaded_total_prefetch_batches", totals.prefetch_batches);
    text.field("io_threaded_total_prefetch_entries", totals.prefetched_keys);
    text.field("client_query_buffer_limit_disconnections", totals.query_buffer_disconnections);
    text.field("client_output_buffer_limit_disconnections", totals.output_buffer_disconnections);
    text.field("reply_buffer_shrinks", totals.reply_buffer_shrinks);
    text.field("reply_buffer_expands", totals.reply_buffer_expands);
    // A cycle is a turn of a connection, or of housekeeping.
    text.field("eventloop_cycles", totals.turns);
    text.field("eventloop_duration_sum", totals.turn_nanos / 1000);
    text.field("eventloop_duration_cmd_sum", server.counters.command_nanos() / 1000);
    text.field("instantaneous_eventloop_cycles_per_sec", instant.turns_per_sec.load(Relaxed));
    text.field("instantaneous_eventloop_duration_usec", instant.turn_micros.load(Relaxed));
    text.field("acl_access_denied_auth", totals.acl_denied_auth);
    text.field("acl_access_denied_cmd", totals.acl_denied_cmd);
    text.fields(&[("acl_access_denied_key", 0), ("acl_access_denied_channel", 0)]);
}

/// Shown only when it is asked for by name.
pub fn debug(text: &mut Text, server: &Server, _now_ms: i64) {
    let (nanos, commands) = server.counters.longest_turn();
    text.field("eventloop_duration_aof_sum", 0);
    text.field("eventloop_duration_cron_sum", server.counters.housekeeping.turn_nanos.get() / 1000);
    text.field("eventloop_duration_max", nanos / 1000);
    text.field("eventloop_cmd_per_cycle_max", commands);
}

pub fn commands(text: &mut Text, server: &Server, _now_ms: i64) {
    for entry in &table().all {
        let counts = server.counters.command(entry.id);
        if counts.calls + counts.rejected + counts.failed == 0 {
            continue;
        }
        let micros = counts.nanos / 1000;
        let mean_micros = if counts.calls == 0 { 0.0 } else { micros as f64 / counts.calls as f64 };
        text.line(format_args!(
            "cmdstat_{}:calls={},usec={micros},usec_per_call={mean_micros:.2},rejected_calls={},failed_calls={}",
            entry.full_name, counts.calls, counts.rejected, counts.failed
        ));
    }
}

pub fn errors(text: &mut Text, server: &Server, _now_ms: i64) {
    for (code, count) in server.counters.errors() {
        text.line(format_args!("errorstat_{}:count={count}", safe(&code)));
    }
}

pub fn latencies(text: &mut Text, server: &Server, _now_ms: i64) {
    if !server.config.latency_tracking() {
        return;
    }
    let percentiles = server.config.latency_tracking_info_percentiles();
    for entry in &table().all {
        let Some(histogram) = server.counters.histogram(entry.id) else { continue };
        let values: Vec<String> = percentiles
            .iter()
            .map(|percentile| {
                let micros = histogram.percentile(*percentile) as f64 / 1000.0;
                let mut name = Vec::new();
                number::write_f64(&mut name, *percentile);
                format!("p{}={micros:.3}", String::from_utf8_lossy(&name))
            })
            .collect();
        text.line(format_args!("latency_percentiles_usec_{}:{}", entry.full_name, values.join(",")));
    }
}

/// A name without the characters that separate fields.
fn safe(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '#' | ':' | '\n' | '\r') { '_' } else { c }).collect()
}
