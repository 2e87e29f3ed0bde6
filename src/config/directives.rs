//! The table of all directives: every one that Redis 5.0 to 8 and Valkey know, and our own.
//!
//! A line reads
//!
//! ```text
//! identifier | "alias": kind(bounds) = "default" + FLAGS, effect, "summary";
//! ```
//!
//! The directive's name is the identifier with `-` for `_`. The kinds are listed at `kind!` in
//! `directive.rs`, the flags in [`flag`]. The defaults are those of Redis 7.2.
//!
//! Only this file changes when a directive comes to life: its effect becomes `Active`.

use std::sync::Arc;

use bytes::Bytes;

use super::check::{
    cluster_file, host_name, ipv4, ipv6, log_directory, log_file, node_name, snapshot_file, title_template,
};
use super::choice;
use super::directive::Effect::{Active, NoEffect};
use super::directive::{Directive, Effect, Kind, accessor, any_text, dashed, directives, flag, kind};
use super::store::Config;
use super::value;

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const MIN_I32: i64 = i32::MIN as i64;
const U32: i64 = u32::MAX as i64;
const SIZE: u64 = i64::MAX as u64;
const MB: u64 = 1 << 20;
const MANY: usize = usize::MAX;

// Reasons why a directive has no effect: first what has not been built, then what never will be.
const ACL: Effect = NoEffect("access control lists are not part of this version");
const CLUSTER: Effect = NoEffect("cluster mode is not part of this version");
const EVICTION: Effect = NoEffect("nothing is evicted in this version: beyond maxmemory, writes are refused");
const REPLICATION: Effect = NoEffect("replication is not part of this version");
const SCRIPTS: Effect = NoEffect("the effects of scripts are always what is replicated");
const TLS: Effect = NoEffect("TLS is not part of this version");
const AFFINITY: Effect = NoEffect("threads are placed by the operating system");
const BACKGROUND: Effect = NoEffect("big values are always freed in the background");
const DEFRAG: Effect = NoEffect("values are never moved to defragment memory");
const FOREGROUND: Effect = NoEffect("the server runs in the foreground; use a service manager");
const KERNEL: Effect = NoEffect("the kernel's settings for the process are left alone");
const MODULES: Effect = NoEffect("modules cannot be loaded");
const SANITIZED: Effect = NoEffect("all are always checked in full");
const SYSLOG: Effect = NoEffect("logs go to standard output or to a file");
const TESTING: Effect = NoEffect("it only serves the tests of other servers");
const THREADS: Effect = NoEffect("every worker thread executes commands itself");
const VALKEY: Effect = NoEffect("it is Valkey's own");

directives! {
["network"]
bind: addresses() = "* -::*", Active, "Addresses to listen on; with `-` before one, it may be unavailable.";
port: uint(0, 65535) = "6379", Active, "TCP port; 0 listens on none.";
unixsocket: optional() = "" + IMMUTABLE, Active, "Path of the Unix socket.";
unixsocketgroup: optional() = "" + IMMUTABLE, VALKEY, "Group that owns the Unix socket.";
unixsocketperm: octal(0o777) = "0" + IMMUTABLE, Active, "Permissions of the Unix socket, in octal; 0 leaves the umask's.";
tcp_backlog: uint(0, I32) = "511" + IMMUTABLE, Active, "Connections that may wait to be accepted.";
tcp_keepalive: uint(0, I32) = "300", Active, "Seconds between keep-alive probes of idle clients; 0 sends none.";
timeout: uint(0, I32) = "0", Active, "Seconds after which an idle client is disconnected; 0 is never.";
protected_mode: bool() = "yes", Active, "Without a password, serve only clients of this machine.";
bind_source_addr: optional() = "", REPLICATION, "Local address of outgoing connections.";
socket_mark_id: uint(0, U32) = "0" + IMMUTABLE, KERNEL, "Mark that the kernel routes our sockets by.";
max_new_connections_per_cycle: uint(1, 1000) = "10", NoEffect("each worker accepts as fast as clients come"), "Connections accepted in one turn.";
max_new_tls_connections_per_cycle: uint(1, 1000) = "1", NoEffect("each worker accepts as fast as clients come"), "TLS connections accepted in one turn.";

["tls"]
tls_port: uint(0, 65535) = "0", TLS, "TCP port for TLS; 0 listens on none.";
tls_cert_file: optional() = "" + VOLATILE, TLS, "The server's certificate.";
tls_key_file: optional() = "" + VOLATILE, TLS, "The key of the server's certificate.";
tls_key_file_pass: optional() = "" + SENSITIVE, TLS, "Passphrase of the key.";
tls_client_cert_file: optional() = "" + VOLATILE, TLS, "Certificate to show as a client.";
tls_client_key_file: optional() = "" + VOLATILE, TLS, "The key of the client certificate.";
tls_client_key_file_pass: optional() = "" + SENSITIVE, TLS, "Passphrase of the client key.";
tls_dh_params_file: optional() = "" + VOLATILE, TLS, "Diffie-Hellman parameters for old clients.";
tls_ca_cert_file: optional() = "" + VOLATILE, TLS, "Authorities whose certificates are trusted.";
tls_ca_cert_dir: optional() = "" + VOLATILE, TLS, "Directory of authorities whose certificates are trusted.";
tls_auth_clients: choice(TlsClientAuth) = "yes", TLS, "Whether clients must show a certificate.";
tls_replication: bool() = "no", TLS, "Reach the master by TLS.";
tls_cluster: bool() = "no", TLS, "Use TLS on the cluster bus.";
tls_protocols: optional() = "", TLS, "TLS versions to offer.";
tls_ciphers: optional() = "", TLS, "Ciphers to offer up to TLS 1.2.";
tls_ciphersuites: optional() = "", TLS, "Cipher suites to offer with TLS 1.3.";
tls_prefer_server_ciphers: bool() = "no", TLS, "Prefer the server's order of ciphers.";
tls_session_caching: bool() = "yes", TLS, "Let clients resume sessions.";
tls_session_cache_size: uint(0, I32) = "20480", TLS, "Sessions kept for resuming.";
tls_session_cache_timeout: uint(0, I32) = "300", TLS, "Seconds for which a session can be resumed.";

["general"]
include: include() = "", Active, "Read another file, or all that match a pattern, here.";
loadmodule: lines(1, MANY) = "", MODULES, "Load a module.";
daemonize: bool() = "no" + IMMUTABLE, FOREGROUND, "Run in the background.";
supervised: choice(Supervised) = "no" + IMMUTABLE, FOREGROUND, "Report to a service manager.";
pidfile: optional() = "" + IMMUTABLE, Active, "File to write the process id to.";
loglevel: choice(LogLevel) = "notice", Active, "How much is logged.";
logfile: text() = "" + IMMUTABLE, Active, "File to log to; without one, standard output.";
log_format: choice(LogFormat) = "legacy", VALKEY, "Form of log lines.";
log_timestamp_format: choice(LogTimestamp) = "legacy", VALKEY, "Form of time stamps in log lines.";
hide_user_data_from_log: bool() = "no", NoEffect("keys and values are never logged"), "Keep users' data out of the log.";
syslog_enabled: bool() = "no" + IMMUTABLE, SYSLOG, "Log to syslog.";
syslog_ident: text() = "nuthatch" + IMMUTABLE, SYSLOG, "Name to log to syslog with.";
syslog_facility: choice(SyslogFacility) = "local0" + IMMUTABLE, SYSLOG, "Facility to log to syslog with.";
crash_log_enabled: bool() = "yes", NoEffect("a crash is reported by the language's runtime"), "Log a report when the server crashes.";
crash_memcheck_enabled: bool() = "yes", NoEffect("a crash is reported by the language's runtime"), "Test the memory when the server crashes.";
databases: uint(1, I32) = "16" + IMMUTABLE, Active, "Number of databases.";
always_show_logo: bool() = "no" + IMMUTABLE, NoEffect("the start-up screen is always shown"), "Show the logo even if the output is no terminal.";
set_proc_title: bool() = "yes" + IMMUTABLE, Active, "Change the process's title.";
proc_title_template: text(title_template) = "{title} {listen-addr} {server-mode}", Active, "What the process's title is made of.";
locale_collate: text() = "", NoEffect("strings are compared by their bytes"), "Locale by which strings are compared.";
ignore_warnings: text() = "", KERNEL, "Start-up checks whose failure is tolerated.";
hz: clamped(0, I32 => 1, 500) = "10", Active, "Turns of housekeeping a second.";
dynamic_hz: bool() = "yes", NoEffect("every client is looked at once a second, however many there are"), "Run periodic tasks more often with many clients.";
shutdown_timeout: uint(0, I32) = "10", REPLICATION, "Seconds that a shutdown waits for replicas.";
shutdown_on_sigint: shutdown() = "default", Active, "How SIGINT shuts down.";
shutdown_on_sigterm: shutdown() = "default", Active, "How SIGTERM shuts down.";
watchdog_period: uint(0, I32) = "0" + HIDDEN, TESTING, "Milliseconds after which a stuck server logs where it is.";
sentinel: obsolete() = "", NoEffect("there is no sentinel mode"), "Settings of Redis Sentinel.";

["threads"]
io_threads: cores(1024) = "0" + IMMUTABLE + DEBUG, Active, "Worker threads, each of which serves connections and executes their commands; 0, the default, is one for each core.";
keyspace_shards: power_of_two(65536) = "1024" + IMMUTABLE + HIDDEN, Active, "Independently locked parts of each database.";
io_threads_do_reads: obsolete() = "", THREADS, "Read requests in other threads, too.";
events_per_io_thread: uint(0, I32) = "2", THREADS, "Ready sockets for which one more thread is woken.";
prefetch_batch_max_size: uint(0, 128) = "16", THREADS, "Keys of a batch that are prefetched together.";
vset_force_single_threaded_execution: bool() = "no", THREADS, "Execute commands on vector sets in one thread.";
lookahead: uint(1, I32) = "16" + HIDDEN, THREADS, "Requests that are scanned before the first is executed.";
server_cpulist | "server_cpulist": optional() = "" + IMMUTABLE, AFFINITY, "Cores for the workers.";
bio_cpulist | "bio_cpulist": optional() = "" + IMMUTABLE, AFFINITY, "Cores for background threads.";
aof_rewrite_cpulist | "aof_rewrite_cpulist": optional() = "" + IMMUTABLE, AFFINITY, "Cores for rewriting the append-only file.";
bgsave_cpulist | "bgsave_cpulist": optional() = "" + IMMUTABLE, AFFINITY, "Cores for saving snapshots.";

["security"]
requirepass: optional() = "" + SENSITIVE, Active, "Password of the default user.";
user: lines(1, MANY) = "", ACL, "A user and its rules.";
aclfile: text() = "" + IMMUTABLE, ACL, "File of users and their rules.";
acllog_max_len: uint(0, I64) = "128", ACL, "Entries of ACL LOG.";
acl_pubsub_default: choice(PubsubDefault) = "resetchannels", ACL, "Channels that a new user may use.";
rename_command: lines(2, 2) = "", Active, "Give a command another name, or none.";
enable_protected_configs: choice(ProtectedAction) = "no" + IMMUTABLE, Active, "Who may set protected directives at run time.";
enable_debug_command: choice(ProtectedAction) = "no" + IMMUTABLE, Active, "Who may use DEBUG.";
enable_module_command: choice(ProtectedAction) = "no" + IMMUTABLE, MODULES, "Who may use MODULE.";
sanitize_dump_payload: choice(SanitizePayload) = "no" + DEBUG, SANITIZED, "Whose serialized values are checked in full.";

["clients"]
maxclients: uint(1, U32) = "10000", Active, "Clients served at a time.";
maxmemory_clients: memory_or_percent() = "0", Active, "Memory for all clients' buffers, in bytes or per cent of maxmemory; 0 is no limit.";
client_query_buffer_limit: memory(MB, SIZE) = "1gb" + DEBUG, Active, "Unread input that a client may pile up.";
client_output_buffer_limit: output_limits() = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Active, "Unread output that clients of each class may pile up.";
proto_max_bulk_len: memory(MB, SIZE) = "512mb" + DEBUG, Active, "Longest argument of a request.";
tracking_table_max_keys: uint(0, I64) = "1000000", Active, "Keys remembered for client-side caching.";
client_default_resp: uint(2, 3) = "2" + IMMUTABLE + HIDDEN, TESTING, "Protocol version that clients start with.";
req_res_logfile: optional() = "" + IMMUTABLE + HIDDEN, TESTING, "File to log all requests and replies to.";

["memory"]
maxmemory: memory(0, u64::MAX) = "0", Active, "Memory in use above which writes that need more are refused; 0 is no limit.";
maxmemory_policy: choice(EvictionPolicy) = "noeviction", EVICTION, "What makes room when maxmemory is reached.";
maxmemory_samples: uint(1, 64) = "5", EVICTION, "Keys that are compared to find the one to evict.";
maxmemory_eviction_tenacity: uint(0, 100) = "10", EVICTION, "How much time eviction may take.";
lfu_log_factor: uint(0, I32) = "10", Active, "How many hits saturate a key's frequency counter.";
lfu_decay_time: uint(0, I32) = "1", Active, "Minutes after which a key's frequency counter is decremented.";
active_expire_effort: uint(1, 10) = "1", NoEffect("every key is deleted at its deadline"), "How much time deleting expired keys may take.";
activerehashing: bool() = "yes", NoEffect("tables grow one shard at a time"), "Grow tables in idle time.";
lazyfree_lazy_eviction: bool() = "no" + DEBUG, BACKGROUND, "Free evicted values in the background.";
lazyfree_lazy_expire: bool() = "no" + DEBUG, BACKGROUND, "Free expired values in the background.";
lazyfree_lazy_server_del: bool() = "no" + DEBUG, BACKGROUND, "Free overwritten values in the background.";
lazyfree_lazy_user_del: bool() = "no" + DEBUG, BACKGROUND, "Let DEL free values in the background.";
lazyfree_lazy_user_flush: bool() = "no" + DEBUG, BACKGROUND, "Let FLUSHALL and FLUSHDB free values in the background.";
activedefrag: bool() = "no" + DEBUG, DEFRAG, "Defragment memory.";
active_defrag_ignore_bytes: memory(1, SIZE) = "100mb", DEFRAG, "Waste at which defragmenting starts.";
active_defrag_threshold_lower: uint(0, 1000) = "10", DEFRAG, "Per cent of waste at which defragmenting starts.";
active_defrag_threshold_upper: uint(0, 1000) = "100", DEFRAG, "Per cent of waste at which it takes most effort.";
active_defrag_cycle_min: uint(1, 99) = "1", DEFRAG, "Least per cent of a core that defragmenting takes.";
active_defrag_cycle_max: uint(1, 99) = "25", DEFRAG, "Most per cent of a core that defragmenting takes.";
active_defrag_max_scan_fields: uint(1, I64) = "1000", DEFRAG, "Size of a collection that is defragmented in steps.";
jemalloc_bg_thread: bool() = "yes", NoEffect("the allocator always has its background thread"), "Let the allocator return memory in a thread of its own.";
disable_thp: bool() = "yes" + IMMUTABLE, KERNEL, "Switch transparent huge pages off.";
oom_score_adj: choice(OomScoreAdjust) = "no", KERNEL, "Tell the kernel whom to kill when memory runs out.";
oom_score_adj_values: oom_scores() = "0 200 800", KERNEL, "What it is told for masters, replicas and child processes.";

["types"]
hash_max_listpack_entries | "hash-max-ziplist-entries": uint(0, I64) = "512", Active, "Fields of a hash kept in the compact form.";
hash_max_listpack_value | "hash-max-ziplist-value": memory(0, SIZE) = "64", Active, "Longest field or value of a compact hash.";
list_max_listpack_size | "list-max-ziplist-size": int(MIN_I32, I32) = "-2", Active, "Elements of a compact list and of each block of a longer one; -1 to -5 stand for 4, 8, 16, 32, 64 kB.";
list_compress_depth: uint(0, I32) = "0" + DEBUG, NoEffect("lists are not compressed"), "Blocks at each end of a list that are not compressed; 0 compresses none.";
set_max_intset_entries: uint(0, I64) = "512", Active, "Members of a set of integers kept in the compact form.";
set_max_listpack_entries: uint(0, I64) = "128", Active, "Members of a set kept in the compact form.";
set_max_listpack_value: memory(0, SIZE) = "64", Active, "Longest member of a compact set.";
zset_max_listpack_entries | "zset-max-ziplist-entries": uint(0, I64) = "128", Active, "Members of a sorted set kept in the compact form.";
zset_max_listpack_value | "zset-max-ziplist-value": memory(0, SIZE) = "64", Active, "Longest member of a compact sorted set.";
hll_sparse_max_bytes: memory(0, SIZE) = "3000", Active, "Size up to which a HyperLogLog stays sparse.";
stream_node_max_bytes: memory(0, SIZE) = "4096", Active, "Size of a stream's node; 0 is no limit.";
stream_node_max_entries: uint(0, I64) = "100", Active, "Entries of a stream's node; 0 is no limit.";
list_max_ziplist_entries: obsolete() = "", NoEffect("list-max-listpack-size replaces it"), "Elements of a list kept in the compact form.";
list_max_ziplist_value: obsolete() = "", NoEffect("list-max-listpack-size replaces it"), "Longest element of a compact list.";

["snapshots"]
save: save_points() = "3600 1 300 100 60 10000", Active, "After how many seconds with how many changes a snapshot is saved.";
dir: directory() = "" + PROTECTED + DENY_LOADING, Active, "Working directory: data files and relative paths are in it.";
dbfilename: text(snapshot_file) = "dump.rdb" + PROTECTED, Active, "Name of the snapshot.";
rdbcompression: bool() = "yes", Active, "Compress strings in serialized values and snapshots.";
rdbchecksum: bool() = "yes" + IMMUTABLE, Active, "Write and check the checksum of snapshots.";
stop_writes_on_bgsave_error: bool() = "yes", Active, "Refuse writes when a snapshot could not be saved.";
rdb_del_sync_files: bool() = "no", REPLICATION, "Delete snapshots that were only needed for replicas.";
rdb_save_incremental_fsync: bool() = "yes", Active, "Force a growing snapshot to disk in steps.";
rdb_key_save_delay: int(MIN_I32, I32) = "0" + HIDDEN, Active, "Microseconds of delay for each key saved.";
key_load_delay: int(MIN_I32, I32) = "0" + HIDDEN, TESTING, "Microseconds of delay for each key loaded.";
loading_process_events_interval_bytes: uint(1024, I32) = "524288" + HIDDEN, TESTING, "Bytes loaded between two looks at the clients.";

["append-only file"]
appendonly: bool() = "no" + DENY_LOADING, Active, "Log every write.";
appendfilename: text(log_file) = "appendonly.aof" + IMMUTABLE, Active, "What the names of the log's files start with.";
appenddirname: text(log_directory) = "appendonlydir" + IMMUTABLE, Active, "Directory of the log's files.";
appendfsync: choice(AppendFsync) = "everysec", Active, "When the log is forced to disk.";
no_appendfsync_on_rewrite: bool() = "no", Active, "Do not force the log to disk while it is rewritten.";
auto_aof_rewrite_percentage: uint(0, I32) = "100", Active, "Growth in per cent at which the log is rewritten; 0 is never.";
auto_aof_rewrite_min_size: memory(0, SIZE) = "64mb", Active, "Size below which the log is not rewritten.";
aof_load_truncated: bool() = "yes", Active, "Load a log whose end is missing.";
aof_use_rdb_preamble: bool() = "yes", Active, "Start a rewritten log with a snapshot.";
aof_timestamp_enabled: bool() = "no", Active, "Log times, too.";
aof_rewrite_incremental_fsync: bool() = "yes", Active, "Force a growing log to disk in steps.";
aof_disable_auto_gc: bool() = "no" + HIDDEN, Active, "Keep files that the log no longer needs.";

["replication"]
replicaof | "slaveof": replica_of() = "" + IMMUTABLE, REPLICATION, "The master to be a replica of.";
masterauth | "primaryauth": optional() = "" + SENSITIVE, REPLICATION, "Password to show the master.";
masteruser | "primaryuser": optional() = "" + SENSITIVE, REPLICATION, "User name to show the master.";
replica_serve_stale_data | "slave-serve-stale-data": bool() = "yes", REPLICATION, "Serve reads without a link to the master.";
replica_read_only | "slave-read-only": bool() = "yes" + DEBUG, REPLICATION, "Refuse writes on a replica.";
repl_diskless_sync: bool() = "yes" + DEBUG, REPLICATION, "Send snapshots to replicas without a file.";
repl_diskless_sync_delay: uint(0, I32) = "5", REPLICATION, "Seconds to wait for more replicas before sending one.";
repl_diskless_sync_max_replicas: uint(0, I32) = "0", REPLICATION, "Replicas that end the wait; 0 is no limit.";
repl_diskless_load: choice(DisklessLoad) = "disabled" + DENY_LOADING + DEBUG, REPLICATION, "How a replica loads a snapshot from the link.";
dual_channel_replication_enabled: bool() = "no" + DEBUG, REPLICATION, "Send snapshot and writes over two connections.";
repl_ping_replica_period | "repl-ping-slave-period": uint(1, I32) = "10", REPLICATION, "Seconds between pings to replicas.";
repl_timeout: uint(1, I32) = "60", REPLICATION, "Seconds of silence after which a link is dead.";
repl_disable_tcp_nodelay: bool() = "no", REPLICATION, "Send replicas fewer, larger packets, later.";
repl_backlog_size: memory(1, SIZE) = "1mb", REPLICATION, "Writes kept for replicas that come back.";
repl_backlog_ttl: uint(0, I64) = "3600", REPLICATION, "Seconds without a replica after which they are dropped; 0 is never.";
replica_full_sync_buffer_limit: memory(0, SIZE) = "0", REPLICATION, "Writes that a replica gathers while it loads; 0 is its output limit.";
replica_priority | "slave-priority": uint(0, I32) = "100", REPLICATION, "Rank for promotion by Sentinel; 0 is never.";
replica_announced: bool() = "yes", REPLICATION, "Let Sentinel tell clients of this replica.";
replica_announce_ip | "slave-announce-ip": optional() = "", REPLICATION, "Address to be known by.";
replica_announce_port | "slave-announce-port": uint(0, 65535) = "0", REPLICATION, "Port to be known by.";
replica_ignore_maxmemory | "slave-ignore-maxmemory": bool() = "yes", REPLICATION, "Leave eviction to the master.";
replica_lazy_flush | "slave-lazy-flush": bool() = "no", REPLICATION, "Free the old data set in the background before a full synchronisation.";
replica_ignore_disk_write_errors: bool() = "no", REPLICATION, "Go on when writes cannot be logged.";
min_replicas_to_write | "min-slaves-to-write": uint(0, I32) = "0", REPLICATION, "Replicas without which writes are refused.";
min_replicas_max_lag | "min-slaves-max-lag": uint(0, I32) = "10", REPLICATION, "Seconds of lag up to which a replica counts.";
propagation_error_behavior: choice(PropagationError) = "ignore", REPLICATION, "What to do when a command from the master fails.";
availability_zone: text() = "", VALKEY, "Where this server is, for clients to know.";

["cluster"]
cluster_enabled: bool() = "no" + IMMUTABLE, CLUSTER, "Be a node of a cluster.";
cluster_config_file: text(cluster_file) = "nodes.conf" + IMMUTABLE, CLUSTER, "File that the node keeps its view of the cluster in.";
cluster_port: uint(0, 65535) = "0" + IMMUTABLE, CLUSTER, "Port of the cluster bus; 0 is the port and 10000.";
cluster_node_timeout: uint(0, I64) = "15000", CLUSTER, "Milliseconds of silence after which a node is dead.";
cluster_ping_interval: uint(0, I64) = "0" + HIDDEN, TESTING, "Milliseconds between pings.";
cluster_replica_validity_factor | "cluster-slave-validity-factor": uint(0, I32) = "10", CLUSTER, "Timeouts after which a replica's data is too old; 0 is never.";
cluster_migration_barrier: uint(0, I32) = "1", CLUSTER, "Replicas a master keeps when one moves to another.";
cluster_allow_replica_migration: bool() = "yes", CLUSTER, "Let replicas move to masters that have none.";
cluster_require_full_coverage: bool() = "yes", CLUSTER, "Serve nothing while some slots are not served.";
cluster_replica_no_failover | "cluster-slave-no-failover": bool() = "no", CLUSTER, "Never promote this replica by itself.";
cluster_allow_reads_when_down: bool() = "no", CLUSTER, "Serve reads while the cluster is down.";
cluster_allow_pubsubshard_when_down: bool() = "yes", CLUSTER, "Serve shard channels while the cluster is down.";
cluster_link_sendbuf_limit: memory(0, u64::MAX) = "0", CLUSTER, "Unsent messages of a cluster link; 0 is no limit.";
cluster_announce_ip: optional() = "", CLUSTER, "Address to be known by.";
cluster_announce_client_ipv4: optional(ipv4) = "", CLUSTER, "IPv4 address for clients.";
cluster_announce_client_ipv6: optional(ipv6) = "", CLUSTER, "IPv6 address for clients.";
cluster_announce_port: uint(0, 65535) = "0", CLUSTER, "Port to be known by.";
cluster_announce_tls_port: uint(0, 65535) = "0", CLUSTER, "TLS port to be known by.";
cluster_announce_bus_port: uint(0, 65535) = "0", CLUSTER, "Bus port to be known by.";
cluster_announce_hostname: optional(host_name) = "", CLUSTER, "Host name to be known by.";
cluster_announce_human_nodename: optional(node_name) = "", CLUSTER, "Name of the node in logs.";
cluster_preferred_endpoint_type: choice(EndpointType) = "ip", CLUSTER, "How nodes are named to clients.";
cluster_blacklist_ttl: uint(0, I64) = "60", CLUSTER, "Seconds for which a forgotten node is not taken back.";
cluster_slot_stats_enabled: bool() = "no", CLUSTER, "Count what each slot costs.";
cluster_compatibility_sample_ratio: uint(0, 100) = "0", CLUSTER, "Per cent of commands checked for use in a cluster.";
cluster_slot_migration_handoff_max_lag_bytes: memory(0, SIZE) = "1mb" + HIDDEN, CLUSTER, "Lag at which a slot is handed over.";
cluster_slot_migration_write_pause_timeout: uint(0, I64) = "10000" + HIDDEN, CLUSTER, "Milliseconds that writes may pause for the handover.";
cluster_slot_migration_sync_buffer_drain_timeout: uint(0, I64) = "60000" + HIDDEN, CLUSTER, "Milliseconds that the last writes may take.";

["scripts and events"]
busy_reply_threshold | "lua-time-limit": uint(0, I64) = "5000", Active, "Milliseconds after which a script is reported as busy, and others get `BUSY`; 0 is never.";
lua_replicate_commands: obsolete() = "", SCRIPTS, "Replicate the effects of scripts.";
notify_keyspace_events: events() = "", Active, "Classes of events that are published.";
gopher_enabled: obsolete() = "", NoEffect("the Gopher protocol is gone"), "Speak the Gopher protocol.";

["observation"]
slowlog_log_slower_than: int(-1, I64) = "10000", Active, "Microseconds from which a command is logged as slow; -1 logs none.";
slowlog_max_len: uint(0, I64) = "128", Active, "Entries of SLOWLOG.";
latency_monitor_threshold: uint(0, I64) = "0", Active, "Milliseconds from which LATENCY records an event; 0 records none.";
latency_tracking: bool() = "yes", Active, "Keep a histogram of each command's latency.";
latency_tracking_info_percentiles: percentiles() = "50 99 99.9", Active, "Percentiles that INFO shows of them.";

["other servers' own"]
extended_redis_compatibility: bool() = "no", VALKEY, "Call the server Redis.";
use_exit_on_panic: bool() = "no" + HIDDEN, TESTING, "Exit, rather than abort, on a failed assertion.";
enable_debug_assert: bool() = "no" + IMMUTABLE + HIDDEN, TESTING, "Check assertions that cost time.";
debug_context: text() = "" + HIDDEN + DEBUG, TESTING, "A text for crash reports.";
}

#[cfg(test)]
mod tests {
    use super::super::directive::lookup;
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let mut seen = std::collections::HashSet::new();
        for directive in &DIRECTIVES {
            for name in std::iter::once(directive.name).chain(directive.aliases.iter().copied()) {
                assert!(seen.insert(name), "{name} twice");
                assert_eq!(lookup(name.to_uppercase().as_bytes()), Some((directive.id, name)));
            }
            assert_eq!(directive.id.directive().name, directive.name);
            assert!(!directive.summary.is_empty());
        }
        assert_eq!(lookup(b"no-such-thing"), None);
    }
}
