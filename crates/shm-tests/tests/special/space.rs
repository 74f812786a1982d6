//! Full, small, read-only and slow file systems (guarantee G2).

use rustix::mount::{MountFlags, mount, mount_remount};
use rustix::process::{Resource, Rlimit, setrlimit};
use shm_core::{Access, Directory, Error, Name, system};
use shm_tests::need::mount_namespace;
use shm_tests::{Need, Peer, Scratch, Test, peer, scratch, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_full_file_system_is_an_error needs [Need::Program("unshare"), Need::Mounts],
        growth_that_does_not_fit_is_undone needs [Need::Program("unshare"), Need::Mounts],
        no_more_inodes_is_an_error needs [Need::Program("unshare"), Need::Mounts],
        a_read_only_file_system_is_read needs [Need::Program("unshare"), Need::Mounts],
        a_disk_holds_objects_too needs [Need::Disk(DISK.into())],
        the_file_size_limit_is_an_error,
    ]
}

pub(crate) const DISK: &str = env!("CARGO_TARGET_TMPDIR");
const PAGE: u64 = 4096;

/// Runs a role in a mount namespace of its own, on a directory that it mounts something at.
pub(crate) fn in_a_mount_namespace(role: &str) {
    let scratch = Scratch::private();
    Peer::start_through(mount_namespace(), role, &[scratch.directory()]).finish();
}

pub(crate) fn mount_tmpfs(directory: &str, data: &std::ffi::CStr) {
    mount(c"tmpfs", directory, c"tmpfs", MountFlags::empty(), data).unwrap();
}

fn listing(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn a_full_file_system_is_an_error() {
    in_a_mount_namespace("fill a small file system");
}

/// Role, with the argument directory.
pub(crate) fn fill_a_small_file_system(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"size=64k");
    let place = Directory::at(directory);
    let free = system::room(&place).unwrap();
    assert_eq!(free.total_bytes, 64 << 10);
    let (large, small) = (Name::new("large").unwrap(), Name::new("small").unwrap());
    for temporary in [false, true] {
        let options = scratch::options_in(directory).temporary_name(temporary);
        for bytes in [(64 << 10) + 1, 128 << 10, 1 << 40, 1 << 62] {
            let error = options.create(&large, bytes).unwrap_err();
            assert!(matches!(error, Error::OutOfSpace { bytes: told, .. } if told == bytes), "{error}");
            let error = options.open_or_create(&large, bytes).unwrap_err();
            assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
            assert_eq!(listing(directory), [""; 0]);
            assert_eq!(system::room(&place).unwrap(), free, "memory was kept");
        }
        // What fits can be written to its last byte, without a signal, while nothing else fits.
        let object = options.create(&small, 40 << 10).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        assert!(matches!(options.create(&large, 32 << 10).unwrap_err(), Error::OutOfSpace { .. }));
        region.copy_in(0, &[1; 40 << 10]).unwrap();
        let error = object.resize(128 << 10).unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { bytes: 131_072, .. }), "{error}");
        let stat = object.stat().unwrap();
        assert_eq!((stat.bytes, stat.allocated_bytes), (40 << 10, 40 << 10));
        region.copy_in(0, &[2; 40 << 10]).unwrap();
        assert_eq!(listing(directory), ["small"]);
        options.unlink(&small).unwrap();
    }
}

fn growth_that_does_not_fit_is_undone() {
    in_a_mount_namespace("grow beyond a file system");
}

/// Role, with the argument directory. Memory is given in pieces of 256 MiB; here the first one fits.
pub(crate) fn grow_beyond_a_file_system(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"size=300m");
    let options = scratch::options_in(directory);
    let object = options.create(&Name::new("small").unwrap(), PAGE).unwrap();
    let free = system::room(options.location()).unwrap();
    assert!(matches!(object.resize(600 << 20).unwrap_err(), Error::OutOfSpace { .. }));
    let stat = object.stat().unwrap();
    assert_eq!((stat.bytes, stat.allocated_bytes), (PAGE, PAGE));
    assert_eq!(system::room(options.location()).unwrap(), free, "memory was kept");
}

fn no_more_inodes_is_an_error() {
    in_a_mount_namespace("fill a file system of few inodes");
}

/// Role, with the argument directory.
pub(crate) fn fill_a_file_system_of_few_inodes(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"nr_inodes=3"); // one is the root's
    for temporary in [false, true] {
        let options = scratch::options_in(directory).temporary_name(temporary);
        let names = ["a", "b", "c"].map(|name| Name::new(name).unwrap());
        let created: Vec<_> = names.iter().map(|name| options.create(name, PAGE)).collect();
        let fit = created.iter().filter(|result| result.is_ok()).count();
        // Each name takes an inode of tmpfs's count besides the file's own; unnamed files may fit more.
        assert!((1..3).contains(&fit), "{created:?}");
        assert!(matches!(created[2].as_ref().unwrap_err(), Error::OutOfSpace { .. }), "{created:?}");
        assert_eq!(listing(directory).len(), fit);
        names[..fit].iter().for_each(|name| options.unlink(name).unwrap());
    }
}

fn a_read_only_file_system_is_read() {
    in_a_mount_namespace("use a read-only file system");
}

/// Role, with the argument directory.
pub(crate) fn use_a_read_only_file_system(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"size=64k");
    let (name, fresh) = (Name::new("old").unwrap(), Name::new("new").unwrap());
    let options = scratch::options_in(directory);
    options.create(&name, PAGE).unwrap().map(Access::ReadWrite).unwrap().copy_in(0, b"kept").unwrap();
    mount_remount(directory, MountFlags::RDONLY, c"").unwrap();
    let region = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
    assert_eq!(region.read_value::<[u8; 4]>(0).unwrap(), *b"kept");
    let refused = |error: Error| {
        assert!(matches!(error, Error::System { .. }), "{error}");
        assert!(error.to_string().contains("Read-only file system"), "{error}");
    };
    for temporary in [false, true] {
        let options = options.clone().temporary_name(temporary);
        refused(options.create(&fresh, PAGE).unwrap_err());
        refused(options.open_or_create(&fresh, PAGE).unwrap_err());
        refused(options.open(&name, Access::ReadWrite).unwrap_err());
        refused(options.unlink(&name).unwrap_err());
    }
    assert_eq!(listing(directory), ["old"]);
}

fn a_disk_holds_objects_too() {
    for temporary in [false, true] {
        let scratch = Scratch::private_in(DISK);
        let (name, other) = (scratch.name("object"), scratch.name("other"));
        let options = scratch.options().temporary_name(temporary);
        let object = options.create(&name, 10_000).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        region.copy_in(9_995, b"disk!").unwrap();
        assert_eq!(std::fs::read(scratch.path(&name)).unwrap()[9_995..], *b"disk!");
        object.resize(20_000).unwrap();
        let seen = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
        assert_eq!((seen.bytes(), seen.read_value::<[u8; 6]>(9_995).unwrap()), (20_000, *b"disk!\0"));
        let free = system::room(options.location()).unwrap().free_bytes;
        let error = options.create(&other, free * 2 + (1 << 40)).unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
        assert_eq!(scratch.listing(), ["object"]);
        options.unlink(&name).unwrap();
        assert_eq!(scratch.listing(), [""; 0]);
    }
}

/// The kernel answers a file beyond the limit with SIGXFSZ, which kills.
fn the_file_size_limit_is_an_error() {
    let scratch = Scratch::private();
    Peer::start("exceed the file size limit", &[scratch.directory()]).finish();
}

/// Role, with the argument directory.
pub(crate) fn exceed_the_file_size_limit(arguments: &[String]) {
    setrlimit(Resource::Fsize, Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) }).unwrap();
    let name = Name::new("object").unwrap();
    for temporary in [false, true] {
        let options = scratch::options_in(&arguments[0]).temporary_name(temporary);
        let error = options.create(&name, (1 << 20) + 1).unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
        let object = options.create(&name, 1 << 20).unwrap();
        assert!(matches!(object.resize(2 << 20).unwrap_err(), Error::OutOfSpace { .. }));
        assert_eq!(object.stat().unwrap().bytes, 1 << 20);
        options.unlink(&name).unwrap();
    }
    peer::stay();
}
