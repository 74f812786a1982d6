//! A ring with its survivor, which this process plays, and the victim that comes to it.

use crate::content::{Receiver, Sender};
use crate::spsc::Operation;
use crate::tracer::{Step, Tracee};
use shm_core::sync::Ordering;
use shm_core::{Access, Object, Options, Region, Word, lock};
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET,
};
use shm_ring::{Role, Status, inspect};
use shm_tests::{Peer, Scratch};

/// What the victim notes, in an object of its own.
#[derive(Debug)]
pub(crate) struct Notes {
    name: String,
    word: Word<u64>,
}

/// The side that the victim is not on.
#[derive(Debug)]
pub(crate) enum Survivor {
    Sends(Sender),
    Receives(Receiver),
}

/// A ring with its survivor.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) operation: &'static Operation,
    pub(crate) name: String,
    pub(crate) survivor: Survivor,
    /// Messages sent, and messages received, before or beside the operation.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    object: Object,
    region: Region,
    seen: Vec<u8>,
}

impl Notes {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let name = scratch.name("notes");
        let region = scratch.options().create(&name, 8).unwrap().map(Access::ReadWrite).unwrap();
        Self { name: name.as_str().to_owned(), word: region.word(0).unwrap() }
    }

    /// How many messages the victim knows to be sent, or was handed.
    pub(crate) fn read(&self) -> u64 {
        self.word.load(Ordering::Relaxed) // its writer stands still, or is gone
    }
}

impl Scene {
    /// A new ring, in which the survivor sits.
    pub(crate) fn new(operation: &'static Operation, scratch: &Scratch, index: usize) -> Self {
        let name = scratch.name(&index.to_string());
        let survivor = match operation.role {
            Role::Producer | Role::Sender => {
                Survivor::Receives(Receiver::create(operation.kind, name.as_str()))
            }
            Role::Consumer | Role::Receiver => Survivor::Sends(Sender::create(operation.kind, name.as_str())),
        };
        let object = Options::new().open(&name, Access::ReadOnly).unwrap();
        let region = object.map(Access::ReadOnly).unwrap();
        let name = name.as_str().to_owned();
        let mut scene =
            Self { operation, name, survivor, sent: 0, received: 0, object, region, seen: Vec::new() };
        scene.send_ahead();
        scene
    }

    /// Brings the victim to where its operation begins.
    pub(crate) fn begin(&mut self, notes: &Notes) -> (Peer, Tracee) {
        if let Some(predecessor) = self.operation.predecessor {
            let (peer, mut tracee) = self.bring(crate::spsc::named(predecessor), notes);
            let length = self.length();
            while self.length() == length {
                assert_ne!(tracee.step(), Step::Ended);
            }
            peer.kill();
        }
        let begun = self.bring(self.operation, notes);
        notes.word.store(0, Ordering::Relaxed); // the only writer stands still
        let status = self.status();
        (self.sent, self.received) = (status.sent, status.received);
        begun
    }

    fn bring(&mut self, operation: &'static Operation, notes: &Notes) -> (Peer, Tracee) {
        let peer = Peer::start("victim", &[operation.name, &self.name, &notes.name]);
        let tracee = Tracee::catch(peer.pid());
        self.send_ahead();
        if let Survivor::Receives(receiver) = &mut self.survivor {
            while self.received < operation.before {
                assert_eq!(receiver.receive().unwrap().unwrap(), self.received);
                self.received += 1;
            }
        }
        (peer, tracee)
    }

    /// Sends what the operation wants sent before, as far as there is space.
    fn send_ahead(&mut self) {
        let first = self.operation.predecessor.map_or(self.operation, crate::spsc::named);
        if let Survivor::Sends(sender) = &mut self.survivor {
            while self.sent < first.before + first.waiting && sender.send(self.sent) {
                self.sent += 1;
            }
        }
    }

    /// How much the survivor sees in the ring.
    fn length(&self) -> u64 {
        match &self.survivor {
            Survivor::Sends(sender) => sender.len(),
            Survivor::Receives(receiver) => u64::from(!receiver.is_empty()),
        }
    }

    /// Does what the victim waits for.
    pub(crate) fn wake(&mut self) {
        match &mut self.survivor {
            Survivor::Sends(sender) => {
                assert!(sender.send(self.sent));
                self.sent += 1;
            }
            Survivor::Receives(receiver) => {
                for _ in 0..3 {
                    assert_eq!(receiver.receive().unwrap().unwrap(), self.received);
                    self.received += 1;
                }
            }
        }
    }

    /// Whether the ring, or what the victim knows, has changed since this was last asked.
    pub(crate) fn has_changed(&mut self, notes: &Notes) -> bool {
        let mut now = vec![0; self.region.bytes()];
        self.region.copy_out(0, &mut now).unwrap();
        now.extend(notes.read().to_le_bytes());
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    /// Whether the kernel holds the victim's seat for a living process.
    pub(crate) fn seat_is_held(&self) -> bool {
        let seat = match self.operation.role {
            Role::Producer | Role::Sender => PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET,
            Role::Consumer | Role::Receiver => CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET,
        };
        !lock::is_free(&self.object, seat as u64).unwrap()
    }

    /// What can be seen from outside; fails if that is not in order.
    pub(crate) fn status(&self) -> Status {
        let status = inspect(&self.name).unwrap();
        assert!(!status.poisoned && !status.removed, "{status:?}");
        assert_eq!(status.depth, status.sent - status.received, "{status:?}");
        status
    }
}
