//! Measures ways between two processes: round trips and throughput, every byte verified, beside what the machine does.
//!
//! | module | holds |
//! |---|---|
//! | [`payload`] | messages whose every byte depends on their number |
//! | [`link`] | one end of a way there and back |
//! | [`transport`] | the ways: rings, kernel queues, sockets, bare memory |
//! | [`pair`], [`serve`], [`peer`] | the two processes: ours conducts, the other one obeys |
//! | [`crowd`] | many processes on one MPMC ring |
//! | [`spread`] | three runs and their range |
//! | [`suite`] | what is measured: the tables of `shmring bench` |
//! | [`startup`], [`usage`] | what attaching and doing nothing cost |
//! | [`plot`] | pictures of tables |
//! | [`watchdog`], [`names`], [`cores`] | nothing hangs, nothing is left, each process on a processor of its own |
//!
//! The other process is a copy of the program, so that `main` begins like this:
//!
//! ```no_run
//! fn main() -> shm_measure::Result<()> {
//!     if shm_measure::play()? {
//!         return Ok(()); // this was the other process
//!     }
//!     use shm_measure::{Extent, Measured, Placement, Setup, Transport, Wait};
//!     let setup = Setup { transport: Transport::Spsc, length: 64, wait: Wait::Spin };
//!     let mut pair = setup.start(Placement::Apart)?;
//!     let mut times = shm_measure::pair::histogram()?;
//!     pair.round_trips(64, Extent::Messages(100_000), &mut times)?;
//!     println!("{} ns", times.value_at_quantile(0.5));
//!     Ok(())
//! }
//! ```
//!
//! Both processes spin, unless told otherwise, so each takes a processor of its own. Links have no names in the file
//! system while anything is measured: whatever is killed, nothing is left, but for System V message queues, which have
//! no such way; those are found and removed by the next run.

pub mod control;
pub mod cores;
pub mod crowd;
pub mod link;
pub mod names;
pub mod pair;
pub mod payload;
pub mod peer;
pub mod plot;
pub mod serve;
pub mod spread;
pub mod startup;
pub mod suite;
pub mod transport;
pub mod usage;
pub mod watchdog;

pub use cores::Placement;
pub use link::{Link, Progress};
pub use pair::{Extent, Measured, Pair, Run};
pub use peer::{Opening, Other, play, play_with};
pub use serve::Serve;
pub use spread::Spread;
pub use transport::{Setup, Transport, Wait};

/// What can go wrong with a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// `Result` with any error.
pub type Result<T> = std::result::Result<T, Failure>;

/// Room in a buffer beyond a message of the expected length: an end or an answer may be as long.
pub(crate) const BUFFER_BYTES_SPARE: usize = 64;
