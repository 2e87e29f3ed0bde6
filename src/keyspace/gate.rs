//! Watches over the lock protocol where tests run; in a release it is nothing at all.
//!
//! Every shard has a gate, which is passed on the way to the shard's lock and held as long as the lock.
//! In builds with debug assertions it panics if a thread that holds a shard asks for another without having passed
//! the barrier, or for one that does not come later in the global order without having the barrier alone: whoever
//! breaks the protocol is found by any test, deadlock or not. In the models of [`super::model`] the gate is a lock of
//! the model checker, whose scheduler so decides who comes next and sees deadlocks; the barrier has such a gate too.
//! Knows nothing of what the shards hold.

#[cfg(not(any(test, debug_assertions)))]
mod imp {
    use std::marker::PhantomData;

    pub struct Gates;

    pub struct Permit<'a>(PhantomData<&'a Gates>);

    impl Gates {
        pub fn new(_database: usize, _shards: usize) -> Gates {
            Gates
        }

        #[inline(always)]
        pub fn shared(&self, _shard: usize) -> Permit<'_> {
            Permit(PhantomData)
        }

        #[inline(always)]
        pub fn exclusive(&self, _shard: usize) -> Permit<'_> {
            Permit(PhantomData)
        }
    }

    pub struct BarrierGate;

    pub struct BarrierPermit<'a>(PhantomData<&'a BarrierGate>);

    impl BarrierGate {
        pub fn new() -> BarrierGate {
            BarrierGate
        }

        #[inline(always)]
        pub fn shared(&self) -> BarrierPermit<'_> {
            BarrierPermit(PhantomData)
        }

        #[inline(always)]
        pub fn alone(&self) -> BarrierPermit<'_> {
            BarrierPermit(PhantomData)
        }
    }
}

#[cfg(any(test, debug_assertions))]
mod imp {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::marker::PhantomData;

    /// A shard's position in the global order: (database, shard).
    type Place = (usize, usize);

    thread_local! {
        static HELD: RefCell<Holdings> = const { RefCell::new(Holdings::NOTHING) };
    }

    /// What this thread holds.
    struct Holdings {
        shards: BTreeSet<Place>,
        barrier: Barrier,
    }

    impl Holdings {
        const NOTHING: Holdings = Holdings { shards: BTreeSet::new(), barrier: Barrier::NotPassed };
    }

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Barrier {
        NotPassed,
        Shared,
        Alone,
    }

    /// The gates of one database's shards.
    pub struct Gates {
        database: usize,
        /// One lock per shard; none outside of a model.
        #[cfg(test)]
        model: Box<[shuttle::sync::RwLock<()>]>,
    }

    /// Held as long as the shard's lock.
    pub enum Permit<'a> {
        /// Noted in [`HELD`].
        Noted(Place, PhantomData<&'a Gates>),
        #[cfg(test)]
        Reading { _guard: shuttle::sync::RwLockReadGuard<'a, ()> },
        #[cfg(test)]
        Writing { _guard: shuttle::sync::RwLockWriteGuard<'a, ()> },
    }

    impl Gates {
        #[cfg_attr(not(test), expect(unused_variables, reason = "only models have a lock per shard"))]
        pub fn new(database: usize, shards: usize) -> Gates {
            #[cfg(test)]
            let shards = if super::super::model::is_running() { shards } else { 0 };
            Gates {
                database,
                #[cfg(test)]
                model: (0..shards).map(|_| shuttle::sync::RwLock::new(())).collect(),
            }
        }

        pub fn shared(&self, shard: usize) -> Permit<'_> {
            #[cfg(test)]
            if let Some(lock) = self.model.get(shard) {
                return Permit::Reading { _guard: lock.read().expect("a panic ends the scenario") };
            }
            self.note(shard)
        }

        pub fn exclusive(&self, shard: usize) -> Permit<'_> {
            #[cfg(test)]
            if let Some(lock) = self.model.get(shard) {
                return Permit::Writing { _guard: lock.write().expect("a panic ends the scenario") };
            }
            self.note(shard)
        }

        fn note(&self, shard: usize) -> Permit<'_> {
            let place = (self.database, shard);
            HELD.with_borrow_mut(|held| {
                let last = held.shards.last().copied();
                let is_safe = match held.barrier {
                    Barrier::NotPassed => last.is_none(),
                    Barrier::Shared => last.is_none_or(|last| last < place),
                    Barrier::Alone => !held.shards.contains(&place),
                };
                assert!(
                    is_safe,
                    "shard {place:?} asked for by the holder of {last:?}, barrier {:?}: that can deadlock",
                    held.barrier
                );
                held.shards.insert(place);
            });
            Permit::Noted(place, PhantomData)
        }
    }

    impl Drop for Permit<'_> {
        fn drop(&mut self) {
            match self {
                Permit::Noted(place, _) => HELD.with_borrow_mut(|held| held.shards.remove(place)),
                #[cfg(test)]
                Permit::Reading { .. } | Permit::Writing { .. } => false,
            };
        }
    }

    /// The gate of the barrier.
    pub struct BarrierGate {
        #[cfg(test)]
        model: Option<shuttle::sync::RwLock<()>>,
    }

    /// Held as long as the barrier.
    pub enum BarrierPermit<'a> {
        /// Noted in [`HELD`].
        Noted(PhantomData<&'a BarrierGate>),
        #[cfg(test)]
        Sharing { _guard: shuttle::sync::RwLockReadGuard<'a, ()> },
        #[cfg(test)]
        Alone { _guard: shuttle::sync::RwLockWriteGuard<'a, ()> },
    }

    impl BarrierGate {
        pub fn new() -> BarrierGate {
            BarrierGate {
                #[cfg(test)]
                model: super::super::model::is_running().then(|| shuttle::sync::RwLock::new(())),
            }
        }

        pub fn shared(&self) -> BarrierPermit<'_> {
            #[cfg(test)]
            if let Some(lock) = &self.model {
                return BarrierPermit::Sharing { _guard: lock.read().expect("a panic ends the scenario") };
            }
            note_barrier(Barrier::Shared)
        }

        pub fn alone(&self) -> BarrierPermit<'_> {
            #[cfg(test)]
            if let Some(lock) = &self.model {
                return BarrierPermit::Alone { _guard: lock.write().expect("a panic ends the scenario") };
            }
            note_barrier(Barrier::Alone)
        }
    }

    fn note_barrier<'a>(barrier: Barrier) -> BarrierPermit<'a> {
        HELD.with_borrow_mut(|held| {
            assert!(
                held.barrier == Barrier::NotPassed && held.shards.is_empty(),
                "barrier asked for by the holder of {:?}, barrier {:?}: that can deadlock",
                held.shards,
                held.barrier
            );
            held.barrier = barrier;
        });
        BarrierPermit::Noted(PhantomData)
    }

    impl Drop for BarrierPermit<'_> {
        fn drop(&mut self) {
            match self {
                BarrierPermit::Noted(_) => {
                    HELD.with_borrow_mut(|held| held.barrier = Barrier::NotPassed);
                }
                #[cfg(test)]
                BarrierPermit::Sharing { .. } | BarrierPermit::Alone { .. } => {}
            }
        }
    }
}

pub use imp::{BarrierGate, BarrierPermit, Gates, Permit};
