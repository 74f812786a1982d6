//! Rings between real processes that come, go, race and are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod death;
mod forked;
mod message;
mod quiet;
mod race;
mod sealed;
mod sealed_refused;
mod seats;
mod told;
mod unnamed;

use shm_tests::peer::Role;

const ROLES: &[(&str, Role)] = &[
    ("produce for ever", death::produce_for_ever),
    ("produce values for ever", death::produce_values_for_ever),
    ("consume and note", death::consume_and_note),
    ("race to a ring", race::race_to_a_ring),
    ("receive and say", quiet::receive_and_say),
    ("fork and stay", forked::fork_and_stay),
    ("sit as sender", told::sit_as_sender),
    ("sit as receiver", told::sit_as_receiver),
    ("wait without backstop", told::wait_without_backstop),
    ("receive from a sealed ring", sealed::receive),
    ("send into a sealed ring", sealed::send_for_ever),
    ("attack a sealed ring", sealed::attack),
    ("sit as producer", seats::sit_as_producer),
    ("share rings with children", unnamed::share_rings_with_children),
    ("become another program", seats::become_another_program),
];

fn main() {
    let tests = [
        death::tests(),
        forked::tests(),
        quiet::tests(),
        race::tests(),
        sealed::tests(),
        sealed_refused::tests(),
        seats::tests(),
        told::tests(),
        unnamed::tests(),
    ];
    shm_tests::run(ROLES, tests.into_iter().flatten().collect());
}
