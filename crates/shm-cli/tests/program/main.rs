//! The program, driven as its users drive it: with arguments, pipes and signals.
//!
//! No test is decided by time: whatever does not end is killed after some minutes, which is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod bench;
mod data;
mod ends;
mod full;
mod harness;
mod interrupts;
mod many;
mod maps;
mod raw;
mod removal;
mod restarted;
mod verbs;
mod wrong_files;
