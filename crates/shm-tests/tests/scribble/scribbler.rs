//! Who writes where it may, but should not.

use shm_core::{Access, Deadline, Memfd, Region, Seals, pass, seal};
use shm_ring::layout::spsc::{CONSUMER_REGION_OFFSET, DATA_OFFSET, PRODUCER_REGION_OFFSET};
use shm_tests::{FUSE, Ring, peer};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(u64::from_le_bytes(shm_core::Identity::random().unwrap().0[..8].try_into().unwrap()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Told by a signal when a round is over.
fn stopped() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&stopped)).unwrap();
    stopped
}

/// Writes words of all sorts to places of all sorts, mostly among the first, in bursts.
fn scribble(region: &Region, random: &mut Random, stopped: &AtomicBool) {
    let words = region.bytes() as u64 / 8;
    let over = || stopped.swap(false, Ordering::Relaxed); // nothing else goes with it
    while !over() {
        // Long pauses at first: those who work get somewhere.
        std::thread::sleep(Duration::from_micros(random.below(2000)));
        for _ in 0..random.below(20) {
            let most = if random.below(3) == 0 { words } else { words.min(400) };
            let at = usize::try_from(random.below(most) * 8).unwrap();
            let old: u64 = region.read_value(at).unwrap();
            let value = match random.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => random.below(5000),
                3 => old ^ 1 << random.below(64),
                4 => old.wrapping_add(random.below(9)).wrapping_sub(4),
                _ => random.next() << 20,
            };
            region.write_value(at, &value).unwrap();
        }
    }
}

/// Role: scribbles over each ring that it is told of.
pub(crate) fn over_a_ring(_: &[String]) {
    let (stopped, mut random) = (stopped(), Random::new());
    while let Some(ring) = peer::listen() {
        let region = Ring::called(&ring).map();
        peer::say("at it");
        scribble(&region, &mut random, &stopped);
        peer::say("done");
    }
}

/// Role, with the argument path of a socket: meets who listens there, as the side that it is not, and scribbles.
pub(crate) fn as_a_sealed_peer(arguments: &[String]) {
    let (stopped, mut random) = (stopped(), Random::new());
    while peer::listen().is_some() {
        let socket = UnixStream::connect(&arguments[0]).unwrap();
        let region = meet(&socket);
        scribble(&region, &mut random, &stopped);
        peer::say("done");
    }
}

/// Says what is right, and gives memory in which somebody sits.
fn meet(socket: &UnixStream) -> Region {
    const CAPACITY: usize = 4096;
    let mut greeting = [0; 56];
    pass::receive(socket, &mut greeting, 1, Deadline::after(FUSE)).unwrap();
    let sends = greeting[12] == 2;
    let (bytes, capacity) = if sends { (DATA_OFFSET + CAPACITY, CAPACITY) } else { (DATA_OFFSET, 0) };
    let object = Memfd::new("hostile").create(bytes as u64).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    let seat = if sends { PRODUCER_REGION_OFFSET + 256 } else { CONSUMER_REGION_OFFSET + 384 };
    region.write_value(seat, &257_u64).unwrap();
    seal::apply(&object, Seals::RECEIVER_SAFE, "hostile").unwrap();
    greeting[12] = if sends { 1 } else { 2 };
    greeting[24..32].copy_from_slice(&(bytes as u64).to_le_bytes());
    greeting[32..40].copy_from_slice(&(capacity as u64).to_le_bytes());
    pass::send(socket, &greeting, &[object.descriptor()], Deadline::after(FUSE)).unwrap();
    region
}
