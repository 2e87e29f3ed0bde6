//! INFO's sections on the data: what is kept, on disk and elsewhere.

use super::Text;
use crate::keyspace::View;
use crate::state::Server;
use crate::state::append_only::Status;
use crate::state::persistence::{Loading, Saving};
use std::sync::atomic::Ordering::Relaxed;

pub fn persistence(text: &mut Text, server: &Server, now_ms: i64) {
    let persistence = &server.persistence;
    let loading = &persistence.loading;
    // No process is forked, so none ever shares pages until they are written.
    text.fields(&[
        ("loading", persistence.is_loading() as i64),
        ("async_loading", 0),
        ("current_cow_peak", 0),
        ("current_cow_size", 0),
        ("current_cow_size_age", 0),
    ]);
    text.field("current_fork_perc", "0.00");
    let (saved, total, seconds) = match &*persistence.saving() {
        Some(Saving { control, started }) => {
            (control.saved_keys(), control.cut().keys(), started.elapsed().as_secs() as i64)
        }
        None => (0, 0, -1),
    };
    text.fields(&[("current_save_keys_processed", saved), ("current_save_keys_total", total)]);
    text.field("rdb_changes_since_last_save", persistence.unsaved_changes(server.counters.raw().dirty));
    text.fields(&[
        ("rdb_bgsave_in_progress", i64::from(seconds >= 0)),
        ("rdb_last_save_time", persistence.last_save()),
    ]);
    text.field("rdb_last_bgsave_status", if persistence.is_last_save_ok() { "ok" } else { "err" });
    text.fields(&[
        ("rdb_last_bgsave_time_sec", persistence.last_seconds()),
        ("rdb_current_bgsave_time_sec", seconds),
        ("rdb_saves", persistence.saves() as i64),
        ("rdb_last_cow_size", 0),
        ("rdb_last_load_keys_expired", loading.expired_keys.load(Relaxed) as i64),
        ("rdb_last_load_keys_loaded", loading.keys.load(Relaxed) as i64),
    ]);
    log_status(text, server.append_only.engine().map(|log| log.status()));
    if persistence.is_loading() {
        load_progress(text, loading, now_ms);
    }
}

/// The append-only file. Nothing in tests that start no server.
fn log_status(text: &mut Text, status: Option<Status>) {
    let Some(log) = status else { return };
    let word = |ok| if ok { "ok" } else { "err" };
    text.fields(&[
        ("aof_enabled", log.is_on.into()),
        ("aof_rewrite_in_progress", log.is_rewriting.into()),
        ("aof_rewrite_scheduled", log.is_scheduled.into()),
        ("aof_last_rewrite_time_sec", log.last_rewrite_s),
        ("aof_current_rewrite_time_sec", log.current_rewrite_s),
    ]);
    text.field("aof_last_bgrewrite_status", word(log.was_rewrite_ok));
    text.field("aof_rewrites", log.rewrites);
    text.field("aof_rewrites_consecutive_failures", log.failures_in_turn);
    text.field("aof_last_write_status", word(log.was_write_ok));
    text.fields(&[
        ("aof_last_cow_size", 0),
        ("module_fork_in_progress", 0),
        ("module_fork_last_cow_size", 0),
    ]);
    if log.is_on {
        text.field("aof_current_size", log.current_bytes);
        text.field("aof_base_size", log.base_bytes);
        text.field("aof_pending_rewrite", 0);
        text.field("aof_buffer_length", log.buffer_bytes);
        text.field("aof_pending_bio_fsync", u8::from(log.is_syncing));
        text.field("aof_delayed_fsync", log.delayed_syncs);
    }
}

/// How far loading has come, and when it may end.
fn load_progress(text: &mut Text, loading: &Loading, now_ms: i64) {
    let (total, loaded) = (loading.total_bytes.load(Relaxed), loading.loaded_bytes.load(Relaxed));
    let started_at = loading.started_at.load(Relaxed);
    text.field("loading_start_time", started_at);
    text.field("loading_total_bytes", total);
    text.field("loading_rdb_used_mem", loading.rdb_used_bytes.load(Relaxed));
    text.field("loading_loaded_bytes", loaded);
    text.field("loading_loaded_perc", format_args!("{:.2}", loaded as f64 * 100.0 / total.max(1) as f64));
    let elapsed_s = (now_ms / 1000 - started_at).max(0) as u64;
    let left_s = match loaded {
        0 => 1,
        loaded => elapsed_s.saturating_mul(total.saturating_sub(loaded)) / loaded,
    };
    text.field("loading_eta_seconds", left_s);
}

pub fn replication(text: &mut Text, server: &Server, _now_ms: i64) {
    /// There was no other history before this one.
    const NO_ID: &str = "0000000000000000000000000000000000000000";
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &*server.replication_id.lock());
    text.field("master_replid2", NO_ID);
    text.fields(&[("master_repl_offset", 0), ("second_repl_offset", -1), ("repl_backlog_active", 0)]);
    text.field("repl_backlog_size", server.config.repl_backlog_size());
    text.fields(&[("repl_backlog_first_byte_offset", 0), ("repl_backlog_histlen", 0)]);
}

pub fn keyspace(text: &mut Text, server: &Server, keys: &View<'_>) {
    let now_ms = keys.now_ms;
    for db in 0..server.keyspace.databases() {
        let counts = keys.survey(db);
        if counts.keys == 0 {
            continue;
        }
        let mean_deadline_ms =
            counts.deadline_sum.checked_div(counts.deadlines as i128).unwrap_or(now_ms as i128);
        let mean_ttl_ms = (mean_deadline_ms - now_ms as i128).max(0);
        text.line(format_args!(
            "db{db}:keys={},expires={},avg_ttl={mean_ttl_ms},subexpiry={}",
            counts.keys, counts.deadlines, counts.timed_hashes
        ));
    }
}
