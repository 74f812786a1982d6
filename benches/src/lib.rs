//! What benches between two processes share: the other process, the ways to move messages to it, and
//! messages whose every byte is verified.
//!
//! ```text
//!   this process                           the other one: a copy of this program
//!   Pair::start  ── starts, pins ────────> play (before anything else in its main)
//!   Pair::throughput ── order, messages ─> verifies each, answers once
//!   Pair::round_trips ─ order, messages ─> verifies each, sends each back, which is verified here
//! ```
//!
//! [`transport`] moves messages, [`tape`] makes and verifies them, [`pair`] starts the processes and
//! gives the orders, [`cores`] pins them, [`names`] keeps `/dev/shm` clean.

pub mod cores;
pub mod names;
pub mod pair;
pub mod tape;
pub mod transport;

pub use pair::{Pair, play};
pub use transport::Transport;

/// What can go wrong with a bench.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// `Result` with any error.
pub type Result<T> = std::result::Result<T, Failure>;
