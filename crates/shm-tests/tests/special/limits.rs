//! Memory that is limited in other ways than by a file system: locked memory, and huge pages.

use crate::foreign::DAEMON;
use crate::space::in_a_mount_namespace;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};
use shm_core::{
    Access, Directory, Error, HugePages, Life, MapOptions, Memfd, Name, Object, Region, Remap, Removal, huge,
};
use shm_ring::{Consumer, Producer};
use shm_tests::process::become_user;
use shm_tests::{Need, Peer, Test, scratch, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        locking_beyond_the_limit_is_an_error,
        too_few_huge_pages_are_an_error,
        huge_pages_are_used_where_they_are needs [Need::HugePages],
        named_objects_and_rings_of_huge_pages needs [Need::Root, Need::HugePages, Need::Mounts],
    ]
}

const LIMIT: u64 = 16 * 4096;

fn locking_beyond_the_limit_is_an_error() {
    Peer::start("lock too much", &[]).finish();
}

fn is_told(error: &Error, asked: u64) {
    assert!(
        matches!(error, Error::LockLimit { bytes, limit_bytes: LIMIT, .. } if *bytes == asked),
        "{error}"
    );
    assert!(error.to_string().contains("RLIMIT_MEMLOCK is 65536"), "{error}");
}

/// Role, without arguments.
pub(crate) fn lock_too_much(_: &[String]) {
    if rustix::process::geteuid().is_root() {
        become_user(DAEMON); // root may lock what it likes
    }
    setrlimit(Resource::Memlock, Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) }).unwrap();
    let object = Memfd::new("locked").create(2 * LIMIT).unwrap();
    let locked = MapOptions::new(Access::ReadWrite).lock(true);
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("memfd:locked")).count()
    };
    is_told(&object.map_with(&locked).unwrap_err(), 2 * LIMIT);
    assert_eq!(mapped(), 0, "what could not be locked stays mapped");
    let whole = object.map(Access::ReadWrite).unwrap();
    is_told(&whole.lock().unwrap_err(), 2 * LIMIT);
    drop(whole);
    let mut half: Region = object.map_with(&locked.part(0, LIMIT)).unwrap();
    half.copy_in(0, b"kept").unwrap();
    for how in [Remap::Move, Remap::Anew] {
        let error = object.remap(&mut half, LIMIT + 4096, how).unwrap_err();
        assert!(matches!(error, Error::LockLimit { limit_bytes: LIMIT, .. }), "{error}");
        assert_eq!((half.bytes() as u64, half.read_value::<[u8; 4]>(0).unwrap()), (LIMIT, *b"kept"));
    }
    object.remap(&mut half, LIMIT / 2, Remap::Move).unwrap();
    object.remap(&mut half, LIMIT, Remap::Move).unwrap();
    // None at all is another errno.
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(LIMIT) }).unwrap();
    let error = object.map_with(&locked.part(0, 1)).unwrap_err();
    assert!(matches!(error, Error::LockLimit { bytes: 1, limit_bytes: 0, .. }), "{error}");
}

/// More than there are, however many that is.
fn too_few_huge_pages_are_an_error() {
    for pool in huge::pools() {
        let bytes = (pool.pages + 1) * pool.page_bytes;
        let error = Memfd::new("huge").huge_pages(HugePages::of(pool.page_bytes)).create(bytes).unwrap_err();
        assert!(
            matches!(error, Error::OutOfHugePages { page_bytes, bytes: told, .. }
                if (page_bytes, told) == (pool.page_bytes, bytes)),
            "{error}"
        );
        assert!(error.to_string().contains("sysctl vm.nr_hugepages"), "{error}");
        assert_eq!(
            huge::pools().iter().find(|now| now.page_bytes == pool.page_bytes),
            Some(&pool),
            "some are kept"
        );
    }
}

fn huge_pages_are_used_where_they_are() {
    let pool = huge::pools().into_iter().find(|pool| pool.free_pages >= 2).unwrap();
    let page = pool.page_bytes;
    let object = Memfd::new("huge").huge_pages(HugePages::of(page)).create(page + 1).unwrap();
    assert_eq!((object.page_bytes().unwrap(), object.stat().unwrap().bytes), (page, 2 * page));
    let mut region = object.map_part(Access::ReadWrite, page, 10).unwrap();
    region.copy_in(0, b"ten bytes!").unwrap();
    assert!(matches!(object.map_part(Access::ReadOnly, 4096, 1).unwrap_err(), Error::Unaligned { .. }));
    object.remap(&mut region, page, Remap::Anew).unwrap();
    assert_eq!(region.read_value::<[u8; 10]>(0).unwrap(), *b"ten bytes!");
    drop(region);
    no_life_word_is_on_a_huge_page(&object);
    object.resize(1).unwrap();
    assert_eq!(object.stat().unwrap().bytes, page);
    drop(object);
    assert_eq!(huge::pools().into_iter().find(|now| now.page_bytes == page), Some(pool), "some are kept");
}

/// Not even where its place among all life words would suit one: it would lie over other memory of this process.
fn no_life_word_is_on_a_huge_page(object: &Object) {
    let ordinary = Memfd::new("ordinary").create(4096).unwrap();
    let lives: Vec<Life> = (0..1000).map(|_| Life::register(&ordinary, 8).unwrap()).collect();
    for life in lives {
        let error = Life::register(object, 8).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        drop(life);
    }
    Life::register(&ordinary, 8).unwrap();
}

fn named_objects_and_rings_of_huge_pages() {
    in_a_mount_namespace("name huge pages");
}

/// Role, with the argument directory: objects by name in the file system of huge pages.
pub(crate) fn name_huge_pages(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount(c"hugetlbfs", directory, c"hugetlbfs", MountFlags::empty(), None).unwrap();
    let pools = || huge::pools().into_iter().find(|pool| pool.free_pages >= 2);
    let before = pools().unwrap();
    let page = before.page_bytes;
    let (options, name) = (scratch::options_in(directory), Name::new("huge").unwrap());
    let object = options.create(&name, page).unwrap();
    assert_eq!((object.page_bytes().unwrap(), object.stat().unwrap().bytes), (page, page));
    object.map(Access::ReadWrite).unwrap().copy_in(100, b"huge").unwrap();
    let other = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
    assert_eq!(other.read_value::<[u8; 4]>(100).unwrap(), *b"huge");
    let error = options.create(&Name::new("more").unwrap(), (before.pages + 1) * page).unwrap_err();
    assert!(matches!(error, Error::OutOfHugePages { .. } | Error::OutOfSpace { .. }), "{error}");
    drop((object, other));
    options.unlink(&name).unwrap();

    let builder = Producer::builder("ring").directory(Directory::at(directory)).capacity(1 << 16);
    let mut producer = builder.create().unwrap();
    let mut consumer = Consumer::builder("ring").directory(Directory::at(directory)).open().unwrap();
    producer.send(b"through huge pages").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"through huge pages");
    drop((producer, consumer));
    shm_ring::remove_in(&Directory::at(directory), "ring", Removal::IfUnused).unwrap();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    assert_eq!(pools(), Some(before), "some are kept");
}
