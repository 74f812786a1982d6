//! Who maps an object, told of real processes.

use crate::page;
use shm_core::maps::{self, Mapping, Maps};
use shm_core::system::page_bytes;
use shm_core::sysv::Segment;
use shm_core::{Access, Directory, MapOptions, Memfd, Name, Place, Region};
use shm_tests::segments::begin;
use shm_tests::{Peer, Scratch, Segments, Test, peer, scratch, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        peers_are_told_with_what_they_map,
        a_segment_s_users_are_told,
        a_removed_segment_s_users_are_told,
        a_private_mapping_is_told_as_one,
        processes_that_come_and_go_are_no_error,
    ]
}

fn of_process(maps: &Maps, pid: u32) -> Vec<&Mapping> {
    maps.mappings.iter().filter(|mapping| mapping.pid == pid).collect()
}

/// What a process says of a region of its own, to be found by others.
fn say_where(region: &Region) {
    peer::say(&region.address().to_string());
}

/// Role, with the arguments directory and name: maps the object for reading, and a part of it for writing.
pub(crate) fn map_and_stay(arguments: &[String]) {
    let options = scratch::options_in(&arguments[0]);
    let object = options.open(&Name::new(&arguments[1]).unwrap(), Access::ReadWrite).unwrap();
    let whole = object.map(Access::ReadOnly).unwrap();
    say_where(&whole);
    let part = object.map_part(Access::ReadWrite, 2 * page(), page()).unwrap();
    part.copy_in(0, b"x").unwrap();
    say_where(&part);
    peer::stay();
}

fn peers_are_told_with_what_they_map() {
    let scratch = Scratch::private();
    let (name, other) = (scratch.name("mapped"), scratch.name("other"));
    let object = scratch.options().create(&name, 4 * page()).unwrap();
    let stranger = scratch.options().create(&other, 4 * page()).unwrap();
    let _strange = stranger.map(Access::ReadWrite).unwrap();
    assert_eq!(maps::of_object(&object).unwrap().mappings, [], "opened is not mapped");

    let mut peer = Peer::start("map and stay", &[scratch.directory(), name.as_str()]);
    let mut at = || peer.hear().parse::<u64>().unwrap();
    let (whole, part) = (at(), at());
    let told = maps::of_object(&object).unwrap();
    assert!(told.mappings.iter().all(|mapping| mapping.pid == peer.pid()), "{told:?}");
    let command = std::fs::read_to_string(format!("/proc/{}/comm", peer.pid())).unwrap();
    let find = |address| told.mappings.iter().find(|mapping| mapping.address == address).unwrap();
    assert_eq!(told.mappings.len(), 2, "{told:?}");
    let (whole, part) = (find(whole), find(part));
    assert_eq!((whole.bytes, whole.offset, whole.rights.to_string()), (4 * page(), 0, "r--s".to_owned()));
    assert_eq!((part.bytes, part.offset, part.rights.to_string()), (page(), 2 * page(), "rw-s".to_owned()));
    assert_eq!((whole.resident_bytes, part.resident_bytes), (Some(0), Some(page())), "what was touched");
    assert_eq!(part.command, command.trim_end());

    // The same by its names, of which the file may have any, and by a descriptor.
    let file = Place::File(scratch.path(&name));
    assert_eq!(maps::of_place(&file, &Directory::posix()).unwrap().mappings, told.mappings);
    let posix = Place::Posix(name.clone());
    assert_eq!(maps::of_place(&posix, &Directory::at(scratch.directory())).unwrap().mappings, told.mappings);
    // And without one.
    scratch.options().unlink(&name).unwrap();
    assert_eq!(maps::of_object(&object).unwrap().mappings, told.mappings);
    assert!(maps::of_place(&file, &Directory::posix()).is_err());
    peer.kill();
    assert_eq!(maps::of_object(&object).unwrap().mappings, []);
    scratch.options().unlink(&other).unwrap();
}

/// Role, with the argument id: attaches the segment twice.
pub(crate) fn attach_and_stay(arguments: &[String]) {
    begin();
    let segment = Segment::from_id(arguments[0].parse().unwrap());
    let reader = segment.attach(Access::ReadOnly).unwrap();
    say_where(&reader);
    let writer = segment.attach(Access::ReadWrite).unwrap();
    writer.copy_in(page_bytes() + 904, b"x").unwrap();
    say_where(&writer);
    peer::stay();
}

/// What is told of a peer that attaches the segment twice.
fn is_told_twice(told: &Maps, peer: &Peer, at: [u64; 2]) {
    let of_peer = of_process(told, peer.pid());
    let find = |address| of_peer.iter().find(|mapping| mapping.address == address).unwrap();
    assert_eq!(of_peer.len(), 2, "{told:?}");
    let [reader, writer] = at.map(find);
    assert_eq!((reader.bytes, reader.offset, reader.rights.to_string()), (2 * page(), 0, "r--s".to_owned()));
    assert_eq!((writer.bytes, writer.offset, writer.rights.to_string()), (2 * page(), 0, "rw-s".to_owned()));
    assert_eq!((reader.resident_bytes, writer.resident_bytes), (Some(0), Some(page())), "what was touched");
}

fn a_segment_s_users_are_told() {
    let mut segments = Segments::new();
    let key = segments.key();
    let segment = Segment::create(key, page() + 905).unwrap();
    // One beside it, and memory on the same device that is no segment.
    let beside = Segment::create(segments.key(), page()).unwrap();
    let _beside = beside.attach(Access::ReadWrite).unwrap();
    let _memfd = Memfd::new("SYSV0000cafe").create(page()).unwrap().map(Access::ReadWrite).unwrap();
    assert_eq!(maps::of_segment(&segment).unwrap().mappings, []);

    let mut peer = segments.start("attach and stay", &[&segment.id().to_string()]);
    let at = [(), ()].map(|()| peer.hear().parse().unwrap());
    let told = maps::of_segment(&segment).unwrap();
    is_told_twice(&told, &peer, at);
    assert_eq!(told.mappings.len() as u64, segment.stat().unwrap().attach_count);
    let anywhere = Directory::posix();
    for place in [Place::Sysv(key), Place::SysvId(segment.id())] {
        assert_eq!(maps::of_place(&place, &anywhere).unwrap().mappings, told.mappings);
    }
    let ours = segment.attach(Access::ReadOnly).unwrap();
    let told = maps::of_segment(&segment).unwrap();
    let [mapping] = of_process(&told, std::process::id())[..] else { panic!("{told:?}") };
    assert_eq!(mapping.address, ours.address() as u64);
    assert_eq!(told.mappings.len(), 3);
    peer.finish();
    assert_eq!(maps::of_segment(&segment).unwrap().mappings.len(), 1);
    segment.remove().unwrap();
    beside.remove().unwrap();
}

/// It has no key any more, and its mappings are named by the old one. The same for those that never had any.
fn a_removed_segment_s_users_are_told() {
    let mut segments = Segments::new();
    for segment in
        [Segment::create(segments.key(), page() + 905), Segment::private(page() + 905)].map(Result::unwrap)
    {
        let mut peer = segments.start("attach and stay", &[&segment.id().to_string()]);
        let at = [(), ()].map(|()| peer.hear().parse().unwrap());
        segment.remove().unwrap();
        let place = Place::SysvId(segment.id());
        let told = maps::of_place(&place, &Directory::posix()).unwrap();
        is_told_twice(&told, &peer, at);
        assert_eq!(told.mappings.len(), 2);
        peer.finish();
        assert!(maps::of_place(&place, &Directory::posix()).is_err(), "the last has left");
    }
}

fn a_private_mapping_is_told_as_one() {
    let object = Memfd::new("private").create(2 * page()).unwrap();
    let region = object.map_with(&MapOptions::new(Access::ReadWrite).private(true)).unwrap();
    let told = maps::of_object(&object).unwrap();
    let [mapping] = &told.mappings[..] else { panic!("{told:?}") };
    assert_eq!((mapping.pid, mapping.address), (std::process::id(), region.address() as u64));
    assert_eq!(mapping.rights.to_string(), "rw-p");
}

/// Role, with the arguments directory and name: maps the object and ends.
pub(crate) fn map_and_end(arguments: &[String]) {
    let options = scratch::options_in(&arguments[0]);
    let object = options.open(&Name::new(&arguments[1]).unwrap(), Access::ReadOnly).unwrap();
    let _region = object.map(Access::ReadOnly).unwrap();
    peer::say("mapped");
}

fn processes_that_come_and_go_are_no_error() {
    const ROUNDS: usize = 40;
    let scratch = Scratch::private();
    let name = scratch.name("busy");
    let object = scratch.options().create(&name, page()).unwrap();
    let _region = object.map(Access::ReadOnly).unwrap();
    let arguments = [scratch.directory(), name.as_str()];
    for _ in 0..ROUNDS {
        let mut peer = Peer::start("map and end", &arguments);
        peer.expect("mapped");
        // It unmaps, ends, and stays as a zombie while it is looked at.
        let told = maps::of_object(&object).unwrap();
        assert_eq!(of_process(&told, std::process::id()).len(), 1);
        assert!(of_process(&told, peer.pid()).len() <= 1, "{told:?}");
        peer.finish();
    }
    scratch.options().unlink(&name).unwrap();
}
