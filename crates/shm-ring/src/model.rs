//! What the models of the algorithms share. Each stands next to its algorithm, in a file `model.rs`; run them by
//! `.ci/models`. What they cover is said in `docs/memory-model.md`.

use crate::error::{Error, Role};
use crate::layout::spsc::{CONSUMER_REGION_BYTES, PRODUCER_REGION_BYTES, Parts};
use crate::layout::{Geometry, Kind, mpmc};
use crate::mpmc::slot::SlotFormat;
use crate::mpmc::{exchange, reclaim};
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

/// Claims a seat if it is free, on one of the [`descriptors`].
pub(crate) fn claim_seat(parts: &Parts, object: usize, role: Role) -> Option<OwnSeat> {
    match OwnSeat::claim(&descriptors()[object], parts, role, Deadline::now()) {
        Err(Error::SeatTaken { .. }) => None,
        other => Some(other.unwrap()),
    }
}

/// An MPMC ring of two slots for values of a word, not larger than it need be.
#[derive(Clone)]
pub(crate) struct Ring {
    pub(crate) parts: mpmc::Parts,
    pub(crate) format: SlotFormat,
    pub(crate) geometry: Geometry,
}

impl Ring {
    /// For so many participants. `checked`: nobody looks at blocks that are not in its hand.
    pub(crate) fn new(participants: u64, checked: bool) -> Self {
        let geometry = Geometry::mpmc(Kind::MpmcTyped, 2, 8, participants, false).unwrap();
        let format = SlotFormat::new(&geometry);
        let bytes = |count: u64| usize::try_from(count).unwrap();
        let blocks = bytes(format.blocks() * 8);
        let parts = mpmc::Parts {
            common: Region::on_heap(mpmc::COMMON_BYTES).unwrap(),
            seats: Region::on_heap(bytes(participants) * mpmc::SEAT_BYTES).unwrap(),
            slots: Region::on_heap(16).unwrap(),
            blocks: if checked { model::payload(blocks).unwrap() } else { Region::on_heap(blocks).unwrap() },
        };
        exchange::lay_out(&parts, &geometry).unwrap();
        Self { parts, format, geometry }
    }

    #[allow(clippy::cast_possible_truncation)] // a few blocks
    pub(crate) fn write(&self, block: u64, message: u64) {
        self.parts.blocks.write_value(block as usize * 8, &message).unwrap();
    }

    #[allow(clippy::cast_possible_truncation)] // a few blocks
    pub(crate) fn read(&self, block: u64) -> u64 {
        self.parts.blocks.read_value(block as usize * 8).unwrap()
    }

    /// Every block is in one slot or in one hand. All participants rest.
    pub(crate) fn assert_whole(&self) {
        let slots = self.parts.slots.words().unwrap();
        let in_slots = (0..self.format.capacity()).map(|index| {
            let word = slots.load(SlotFormat::byte_position(index), Ordering::Relaxed); // all rest
            self.format.unpack(word).block
        });
        let in_hands = (0..self.geometry.participants).map(|seat| {
            let hand = reclaim::read(&self.parts, self.format, seat).unwrap();
            assert_eq!(hand.expected, None, "an unsettled hand");
            hand.block
        });
        let mut blocks: Vec<u64> = in_slots.chain(in_hands).collect();
        blocks.sort_unstable();
        assert_eq!(blocks, (0..self.format.blocks()).collect::<Vec<u64>>());
    }
}
