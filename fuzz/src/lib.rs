//! What the fuzz targets do, apart from the fuzzer: `cargo test` runs the committed seeds through it.

pub mod case;
pub mod digest;
pub mod handles;
pub mod history;
pub mod input;
pub mod join;
pub mod mpmc_model;
pub mod object;
pub mod passing;
pub mod peers;
pub mod play;
pub mod recover;
pub mod sealed;
pub mod seeds;
pub mod spsc_model;
pub mod stage;
pub mod template;
pub mod text;
pub mod world;

use case::Case;
use peers::Enemy;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its seeds' directory.
    pub name: &'static str,
    /// Panics when a rule is broken; garbage may only ever lead to an error.
    pub run: fn(&[u8]),
    /// What it starts from, with names, in a fixed order.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

macro_rules! targets {
    ($($name:ident),*) => {
        /// All targets.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name, seeds: seeds::$name }),*];
    };
}

targets!(
    open_arbitrary_bytes,
    spsc_hostile_producer,
    spsc_hostile_consumer,
    spsc_hostile_state,
    mpmc_hostile_state,
    spsc_model,
    mpmc_model,
    receive_descriptors,
    join_sealed_ring,
    recover_arbitrary_bytes,
    parse_text
);

/// The bytes of `input` become an object, which is opened and worked with in every way.
pub fn open_arbitrary_bytes(input: &[u8]) {
    if let Some(case) = Case::parse(input) {
        play::everything(&case);
    }
}

/// A consumer beside a producer that stores what `input` says, when it says.
pub fn spsc_hostile_producer(input: &[u8]) {
    peers::play(Enemy::Producer, input);
}

/// A producer beside such a consumer.
pub fn spsc_hostile_consumer(input: &[u8]) {
    peers::play(Enemy::Consumer, input);
}

/// Producer and consumer beside somebody who stores anywhere in their ring.
pub fn spsc_hostile_state(input: &[u8]) {
    peers::play(Enemy::Vandal, input);
}

/// Senders and receivers beside somebody who stores anywhere in their ring.
pub fn mpmc_hostile_state(input: &[u8]) {
    peers::play(Enemy::Anybody, input);
}

/// An SPSC ring is a queue.
pub fn spsc_model(input: &[u8]) {
    spsc_model::play(input);
}

/// An MPMC ring is a queue.
pub fn mpmc_model(input: &[u8]) {
    mpmc_model::play(input);
}

/// A receiver of descriptors, whatever its peer sends.
pub fn receive_descriptors(input: &[u8]) {
    passing::play(input);
}

/// One side of a sealed ring, whoever is at the other end of its socket.
pub fn join_sealed_ring(input: &[u8]) {
    join::play(input);
}

/// What the disk made of a ring in a file, after a restart of the machine.
pub fn recover_arbitrary_bytes(input: &[u8]) {
    recover::play(input);
}

/// What people write on the command line.
pub fn parse_text(input: &[u8]) {
    text::play(input);
}
