//! Rings of many senders and many receivers, between real processes that are killed, stopped and replaced.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod baton;
mod blocks;
mod hand;
mod ledger;
mod storm;

use shm_tests::peer::Role;

const ROLES: &[(&str, Role)] = &[
    ("send in a storm", storm::send),
    ("receive in a storm", storm::receive),
    ("hold a message", hand::hold),
    ("hand the baton on", baton::hand_on),
];

fn main() {
    let tests = [baton::tests(), hand::tests(), storm::tests()];
    shm_tests::run(ROLES, tests.into_iter().flatten().collect());
}
