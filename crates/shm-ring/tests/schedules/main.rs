//! Random schedules of operations, in which anybody may die between any two of his stores: nothing is lost but what
//! the dead had in hand, nothing comes twice or in another order, nobody is stuck, and the counts stay right.
//!
//! Deaths are those of `shm_core::hostile`: from one store on, nothing that a handle stores reaches the memory, and
//! then its locks go. The kernel's mark of a death is not among them. Compiled with `--cfg shmring_hostile` only.

#![cfg(shmring_hostile)]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod death;
mod looks;
mod mpmc;
mod spsc;

use proptest::prelude::ProptestConfig;

/// How many schedules of each kind.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}
