//! Who maps an object, where users and IPC namespaces stand between.

use shm_core::maps;
use shm_core::sysv::{Options, Segment};
use shm_core::{Access, Directory, HugePages, Name, Place, huge};
use shm_tests::need::pid_namespace;
use shm_tests::process::become_user;
use shm_tests::{Need, Peer, Scratch, Segments, Test, peer, scratch, tests};
use std::os::unix::fs::PermissionsExt;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        processes_that_may_not_be_read_are_counted needs [Need::Root, Need::Pids],
        a_segment_is_not_taken_for_that_of_another_namespace needs [Need::Root, Need::Program("unshare")],
        a_segment_of_huge_pages_is_told needs [Need::Root, Need::HugePages],
    ]
}

const PAGE: u64 = 4096;
const NOBODY: u32 = 65534;

/// An object and a segment: directory, name, and key.
fn places(arguments: &[String]) -> (Directory, [Place; 2]) {
    let [directory, name, key] = arguments else { panic!("{arguments:?}") };
    let posix = Place::Posix(Name::new(name).unwrap());
    (Directory::at(directory), [posix, Place::Sysv(key.parse().unwrap())])
}

/// Role, with those: asks who maps them, as a user who may read neither them nor the one other process there is.
pub(crate) fn ask_as_another_user(arguments: &[String]) {
    become_user(NOBODY);
    let (directory, places) = places(arguments);
    for place in places {
        let told = maps::of_place(&place, &directory).unwrap();
        assert_eq!((told.mappings.len(), told.unreadable_processes), (0, 1));
    }
    peer::say("asked");
}

/// Role, with those, as the first process of a pid namespace, where nobody else disturbs the counts: maps both.
pub(crate) fn map_and_be_asked_for(arguments: &[String]) {
    let (directory, places) = places(arguments);
    let object =
        scratch::options_in(&arguments[0]).open(&Name::new(&arguments[1]).unwrap(), Access::ReadWrite);
    let _mapped = object.unwrap().map(Access::ReadWrite).unwrap();
    let _attached = Segment::open(arguments[2].parse().unwrap()).unwrap().attach(Access::ReadWrite).unwrap();
    for place in places {
        let told = maps::of_place(&place, &directory).unwrap();
        let [mapping] = &told.mappings[..] else { panic!("{told:?}") };
        assert_eq!((mapping.pid, told.unreadable_processes), (std::process::id(), 0));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut other = Peer::start("ask as another user", &arguments);
    other.expect("asked");
    other.finish();
    peer::say("asked");
}

fn processes_that_may_not_be_read_are_counted() {
    let (scratch, segments) = (Scratch::private(), Segments::new());
    std::fs::set_permissions(scratch.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    let (name, key) = (scratch.name("roots"), segments.key());
    scratch.options().create(&name, PAGE).unwrap();
    let segment = Options::new().create(key, PAGE).unwrap();
    let arguments = [scratch.directory(), name.as_str(), &key.to_string()];
    let mut peer = Peer::start_through(pid_namespace(), "map and be asked for", &arguments);
    peer.expect("asked");
    peer.finish();
    scratch.options().unlink(&name).unwrap();
    segment.remove().unwrap();
}

/// Role, in an IPC namespace of its own, with the arguments id and key: makes a segment of the same in it.
pub(crate) fn attach_a_namesake(arguments: &[String]) {
    let [id, key] = arguments else { panic!("{arguments:?}") };
    std::fs::write("/proc/sys/kernel/shm_next_id", id).unwrap();
    let segment = Options::new().create(key.parse().unwrap(), PAGE).unwrap();
    assert_eq!(segment.id().to_string(), *id);
    let region = segment.attach(Access::ReadWrite).unwrap();
    let [mapping] = &maps::of_segment(&segment).unwrap().mappings[..] else { panic!("only its own") };
    assert_eq!((mapping.pid, mapping.address), (std::process::id(), region.address() as u64));
    peer::say("attached");
    peer::stay();
}

fn a_segment_is_not_taken_for_that_of_another_namespace() {
    let segments = Segments::new();
    let key = segments.key();
    let segment = Segment::create(key, PAGE).unwrap();
    let region = segment.attach(Access::ReadWrite).unwrap();
    let (id, key) = (segment.id().to_string(), key.to_string());
    let mut namesake = Peer::start_through(&["unshare", "--ipc"], "attach a namesake", &[&id, &key]);
    namesake.expect("attached");
    let told = maps::of_segment(&segment).unwrap();
    let [mapping] = &told.mappings[..] else { panic!("{told:?}") };
    assert_eq!((mapping.pid, mapping.address), (std::process::id(), region.address() as u64));
    namesake.finish();
    segment.remove().unwrap();
}

/// It is on another device, and its pages are counted elsewhere.
fn a_segment_of_huge_pages_is_told() {
    let segments = Segments::new();
    let pool = huge::pools().into_iter().find(|pool| pool.free_pages >= 2).unwrap();
    let options = Options::new().huge_pages(HugePages::of(pool.page_bytes));
    let segment = options.create(segments.key(), 2 * pool.page_bytes).unwrap();
    let region = segment.attach(Access::ReadWrite).unwrap();
    region.write_value(0, &1_u8).unwrap();
    let told = maps::of_segment(&segment).unwrap();
    let [mapping] = &told.mappings[..] else { panic!("{told:?}") };
    assert_eq!((mapping.address, mapping.bytes), (region.address() as u64, 2 * pool.page_bytes));
    assert_eq!(mapping.resident_bytes, Some(pool.page_bytes));
    segment.remove().unwrap();
}
