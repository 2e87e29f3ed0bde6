//! Watches over the lock protocol where tests run; in a release it is nothing at all.
//!
//! Every shard has a gate, which is passed on the way to the shard's lock and held as long as the lock.
//! In builds with debug assertions it panics if a thread that holds a shard asks for one that does not come
//! later in the global order: whoever breaks the protocol is found by any test, deadlock or not. In the
//! models of [`super::model`] the gate is a lock of the model checker, whose scheduler so decides who comes
//! next and sees deadlocks. Knows nothing of what the shards hold.

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
}

#[cfg(any(test, debug_assertions))]
mod imp {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::marker::PhantomData;

    /// A shard's position in the global order: (database, shard).
    type Place = (usize, usize);

    thread_local! {
        /// The shards that this thread holds.
        static HELD: RefCell<BTreeSet<Place>> = const { RefCell::new(BTreeSet::new()) };
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
                let last = held.last().copied();
                assert!(
                    last.is_none_or(|last| last < place),
                    "shard {place:?} asked for by the holder of {last:?}: that can deadlock"
                );
                held.insert(place);
            });
            Permit::Noted(place, PhantomData)
        }
    }

    impl Drop for Permit<'_> {
        fn drop(&mut self) {
            match self {
                Permit::Noted(place, _) => HELD.with_borrow_mut(|held| held.remove(place)),
                #[cfg(test)]
                Permit::Reading { .. } | Permit::Writing { .. } => false,
            };
        }
    }
}

pub use imp::{Gates, Permit};
