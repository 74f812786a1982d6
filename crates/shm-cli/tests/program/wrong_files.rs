//! What has the ring's name and is no ring, or not the right one: a clear error from every verb.

use crate::harness::Place;
use std::fs;
use std::os::unix::fs::FileExt;

/// A wrong thing: what it is called, what makes it, and what the errors say.
type Wrong = (&'static str, fn(&Place), &'static str);

const WRONG: [Wrong; 15] = [
    ("foreign", |place| fs::write(place.path("ring"), "a file of somebody else's").unwrap(), "not made by"),
    ("long foreign", |place| fs::write(place.path("ring"), vec![b'x'; 1 << 20]).unwrap(), "not made by"),
    ("empty", |place| fs::write(place.path("ring"), "").unwrap(), "not made by"),
    ("zeros", |place| fs::write(place.path("ring"), vec![0; 1 << 20]).unwrap(), "not made by"),
    ("sparse zeros", |place| sparse(place, 1 << 20), "not made by"),
    ("symbolic link", symbolic_link, "is a symbolic link"),
    ("dangling link", |place| link_to(place, "nothing"), "is a symbolic link"),
    ("fifo", fifo, "is a FIFO"),
    ("directory", |place| fs::create_dir(place.path("ring")).unwrap(), "is a directory"),
    ("hard link", hard_link, "several names"),
    ("truncated to nothing but a header", |place| truncated(place, 256), "is truncated"),
    ("truncated header", |place| truncated(place, 20), "is truncated"),
    ("truncated data", |place| truncated(place, 5000), "is truncated"),
    ("newer version", |place| patched(place, 8, 2), "newer than"),
    ("older version", |place| patched(place, 8, 0), "older than"),
];

/// Rings that can be shown and removed, but not used to send and receive bytes.
const WRONG_RINGS: [Wrong; 2] = [
    ("wrong type", |place| patched(place, 40, 0xAA), "values of another type"),
    ("typed", typed, "ring of typed values"),
];

const USES: [&[&str]; 7] = [
    &["send", "ring"],
    &["send", "ring", "--create"],
    &["send", "ring", "--raw"],
    &["recv", "ring"],
    &["recv", "ring", "--wait"],
    &["recv", "ring", "--follow", "--timeout", "10s"],
    &["recv", "ring", "--count", "0"],
];

fn create(place: &Place) {
    place.ok(&["create", "ring", "--capacity", "64KiB"]);
}

fn sparse(place: &Place, bytes: u64) {
    fs::File::create(place.path("ring")).unwrap().set_len(bytes).unwrap();
}

fn truncated(place: &Place, bytes: u64) {
    create(place);
    fs::OpenOptions::new().write(true).open(place.path("ring")).unwrap().set_len(bytes).unwrap();
}

fn patched(place: &Place, offset: u64, byte: u8) {
    create(place);
    let file = fs::OpenOptions::new().write(true).open(place.path("ring")).unwrap();
    file.write_all_at(&[byte], offset).unwrap();
}

fn link_to(place: &Place, target: &str) {
    std::os::unix::fs::symlink(place.path(target), place.path("ring")).unwrap();
}

fn symbolic_link(place: &Place) {
    place.ok(&["create", "target", "--capacity", "64KiB"]);
    link_to(place, "target");
}

fn hard_link(place: &Place) {
    place.ok(&["create", "target", "--capacity", "64KiB"]);
    fs::hard_link(place.path("target"), place.path("ring")).unwrap();
}

fn fifo(place: &Place) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, place.path("ring"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn typed(place: &Place) {
    let directory = shm_ring::Directory::at(place.path(""));
    shm_ring::TypedProducer::<u64>::builder("ring").directory(directory).create_ring().unwrap();
}

#[test]
fn every_verb_says_what_is_wrong() {
    for (what, make, message) in WRONG {
        let place = Place::new();
        make(&place);
        let is_ours = ["truncated", "newer", "older"].iter().any(|ours| what.starts_with(ours));
        let before = fs::symlink_metadata(place.path("ring")).unwrap();
        for arguments in USES.iter().chain(&[&["stat", "ring"][..], &["rm", "ring"]]) {
            eprintln!("{what}: {arguments:?}");
            place.run(arguments, b"line\n").expect(1, message);
        }
        place.run(&["create", "ring", "--capacity", "64KiB"], b"").expect(1, "exists already");
        let listed = place.run(&["ls", "--json"], b"").expect(0, if is_ours { "left out" } else { "" });
        assert!(!listed.contains("\"ring\""), "{what}: {listed}");
        let after = fs::symlink_metadata(place.path("ring")).unwrap();
        assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
        let forced = place.run(&["rm", "ring", "--force"], b"");
        if is_ours {
            forced.expect(0, "");
        } else {
            forced.expect(1, message);
        }
        assert_eq!(fs::symlink_metadata(place.path("ring")).is_ok(), !is_ours, "{what}");
    }
}

#[test]
fn rings_of_another_type_are_shown_and_removed_but_not_used() {
    for (what, make, message) in WRONG_RINGS {
        let place = Place::new();
        make(&place);
        for arguments in USES {
            eprintln!("{what}: {arguments:?}");
            place.run(arguments, b"line\n").expect(1, message);
        }
        let stat = place.stat();
        let unit = if what == "typed" { "messages" } else { "bytes" };
        assert_eq!((&stat["typed"], &stat["capacity_unit"]), (&(what == "typed").into(), &unit.into()));
        assert!(place.ok(&["ls"]).contains("ring"));
        place.ok(&["rm", "ring"]);
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let place = Place::new();
    fs::remove_dir(place.path("")).unwrap();
    for arguments in [
        &["create", "ring", "--capacity", "4K"][..],
        &["send", "ring", "--create"],
        &["recv", "ring"],
        &["stat", "ring"],
        &["ls"],
        &["rm", "ring"],
    ] {
        place.run(arguments, b"").expect(1, "No such file or directory");
    }
    place.run(&["doctor", "--system"], b"").expect(0, "");
}
