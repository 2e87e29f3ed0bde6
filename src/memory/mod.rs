//! The allocator, and how much memory is in use.
//!
//! jemalloc keeps, per thread, the bytes it ever allocated and freed. Each of our threads publishes the
//! difference after every batch of work, into a cell of its own; the sum over the cells is the memory in use,
//! exact up to the batches that are running, at the price of two loads and a store per batch.

pub mod allocator;
pub mod lazyfree;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tikv_jemalloc_ctl::{epoch, stats, thread};

#[global_allocator]
static ALLOCATOR: allocator::Jemalloc = allocator::Jemalloc;

type Cell = Arc<CachePadded<AtomicI64>>;

/// One cell per thread that ever published. Threads are few and live long.
static CELLS: Mutex<Vec<Cell>> = Mutex::new(Vec::new());

static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The peak whose time is in `PEAK_AT_SECS`.
static PEAK_NOTED_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_AT_SECS: AtomicI64 = AtomicI64::new(0);
static STARTUP_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counters {
    allocated: thread::ThreadLocal<u64>,
    deallocated: thread::ThreadLocal<u64>,
    cell: Cell,
}

impl Counters {
    fn new() -> Option<Counters> {
        let cell = Cell::default();
        CELLS.lock().push(cell.clone());
        Some(Counters {
            allocated: thread::allocatedp::read().ok()?,
            deallocated: thread::deallocatedp::read().ok()?,
            cell,
        })
    }

    fn publish(&self) {
        let balance = self.allocated.get().wrapping_sub(self.deallocated.get()) as i64;
        self.cell.store(balance, Ordering::Relaxed);
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        self.publish();
    }
}

thread_local! {
    static COUNTERS: RefCell<Option<Counters>> = const { RefCell::new(None) };
}

/// Publishes what the calling thread has allocated and freed so far. Called after every batch of work.
#[inline]
pub fn publish() {
    // A thread that is ending has published for the last time.
    let _ = COUNTERS.try_with(|counters| {
        let mut counters = counters.borrow_mut();
        if counters.is_none() {
            *counters = Counters::new();
        }
        if let Some(counters) = counters.as_ref() {
            counters.publish();
        }
    });
}

/// Bytes in use, as the sum of what all threads have published.
pub fn used_bytes() -> usize {
    let sum: i64 = CELLS.lock().iter().map(|cell| cell.load(Ordering::Relaxed)).sum();
    let used = usize::try_from(sum).unwrap_or(0);
    PEAK_BYTES.fetch_max(used, Ordering::Relaxed);
    used
}

/// Remembers `now_secs` (Unix) as the time of the peak if that is higher than when this was last called.
pub fn note_peak(now_secs: i64) {
    used_bytes();
    let peak = peak_bytes();
    if PEAK_NOTED_BYTES.swap(peak, Ordering::Relaxed) != peak {
        PEAK_AT_SECS.store(now_secs, Ordering::Relaxed);
    }
}

/// When [`note_peak`] found the highest peak, in Unix seconds.
pub fn peak_at_secs() -> i64 {
    PEAK_AT_SECS.load(Ordering::Relaxed)
}

/// The largest value that [`used_bytes`] has returned.
pub fn peak_bytes() -> usize {
    PEAK_BYTES.load(Ordering::Relaxed)
}

/// Begins a new peak (CONFIG RESETSTAT).
pub fn reset_peak() {
    PEAK_BYTES.store(used_bytes(), Ordering::Relaxed);
}

/// Remembers the memory in use as what the server needs before it holds data.
pub fn mark_startup() {
    publish();
    STARTUP_BYTES.store(used_bytes(), Ordering::Relaxed);
}

/// Bytes in use when start-up was complete.
pub fn startup_bytes() -> usize {
    STARTUP_BYTES.load(Ordering::Relaxed)
}

/// The allocator's own figures, bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct AllocatorStats {
    pub allocated: usize,
    pub active: usize,
    pub resident: usize,
    pub retained: usize,
    pub mapped: usize,
}

/// Asks the allocator, which is slow (it merges all its caches' counts).
pub fn allocator_stats() -> AllocatorStats {
    let _ = epoch::advance();
    AllocatorStats {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
        retained: stats::retained::read().unwrap_or(0),
        mapped: stats::mapped::read().unwrap_or(0),
    }
}

/// Name and version of the allocator, as INFO's `mem_allocator` shows them.
pub fn allocator_name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}

/// The allocator's own statistics, as text.
pub fn allocator_report() -> Vec<u8> {
    let mut report = Vec::new();
    // Writing to a vector cannot fail.
    let _ = tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default());
    report
}

/// Resident set size of the process in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse::<usize>().ok());
    // SAFETY: sysconf has no preconditions.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * usize::try_from(page_bytes).unwrap_or(0)
}

/// Gives free pages back to the system (MEMORY PURGE).
pub fn purge() {
    // jemalloc's number for "all arenas" in arena.<i>.purge.
    const ALL_ARENAS: &[u8] = b"arena.4096.purge\0";
    // SAFETY: the name ends with a zero byte and the control takes and returns nothing.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            ALL_ARENAS.as_ptr().cast(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_allocated_is_counted() {
        super::publish();
        let before = super::used_bytes();
        let block = vec![1_u8; 64 << 20];
        super::publish();
        let during = super::used_bytes();
        assert!(during >= before + (48 << 20), "{before} {during}");
        drop(block);
        super::publish();
        assert!(super::used_bytes() <= during - (48 << 20));
        assert!(super::peak_bytes() >= during);
    }
}
