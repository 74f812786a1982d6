//! Opens an object as everything it could be, and works with whatever opens.
//!
//! The rules, whatever the bytes are:
//!
//! * no panic, no wait that was not asked for, no access outside of the mapping (the sanitizer tells);
//! * a producer writes in its own region and the data, a consumer in its own region, senders, receivers and
//!   repairers everywhere but in the header, and who looks writes nowhere;
//! * a handle that has called a ring corrupt sends and receives nothing any more;
//! * what does not begin as an object of this project is never removed.

use crate::case::{Case, Patch};
use crate::handles::{Receives, Sends};
use crate::object::{NAME, Scratch, Shadow};
use crate::stage::{Stage, Surroundings};
use shm_core::header::{GEOMETRY_OFFSET, MAGIC};
use shm_ring::layout::GEOMETRY_DATA_BYTES;
use shm_ring::layout::mpmc::COMMON_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, DATA_OFFSET, PRODUCER_REGION_BYTES, PRODUCER_REGION_OFFSET,
};
use shm_ring::{
    Consumer, Producer, Receiver, Removal, Role, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender,
};

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// Every way to open the case's object, one after the other, each with the object made anew.
pub fn everything(case: &Case) {
    SCRATCH.with(|scratch| {
        look(scratch, case);
        play::<Producer, Consumer>(scratch, case, &[Role::Producer]);
        play::<Producer, Consumer>(scratch, case, &[Role::Consumer]);
        play::<Producer, Consumer>(scratch, case, &[Role::Producer, Role::Consumer]);
        play::<TypedProducer<u64>, TypedConsumer<u64>>(scratch, case, &[Role::Producer]);
        play::<TypedProducer<u64>, TypedConsumer<u64>>(scratch, case, &[Role::Consumer, Role::Producer]);
        play::<TypedProducer<char>, TypedConsumer<char>>(scratch, case, &[Role::Consumer]);
        play::<Sender, Receiver>(scratch, case, &[Role::Sender, Role::Receiver]);
        play::<Sender, Receiver>(scratch, case, &[Role::Receiver]);
        play::<TypedSender<u64>, TypedReceiver<u64>>(scratch, case, &[Role::Sender, Role::Receiver]);
        repair(scratch, case);
        remove(scratch, case, Removal::IfUnused);
        remove(scratch, case, Removal::Always);
    });
}

fn look(scratch: &Scratch, case: &Case) {
    let shadow = scratch.put(&case.object, case.hole_bytes);
    // An error is as good as an answer; `check` judges.
    let _ = shm_ring::inspect_in(&scratch.directory(), NAME).map(|status| format!("{status:?}"));
    shadow.check("looking");
}

fn repair(scratch: &Scratch, case: &Case) {
    let mut shadow = scratch.put(&case.object, case.hole_bytes);
    let _ = shm_ring::repair_in(&scratch.directory(), NAME, true);
    shadow.check("looking for repairs");
    shadow.allow(COMMON_OFFSET, usize::MAX);
    for _ in 0..2 {
        let _ = shm_ring::repair_in(&scratch.directory(), NAME, false);
    }
    shadow.check("repairing");
}

fn remove(scratch: &Scratch, case: &Case, removal: Removal) {
    let _shadow = scratch.put(&case.object, case.hole_bytes);
    let removed = shm_ring::remove_in(&scratch.directory(), NAME, removal);
    assert_eq!(removed.is_ok(), !scratch.object().exists(), "removed {removed:?}");
    assert!(removed.is_err() || case.object.starts_with(&MAGIC), "removed what is foreign");
}

fn play<P: Sends, C: Receives>(scratch: &Scratch, case: &Case, roles: &[Role]) {
    let mut shadow = scratch.put(&case.object, case.hole_bytes);
    let mut stage = Stage::<P, C>::new(scratch, roles, &mut shadow);
    if stage.is_open() {
        for step in &case.steps {
            stage.take(step, &mut shadow);
        }
    }
    drop(stage);
    shadow.check(if roles.len() > 1 { "a pair" } else { WHO[usize::from(!roles[0].sends())] });
}

const WHO: [&str; 2] = ["one that sends", "one that receives"];

impl Surroundings for Shadow {
    fn patch(&mut self, patch: &Patch) {
        Shadow::patch(self, patch);
    }

    /// Also when it is refused: claiming a seat, and telling of garbage, writes in the own region.
    fn attaches(&mut self, role: Role) {
        match role {
            Role::Producer => {
                self.allow(PRODUCER_REGION_OFFSET, PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES);
            }
            Role::Consumer => {
                self.allow(CONSUMER_REGION_OFFSET, CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES);
            }
            // There everybody writes everywhere, but never in the header.
            Role::Sender | Role::Receiver => self.allow(COMMON_OFFSET, usize::MAX),
        }
    }

    fn attached(&mut self, role: Role, _: u64) {
        if role == Role::Producer {
            let data_bytes = usize::try_from(self.word(GEOMETRY_OFFSET + 8 * GEOMETRY_DATA_BYTES));
            self.allow(DATA_OFFSET, DATA_OFFSET.saturating_add(data_bytes.unwrap_or(usize::MAX)));
        }
    }
}
