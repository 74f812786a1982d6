//! What the tests of several processes share: names that leave no debris, processes in a role, and
//! tests that need something special of the machine.
//!
//! A test program with `harness = false` calls [`run`] with its roles and its tests. A test starts
//! copies of the program in one of the roles ([`Peer::start`]) and talks with them in lines.
//!
//! No test here is decided by time. Whatever waits for another process gives up after [`FUSE`], which
//! is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

pub mod attack;
pub mod need;
pub mod peer;
pub mod process;
pub mod rings;
pub mod scratch;
pub mod segments;

pub use need::{Need, Test, run};
pub use peer::Peer;
pub use rings::{Ring, Rings};
pub use scratch::Scratch;
pub use segments::Segments;

/// After this long a process that owes an answer is taken to hang. Some answers take seconds of work, and a machine may
/// be slow, busy with other things, and stand still for a while.
pub const FUSE: std::time::Duration = std::time::Duration::from_secs(300);

/// A list of [`Test`]s from the names of test functions: `tests![one, two needs [Need::Root]]`.
#[macro_export]
macro_rules! tests {
    ($($test:ident $(needs [$($need:expr),* $(,)?])?),* $(,)?) => {
        vec![$($crate::Test {
            name: concat!(module_path!(), "::", stringify!($test)),
            needs: vec![$($($need),*)?],
            body: $test,
        }),*]
    };
}
