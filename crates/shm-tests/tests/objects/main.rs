//! Named objects between real processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod basics;
mod companions;
mod forked;
mod hijack;
mod kept;
mod life;
mod maps;
mod marks;
mod passed;
mod race;
mod sealed;
mod segments;
mod segments_refused;
mod zones;

use shm_tests::peer::Role;

/// Bytes in a page.
fn page() -> u64 {
    shm_core::system::page_bytes() as u64
}

const ROLES: &[(&str, Role)] = &[
    ("attend", life::attend),
    ("attempt", hijack::attempt),
    ("create under umask", basics::create_under_umask),
    ("create without descriptors", life::create_without_descriptors),
    ("create for ever", life::create_for_ever),
    ("race to create", race::race_to_create),
    ("remove", race::remove_for_ever),
    ("re-create", race::re_create),
    ("create numbered", race::create_numbered),
    ("remove numbered", race::remove_numbered),
    ("echo events", life::echo_events),
    ("live", marks::live),
    ("live for ever", marks::live_for_ever),
    ("map and stay", maps::map_and_stay),
    ("attach and stay", maps::attach_and_stay),
    ("map and end", maps::map_and_end),
    ("fork", forked::fork),
    ("fork barely", forked::fork_barely),
    ("fork while opening", forked::fork_while_opening),
    ("fork with a full table", forked::fork_with_a_full_table),
    ("make a bare segment", companions::make_a_bare_segment),
    ("create when told", companions::create_when_told),
    ("come and go", companions::come_and_go),
    ("race to an object in a segment", companions::race_to_an_object_in_a_segment),
    ("answer in a segment", segments::answer_in_a_segment),
    ("store into a segment", segments::store_into_a_segment),
    ("race for a segment", segments::race_for_a_segment),
    ("hold a segment", segments::hold_a_segment),
    ("be refused one's own segment", segments_refused::be_refused_ones_own_segment),
    ("lock nothing", segments_refused::lock_nothing),
    ("test and be killed", segments::test_and_be_killed),
    ("share with children", zones::share_with_children),
    ("make zones and stay", zones::make_zones_and_stay),
    ("make zones for ever", zones::make_zones_for_ever),
    ("leave a segment", zones::leave_a_segment),
    ("fork without a region", kept::fork_without_a_region),
    ("judge descriptors", passed::judge_descriptors),
    ("receive without room", passed::receive_without_room),
    ("attack", sealed::attack),
];

fn main() {
    let tests = [
        basics::tests(),
        companions::tests(),
        forked::tests(),
        hijack::tests(),
        kept::tests(),
        life::tests(),
        maps::tests(),
        marks::tests(),
        passed::tests(),
        race::tests(),
        sealed::tests(),
        segments::tests(),
        segments_refused::tests(),
        zones::tests(),
    ];
    shm_tests::run(ROLES, tests.into_iter().flatten().collect());
}
