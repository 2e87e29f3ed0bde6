//! INFO's section on memory.

use super::Text;
use crate::keyspace::View;
use crate::memory::lazyfree;
use crate::observe::process;
use crate::script::Purpose;
use crate::state::Server;
use crate::state::memory_use::MemoryUse;

pub fn memory(text: &mut Text, server: &Server, keys: &View<'_>) {
    let memory = MemoryUse::of(server, keys);
    sized(text, "used_memory", memory.used as u64);
    sized(text, "used_memory_rss", memory.resident as u64);
    sized(text, "used_memory_peak", memory.peak as u64);
    text.field("used_memory_peak_time", memory.peak_at_secs);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", memory.peak_percent()));
    text.field("used_memory_overhead", memory.overhead());
    text.field("used_memory_startup", memory.startup);
    text.field("used_memory_dataset", memory.dataset());
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", memory.dataset_percent()));
    text.field("allocator_allocated", memory.allocator.allocated);
    text.field("allocator_active", memory.allocator.active);
    text.field("allocator_resident", memory.allocator.resident);
    sized(text, "total_system_memory", process::system_memory_bytes());
    scripts(text, server);
    sized(text, "maxmemory", server.config.maxmemory());
    let policy = server.config.text(crate::config::Id::maxmemory_policy);
    text.field("maxmemory_policy", String::from_utf8_lossy(&policy));
    let excesses = [
        ("allocator_frag_ratio", "allocator_frag_bytes", memory.allocator_fragmentation()),
        ("allocator_rss_ratio", "allocator_rss_bytes", memory.allocator_resident()),
        ("rss_overhead_ratio", "rss_overhead_bytes", memory.beyond_allocator()),
        ("mem_fragmentation_ratio", "mem_fragmentation_bytes", memory.fragmentation()),
    ];
    for (ratio, bytes, excess) in excesses {
        text.field(ratio, format_args!("{:.2}", excess.ratio));
        text.field(bytes, excess.bytes);
    }
    text.field("mem_not_counted_for_evict", 0);
    text.field("mem_replication_backlog", 0);
    text.field("mem_total_replication_buffers", 0);
    text.field("mem_replica_full_sync_buffer", 0);
    text.field("mem_clients_slaves", 0);
    text.field("mem_clients_normal", memory.clients);
    text.field("mem_cluster_links", 0);
    text.field("mem_aof_buffer", 0);
    // A table that grows does so at once: between commands there is never an old one beside it.
    text.field("mem_overhead_db_hashtable_rehashing", 0);
    text.field("mem_allocator", crate::memory::allocator_name());
    text.field("active_defrag_running", 0);
    text.field("lazyfree_pending_objects", lazyfree::pending_objects());
    text.field("lazyfreed_objects", lazyfree::freed_objects());
}

/// What scripts and functions take.
fn scripts(text: &mut Text, server: &Server) {
    let scripting = &server.scripting;
    let libraries = scripting.functions.current();
    let eval = scripting.interpreter_bytes(Purpose::Eval);
    let functions = scripting.interpreter_bytes(Purpose::Functions);
    let texts = scripting.scripts.bytes();
    sized(text, "used_memory_lua", eval as u64);
    text.fields(&[
        ("used_memory_vm_eval", eval),
        ("used_memory_scripts_eval", texts),
        ("number_of_cached_scripts", scripting.scripts.len()),
        ("number_of_functions", libraries.functions()),
        ("number_of_libraries", libraries.len()),
        ("used_memory_vm_functions", functions),
    ]);
    sized(text, "used_memory_vm_total", (eval + functions) as u64);
    text.field("used_memory_functions", libraries.bytes());
    sized(text, "used_memory_scripts", (texts + libraries.bytes()) as u64);
}

/// A number of bytes, and again in the field with `_human` in its name.
fn sized(text: &mut Text, name: &str, bytes: u64) {
    text.field(name, bytes);
    text.field(&format!("{name}_human"), human(bytes));
}

/// Bytes in the largest unit that leaves a whole one.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let units = ["K", "M", "G", "T", "P"];
    let power = (bytes.ilog2() / 10).min(units.len() as u32);
    format!("{:.2}{}", bytes as f64 / 1024_f64.powi(power as i32), units[power as usize - 1])
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_people() {
        let cases =
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_610_612_736, "1.50G"), (u64::MAX, "16384.00P")];
        for (bytes, text) in cases {
            assert_eq!(super::human(bytes), text);
        }
    }
}
