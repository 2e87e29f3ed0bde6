//! The barrier: who may wait for a shard while holding another.
//!
//! Whoever locks several shards passes the barrier first, together with all others who do, and takes the shards in
//! the global order. Who has the barrier alone may take further shards at any time and in any order: everybody else
//! holds one shard at most, and waits for nothing while holding it. Work on a single shard never comes here.
//!
//! The barrier is a lock with many lanes. Those who share it take the lane of their thread, so that cores do not fight
//! for one cache line; who wants it alone takes all lanes, in order. Knows nothing of shards.

use super::gate::{BarrierGate, BarrierPermit};
use crossbeam_utils::CachePadded;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Beyond these, threads share lanes: taking all of them costs about 20 ns a lane.
const MAX_LANES: usize = 32;

/// The number of the next thread that comes to a barrier.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

/// See the module's head.
pub struct Barrier {
    lanes: Box<[CachePadded<RwLock<()>>]>,
    gate: BarrierGate,
}

/// The right to hold several shards in the global order, as long as it lives.
pub struct Together<'a> {
    _lane: RwLockReadGuard<'a, ()>,
    _permit: BarrierPermit<'a>,
}

/// The right to lock shards in any order, as long as it lives.
pub struct Alone<'a> {
    _lanes: SmallVec<[RwLockWriteGuard<'a, ()>; 8]>,
    _permit: BarrierPermit<'a>,
}

impl Barrier {
    /// For about so many threads that compete.
    pub fn new(threads: usize) -> Barrier {
        let lanes = (0..threads.clamp(1, MAX_LANES)).map(|_| CachePadded::default());
        Barrier { lanes: lanes.collect(), gate: BarrierGate::new() }
    }

    /// Passes together with all others who take their shards in the global order.
    pub fn together(&self) -> Together<'_> {
        let permit = self.gate.shared();
        let lane = THREAD.with(|thread| *thread % self.lanes.len());
        Together { _lane: self.lanes[lane].read(), _permit: permit }
    }

    /// Waits until nobody else holds several shards, and keeps it so.
    pub fn alone(&self) -> Alone<'_> {
        let permit = self.gate.alone();
        Alone { _lanes: self.lanes.iter().map(|lane| lane.write()).collect(), _permit: permit }
    }
}
