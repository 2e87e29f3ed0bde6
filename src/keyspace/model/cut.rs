//! The cut of snapshots: what is given out is what was there at one instant between two commands, whatever writers
//! do meanwhile.

use super::{NOW_MS, SHARDS, World, discovery, explore, join};
use crate::keyspace::snapshot::Snapshot;
use crate::keyspace::snapshot::tests::Kept;
use crate::keyspace::view::Mode;
use crate::keyspace::{Deadline, Value};

/// What all keys have together, whatever is moved between them.
const SUM: i64 = 100 * SHARDS as i64;

/// Moves `n` from one key to another.
fn transfer(world: &World, from: usize, to: usize, n: i64) {
    world.command(&[from, to], Mode::Exclusive, |view| {
        for (key, n) in [(from, -n), (to, n)] {
            // All are in one of the two databases.
            let before = super::number(view, 0, world.key(key)).unwrap_or(0);
            match before + n {
                0 => drop(view.remove(world.key(key))),
                n => view.set(world.key(key), Value::Int(n), Deadline::Clear),
            }
        }
    });
}

/// Takes a snapshot and looks at its sum.
fn audit(world: &World) {
    let sink = Kept::new();
    let snapshot = Snapshot::begin(&world.keyspace, sink.clone(), |_| {}).expect("no other snapshot");
    assert!(snapshot.run(&world.keyspace, || {}));
    assert_eq!(sink.sum(), SUM, "the snapshot is of no instant");
}

fn world() -> World {
    let world = World::new();
    world.set_all(&[0, 1, 2, 3], 100);
    world
}

fn snapshots_between_transfers() {
    let world = world();
    join([
        world.spawn(|w| {
            transfer(w, 0, 3, 5);
            transfer(w, 3, 1, 105);
        }),
        world.spawn(|w| transfer(w, 2, 0, 100)),
        world.spawn(|w| (0..2).for_each(|_| audit(w))),
    ]);
}

/// What a flush takes out is given out all the same, and what comes after it is not.
fn snapshots_between_mass_changes() {
    let world = world();
    join([
        world.spawn(|w| {
            // Both in one, so that every instant has the whole sum.
            w.everything(Mode::Exclusive, |view| {
                view.flush(0..2);
                for key in 0..SHARDS {
                    view.set(w.key(key), Value::Int(100), Deadline::Clear);
                }
            });
            transfer(w, 1, 2, 7);
        }),
        world.spawn(|w| {
            w.swap();
            w.keyspace.expire_due(0, NOW_MS, std::time::Duration::from_secs(1));
        }),
        world.spawn(audit),
    ]);
}

/// The next snapshot begins when the cancelled one has brought everything in order.
fn snapshots_after_a_cancelled_one() {
    let world = world();
    join([
        world.spawn(|w| transfer(w, 0, 3, 5)),
        world.spawn(|w| {
            let sink = Kept::new();
            let snapshot = Snapshot::begin(&w.keyspace, sink, |_| {}).expect("no other snapshot");
            let control = snapshot.control();
            let mut steps = 0;
            let is_whole = snapshot.run(&w.keyspace, || {
                steps += 1;
                if steps == 2 {
                    control.cancel();
                }
            });
            assert!(!is_whole);
            audit(w);
        }),
    ]);
}

#[test]
fn cuts_are_instants() {
    explore(snapshots_between_transfers);
    explore(snapshots_between_mass_changes);
    explore(snapshots_after_a_cancelled_one);
}

/// The checker would notice if writers gave nothing out.
#[test]
fn a_broken_cut_is_found() {
    let found = discovery(|| {
        let world = world();
        world.keyspace.snapshots().break_cut();
        join([world.spawn(|w| transfer(w, 0, 3, 5)), world.spawn(audit)]);
    });
    assert!(found.contains("the snapshot is of no instant"), "{found}");
}
