//! INFO's sections on the data: what is kept, on disk and elsewhere.

use super::Text;
use crate::state::Server;

pub fn persistence(text: &mut Text, server: &Server, _now_ms: i64) {
    // Data lives in memory only: nothing was loaded, nothing is ever saved. No process is forked, so none ever
    // shares pages until they are written.
    text.fields(&[
        ("loading", 0),
        ("async_loading", 0),
        ("current_cow_peak", 0),
        ("current_cow_size", 0),
        ("current_cow_size_age", 0),
    ]);
    text.field("current_fork_perc", "0.00");
    text.fields(&[("current_save_keys_processed", 0), ("current_save_keys_total", 0)]);
    text.field("rdb_changes_since_last_save", server.counters.raw().dirty);
    text.field("rdb_bgsave_in_progress", 0);
    text.field("rdb_last_save_time", server.started_at_ms / 1000);
    text.field("rdb_last_bgsave_status", "ok");
    text.fields(&[
        ("rdb_last_bgsave_time_sec", -1),
        ("rdb_current_bgsave_time_sec", -1),
        ("rdb_saves", 0),
        ("rdb_last_cow_size", 0),
        ("rdb_last_load_keys_expired", 0),
        ("rdb_last_load_keys_loaded", 0),
        ("aof_enabled", 0),
        ("aof_rewrite_in_progress", 0),
        ("aof_rewrite_scheduled", 0),
        ("aof_last_rewrite_time_sec", -1),
        ("aof_current_rewrite_time_sec", -1),
    ]);
    text.field("aof_last_bgrewrite_status", "ok");
    text.fields(&[("aof_rewrites", 0), ("aof_rewrites_consecutive_failures", 0)]);
    text.field("aof_last_write_status", "ok");
    text.fields(&[
        ("aof_last_cow_size", 0),
        ("module_fork_in_progress", 0),
        ("module_fork_last_cow_size", 0),
    ]);
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

pub fn keyspace(text: &mut Text, server: &Server, now_ms: i64) {
    for db in 0..server.keyspace.databases() {
        let counts = server.keyspace.counts(db);
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
