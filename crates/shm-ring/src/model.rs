//! What the models of the algorithms share. Each stands next to its algorithm, in a file `model.rs`; run them by
//! `.ci/models`. What they cover is said in `docs/memory-model.md`.

use crate::layout::spsc::{CONSUMER_REGION_BYTES, PRODUCER_REGION_BYTES, Parts};
use crate::error::{Error, Role};
use crate::seat::{OwnSeat, lock_byte};
use shm_core::model::kernel::Locks;
use shm_core::{Deadline, Memfd, Object, Region, model};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Explores all executions of `scene` with at most so many preemptions (or as many as `LOOM_MAX_PREEMPTIONS` says), and
/// says how many those were.
pub(crate) fn explore(name: &str, preemptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicU64::new(0));
    let (begun, counted) = (Instant::now(), executions.clone());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 5_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed); // one thread of the system's
        scene();
    });
    let executions = executions.load(Ordering::Relaxed); // as above
    println!("model {name}: {executions} executions in {:.1} s", begun.elapsed().as_secs_f64());
}

/// The parts of an SPSC ring with so many bytes of data. Its regions are apart, as in two objects, and no larger than
/// they need be: every word costs.
pub(crate) fn spsc_parts(data_bytes: usize) -> Parts {
    Parts {
        producer: Region::on_heap(PRODUCER_REGION_BYTES).unwrap(),
        consumer: Region::on_heap(CONSUMER_REGION_BYTES).unwrap(),
        data: model::payload(data_bytes).unwrap(),
    }
}

/// Descriptors for the locks of several participants. Only their numbers matter.
pub(crate) fn descriptors() -> &'static [Object; 4] {
    static OBJECTS: OnceLock<[Object; 4]> = OnceLock::new();
    OBJECTS.get_or_init(|| [0; 4].map(|_| Memfd::new("model").create(4096).unwrap()))
}

/// The locks of both seats of an SPSC ring.
pub(crate) fn spsc_locks() -> Locks {
    Locks::new([Role::Producer, Role::Consumer].map(lock_byte))
}

/// Claims a seat as soon as it is free, on one of the [`descriptors`].
pub(crate) fn claim_seat(parts: &Parts, object: usize, role: Role) -> OwnSeat {
    loop {
        match OwnSeat::claim(&descriptors()[object], parts, role, Deadline::now()) {
            Err(Error::SeatTaken { .. }) => shm_core::sync::yield_now(),
            other => return other.unwrap(),
        }
    }
}
