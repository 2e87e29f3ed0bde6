//! Frees large things on a thread of its own, so that no worker is held up by it.
//!
//! Knows nothing of what it frees: a value is handed over with the number of objects it stands for, which is
//! what INFO counts.

use std::any::Any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

/// A value of at least this size is worth the way to the other thread; to free a smaller one takes less than
/// a request.
pub const LARGE_FROM_BYTES: usize = 1 << 20;

/// As many small objects as this are freed together in about the time of a request (Redis's
/// `LAZYFREE_THRESHOLD`).
pub const MANY_FROM_OBJECTS: usize = 64;

static PENDING_OBJECTS: AtomicU64 = AtomicU64::new(0);
static FREED_OBJECTS: AtomicU64 = AtomicU64::new(0);

struct Garbage {
    value: Box<dyn Any + Send>,
    objects: u64,
}

impl Garbage {
    fn free(self) {
        drop(self.value);
        super::publish();
        PENDING_OBJECTS.fetch_sub(self.objects, Ordering::Relaxed);
        FREED_OBJECTS.fetch_add(self.objects, Ordering::Relaxed);
    }
}

/// `None` if the system refuses the thread: then values are freed where they are handed over.
static THREAD: LazyLock<Option<Sender<Garbage>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Garbage>();
    let run = move || receiver.into_iter().for_each(Garbage::free);
    std::thread::Builder::new().name("lazyfree".into()).spawn(run).ok().map(|_| sender)
});

/// Frees `value`, which stands for this many `objects`, on the other thread.
pub fn drop_later<T: Send + 'static>(value: T, objects: usize) {
    let objects = objects as u64;
    PENDING_OBJECTS.fetch_add(objects, Ordering::Relaxed);
    let garbage = Garbage { value: Box::new(value), objects };
    match &*THREAD {
        None => garbage.free(),
        Some(thread) => {
            if let Err(refused) = thread.send(garbage) {
                refused.0.free();
            }
        }
    }
}

/// Objects handed over and not freed yet (INFO's `lazyfree_pending_objects`).
pub fn pending_objects() -> u64 {
    PENDING_OBJECTS.load(Ordering::Relaxed)
}

/// Objects freed so far (INFO's `lazyfreed_objects`).
pub fn freed_objects() -> u64 {
    FREED_OBJECTS.load(Ordering::Relaxed)
}

/// Starts counting freed objects again (CONFIG RESETSTAT).
pub fn reset_freed() {
    FREED_OBJECTS.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    struct Tells(Sender<std::thread::ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[test]
    fn frees_elsewhere_and_counts() {
        let (sender, receiver) = channel();
        super::drop_later(Tells(sender), 3);
        let freed_by = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(freed_by, std::thread::current().id());
        while super::pending_objects() > 0 {
            std::thread::yield_now();
        }
        assert!(super::freed_objects() >= 3);
    }
}
