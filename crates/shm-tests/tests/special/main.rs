//! Tests that need something special of the machine; see `shm_tests::need` for what happens without it.
//! With `SHMRING_REQUIRE=all` nothing may be missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod foreign;
mod framework;
mod kill;
mod limits;
mod mapped;
mod maps;
mod namespaces;
mod reader;
mod removal;
mod sealed;
mod segments;
mod space;

use shm_tests::peer::Role;

const ROLES: &[(&str, Role)] = &[
    ("fill a small file system", space::fill_a_small_file_system),
    ("fill a file system of few inodes", space::fill_a_file_system_of_few_inodes),
    ("grow beyond a file system", space::grow_beyond_a_file_system),
    ("use a read-only file system", space::use_a_read_only_file_system),
    ("exceed the file size limit", space::exceed_the_file_size_limit),
    ("create once", kill::create_once),
    ("sit in a namespace", namespaces::sit_in_a_namespace),
    ("use a pid again", namespaces::use_a_pid_again),
    ("open as another user", foreign::open_as_another_user),
    ("create as another user", foreign::create_as_another_user),
    ("use root's segments", segments::use_roots_segments),
    ("squat keys", segments::squat_keys),
    ("remove as another user", removal::remove_as_another_user),
    ("meet as another user", sealed::meet_as_another_user),
    ("reach the limits", segments::reach_the_limits),
    ("name huge pages", limits::name_huge_pages),
    ("lock too much", limits::lock_too_much),
    ("ask as another user", maps::ask_as_another_user),
    ("map and be asked for", maps::map_and_be_asked_for),
    ("attach a namesake", maps::attach_a_namesake),
    ("map what another user sent", mapped::map_what_another_user_sent),
    ("map what may only be read", mapped::map_what_may_only_be_read),
    ("map on a full file system", mapped::map_on_a_full_file_system),
    ("map on a read-only file system", mapped::map_on_a_read_only_file_system),
    ("meet from another pid namespace", mapped::meet_from_another_pid_namespace),
];

fn main() {
    let tests = [
        framework::tests(),
        kill::tests(),
        limits::tests(),
        mapped::tests(),
        maps::tests(),
        namespaces::tests(),
        reader::tests(),
        removal::tests(),
        sealed::tests(),
        segments::tests(),
        space::tests(),
        foreign::tests(),
    ];
    shm_tests::run(ROLES, tests.into_iter().flatten().collect());
}
