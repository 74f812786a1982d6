//! Processes that write random bytes over all that they may write, while others work: nobody who works is killed by a
//! signal, hangs, or is told anything but that the ring is corrupt, gone, or that its peer has ended.
//!
//! Each test runs a fixed number of rounds; `SHMRING_SCRIBBLE_SECONDS` says how long instead. What became of the rounds
//! is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod scribbler;
mod worker;

use shm_ring::{Producer, Sender, TypedProducer, TypedSender};
use shm_tests::peer::Role;
use shm_tests::{Peer, Rings, Scratch, tests};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROLES: &[(&str, Role)] = &[
    ("scribble over a ring", scribbler::over_a_ring),
    ("scribble as a sealed peer", scribbler::as_a_sealed_peer),
    ("work", worker::work),
    ("work at a sealed ring", worker::work_at_a_sealed_ring),
];

fn main() {
    shm_tests::run(
        ROLES,
        tests![spsc_bytes, spsc_values, mpmc_bytes, mpmc_values, sealed_producers, sealed_consumers],
    );
}

const ROUNDS: u32 = 100;
/// Values that typed rings carry; any bits are one.
pub(crate) type Value = [u64; 5];

/// How many rounds, or how long.
struct Effort {
    end: Option<Instant>,
    rounds: u32,
    outcomes: BTreeMap<String, u64>,
}

impl Effort {
    fn new() -> Self {
        let seconds = std::env::var("SHMRING_SCRIBBLE_SECONDS").ok();
        let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.parse().unwrap()));
        Self { end, rounds: 0, outcomes: BTreeMap::new() }
    }

    fn goes_on(&mut self) -> bool {
        self.rounds += 1;
        self.end.map_or(self.rounds <= ROUNDS, |end| Instant::now() < end)
    }

    fn note(&mut self, worker: &mut Peer) {
        let outcome = worker.hear();
        assert!(!outcome.is_empty(), "a worker has died");
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn tell(self, what: &str) {
        println!("{what}: {} rounds", self.rounds - 1);
        for (outcome, count) in &self.outcomes {
            println!("  {count:8}  {outcome}");
        }
        // Otherwise nobody scribbled to any purpose.
        let corrupt = self.outcomes.keys().any(|outcome| outcome.contains("corrupt"));
        assert!(corrupt, "{what}: nothing was found corrupt");
    }
}

/// Workers at a named ring, and somebody who writes all over it.
fn at_named_rings(kind: &str, create: impl Fn(&str)) {
    let rings = Rings::new();
    let mut effort = Effort::new();
    let mut workers: Vec<Peer> = ["send", "receive"].map(|side| Peer::start("work", &[kind, side])).into();
    let mut scribbler = Peer::start("scribble over a ring", &[]);
    let ring = rings.ring("ring");
    while effort.goes_on() {
        create(ring.as_str());
        scribbler.tell(ring.as_str());
        scribbler.expect("at it");
        workers.iter_mut().for_each(|worker| worker.tell(ring.as_str()));
        workers.iter_mut().for_each(|worker| effort.note(worker));
        scribbler.signal(rustix::process::Signal::USR1);
        scribbler.expect("done");
        shm_tests::rings::remove_whatever_it_is(&ring);
    }
    workers.into_iter().chain([scribbler]).for_each(Peer::finish);
    effort.tell(kind);
}

fn spsc_bytes() {
    at_named_rings("spsc bytes", |ring| Producer::builder(ring).capacity(4096).create_ring().unwrap());
}

fn spsc_values() {
    at_named_rings("spsc values", |ring| {
        TypedProducer::<Value>::builder(ring).capacity(32).create_ring().unwrap();
    });
}

fn mpmc_bytes() {
    at_named_rings("mpmc bytes", |ring| {
        Sender::builder(ring).capacity(16).max_message(200).participants(6).create_ring().unwrap();
    });
}

fn mpmc_values() {
    at_named_rings("mpmc values", |ring| {
        TypedSender::<Value>::builder(ring).capacity(16).participants(6).create_ring().unwrap();
    });
}

/// A worker at one side of a sealed ring, and somebody at the other who writes all over its own.
fn at_sealed_rings(side: &str) {
    let scratch = Scratch::private();
    let path = scratch.path(&scratch.name("socket"));
    let path = path.to_str().unwrap();
    let mut effort = Effort::new();
    let mut worker = Peer::start("work at a sealed ring", &[path, side]);
    worker.expect("listening");
    let mut scribbler = Peer::start("scribble as a sealed peer", &[path]);
    while effort.goes_on() {
        worker.tell("go");
        scribbler.tell("go");
        effort.note(&mut worker);
        scribbler.signal(rustix::process::Signal::USR1);
        scribbler.expect("done");
    }
    worker.finish();
    scribbler.finish();
    effort.tell(&format!("sealed, {side}"));
}

fn sealed_producers() {
    at_sealed_rings("send");
}

fn sealed_consumers() {
    at_sealed_rings("receive");
}
