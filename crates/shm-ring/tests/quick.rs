//! The other tests of this crate that decide quickly, as one program: it links in a sixth of the time, which matters
//! when it is built for each of thousands of mutants (`.ci/mutants`). Run by nothing else.

#![allow(missing_docs)]
#![allow(clippy::duplicate_mod)] // each has its own names

#[path = "attach.rs"]
mod attach;
#[path = "behaviour.rs"]
mod behaviour;
#[path = "handles.rs"]
mod handles;
#[path = "hands.rs"]
mod hands;
#[path = "layout.rs"]
mod layout;
#[path = "model.rs"]
mod model;
#[path = "mpmc.rs"]
mod mpmc;
#[path = "pairs.rs"]
mod pairs;
#[path = "recovery.rs"]
mod recovery;
#[path = "restart.rs"]
mod restart;
#[path = "streams.rs"]
mod streams;
