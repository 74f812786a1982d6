//! Mappings of plain files, on file systems that are full, read-only or on a disk, and of descriptors of others.

use crate::foreign::{DAEMON, open_to_all};
use crate::space::{DISK, in_a_mount_namespace, mount_tmpfs};
use rustix::mount::{MountFlags, mount_remount};
use shm_core::{
    Access, Deadline, Error, Flush, Holes, MapOptions, Memfd, Name, Object, Remap, Seals, Span, lock, pass,
    seal,
};
use shm_tests::need::pid_namespace;
use shm_tests::process::become_user;
use shm_tests::{FUSE, Need, Peer, Scratch, Test, peer, scratch, tests};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_plain_file_of_any_length_is_mapped needs [Need::Disk(DISK.into())],
        a_private_mapping_of_a_file_leaves_it_as_it_is needs [Need::Disk(DISK.into())],
        a_sparse_file_is_mapped_where_that_is_asked_for needs [Need::Disk(DISK.into())],
        a_full_file_system_is_an_error_of_the_mapping needs [Need::Program("unshare"), Need::Mounts],
        a_read_only_file_system_is_mapped needs [Need::Program("unshare"), Need::Mounts],
        what_may_only_be_read_is_not_written needs [Need::Root],
        what_another_user_sent_has_no_locks_of_its_own needs [Need::Root],
        a_sender_in_another_pid_namespace_has_no_pid needs [Need::Program("unshare"), Need::Pids],
    ]
}

const PAGE: usize = 4096;

fn adopt(file: File) -> Object {
    Object::from_descriptor(file.into(), "a file").unwrap()
}

fn open(path: impl AsRef<std::path::Path>, write: bool) -> Object {
    adopt(File::options().read(true).write(write).open(path).unwrap())
}

/// By name and by descriptor, on a disk and in memory.
fn a_plain_file_of_any_length_is_mapped() {
    for parent in [DISK, "/dev/shm"] {
        let scratch = Scratch::private_in(parent);
        let (name, directory) = (scratch.name("plain"), scratch.options());
        let path = scratch.path(&name);
        for bytes in [1, 2, 100, PAGE - 1, PAGE, PAGE + 1, 100_000] {
            std::fs::write(&path, vec![b'a'; bytes]).unwrap();
            for object in [directory.open(&name, Access::ReadWrite).unwrap(), open(&path, true)] {
                let region = object.map(Access::ReadWrite).unwrap();
                assert_eq!(region.bytes(), bytes);
                region.copy_in(bytes - 1, b"z").unwrap();
                assert!(matches!(region.copy_in(bytes, b"z").unwrap_err(), Error::OutOfBounds { .. }));
                region.flush(Span::new(bytes - 1, 1), Flush::Sync, false).unwrap();
                let found = std::fs::read(&path).unwrap();
                assert_eq!((found.len(), found[bytes - 1]), (bytes, b'z'));
                assert!(found[..bytes - 1].iter().all(|&byte| byte == b'a'));
            }
        }
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(open(&path, true).map(Access::ReadOnly).unwrap_err(), Error::ZeroLength { .. }));
    }
}

fn a_private_mapping_of_a_file_leaves_it_as_it_is() {
    let scratch = Scratch::private_in(DISK);
    let path = scratch.path(&scratch.name("original"));
    std::fs::write(&path, vec![b'a'; 10_000]).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    let object = open(&path, false);
    let region = object.map_private().unwrap();
    region.copy_in(0, &[b'b'; 10_000]).unwrap();
    region.flush(Span::new(0, 10_000), Flush::Sync, false).unwrap();
    assert_eq!(region.read_value::<u8>(9_999).unwrap(), b'b');
    assert_eq!(object.map(Access::ReadOnly).unwrap().read_value::<u8>(9_999).unwrap(), b'a');
    drop(region);
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'a'; 10_000]);
}

fn a_sparse_file_is_mapped_where_that_is_asked_for() {
    let scratch = Scratch::private_in(DISK);
    let path = scratch.path(&scratch.name("sparse"));
    let file = File::create_new(&path).unwrap();
    rustix::io::write(&file, b"begin").unwrap();
    file.set_len(1 << 20).unwrap();
    let object = open(&path, true);
    assert!(matches!(object.map(Access::ReadOnly).unwrap_err(), Error::Truncated { .. }));
    let base = MapOptions::new(Access::ReadWrite);
    let region = object.map_with(&base.holes(Holes::Allow)).unwrap();
    assert_eq!(region.read_value::<u8>(1 << 19).unwrap(), 0);
    assert!(object.stat().unwrap().allocated_bytes < 1 << 19);
    let error =
        open(&path, false).map_with(&MapOptions::new(Access::ReadOnly).holes(Holes::Allocate)).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    let region = object.map_with(&base.holes(Holes::Allocate)).unwrap();
    assert_eq!(region.read_value::<[u8; 6]>(0).unwrap(), *b"begin\0");
    let stat = object.stat().unwrap();
    assert!(stat.bytes == 1 << 20 && stat.allocated_bytes >= 1 << 20);
    object.map(Access::ReadWrite).unwrap();
}

fn a_full_file_system_is_an_error_of_the_mapping() {
    in_a_mount_namespace("map on a full file system");
}

/// Role, with the argument directory.
pub(crate) fn map_on_a_full_file_system(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"size=64k");
    let path = std::path::Path::new(directory).join("sparse");
    let file = File::create_new(&path).unwrap();
    rustix::io::write(&file, &[b'a'; 2 * PAGE]).unwrap();
    file.set_len(128 << 10).unwrap();
    let object = open(&path, true);
    let base = MapOptions::new(Access::ReadWrite);
    for options in [
        base.holes(Holes::Allocate),
        base.holes(Holes::Allow).populate(true),
        base.holes(Holes::Allow).lock(true).populate(true),
        base.holes(Holes::Allocate).part(PAGE as u64, (128 << 10) - PAGE as u64),
    ] {
        let error = object.map_with(&options).unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{options:?}: {error}");
        assert_eq!(object.stat().unwrap().bytes, 128 << 10, "cut off");
        let mut found = [0; 2 * PAGE];
        assert_eq!(object.read_at(0, &mut found).unwrap(), 2 * PAGE);
        assert!(found.iter().all(|&byte| byte == b'a'), "what was there is lost");
    }
    std::fs::remove_file(&path).unwrap();
    drop((file, object));
    // An object that can not grow, and a region that stays what it was.
    let object = scratch::options_in(directory).create(&Name::new("small").unwrap(), PAGE as u64).unwrap();
    let mut region = object.map(Access::ReadWrite).unwrap();
    region.copy_in(0, b"kept").unwrap();
    assert!(matches!(object.resize(128 << 10).unwrap_err(), Error::OutOfSpace { .. }));
    for how in [Remap::Move, Remap::Anew] {
        let error = object.remap(&mut region, 128 << 10, how).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds { .. }), "{error}");
        assert_eq!((region.bytes(), region.read_value::<[u8; 4]>(0).unwrap()), (PAGE, *b"kept"));
    }
}

fn a_read_only_file_system_is_mapped() {
    in_a_mount_namespace("map on a read-only file system");
}

/// Role, with the argument directory.
pub(crate) fn map_on_a_read_only_file_system(arguments: &[String]) {
    let directory = arguments[0].as_str();
    mount_tmpfs(directory, c"size=64k");
    let path = std::path::Path::new(directory).join("old");
    std::fs::write(&path, [b'a'; 5000]).unwrap();
    mount_remount(directory, MountFlags::RDONLY, c"").unwrap();
    let object = open(&path, false);
    assert!(object.has_own_locks());
    assert!(object.map(Access::ReadWrite).is_err());
    let region = object.map(Access::ReadOnly).unwrap();
    region.flush(Span::new(0, 5000), Flush::Sync, true).unwrap();
    let private = object.map_private().unwrap();
    private.copy_in(0, b"mine").unwrap();
    assert_eq!((region.bytes(), region.read_value::<u8>(0).unwrap()), (5000, b'a'));
    let refused = object.map_with(&MapOptions::new(Access::ReadOnly).holes(Holes::Allocate)).unwrap_err();
    assert!(matches!(refused, Error::Forbidden { .. }), "{refused}");
}

fn what_may_only_be_read_is_not_written() {
    let scratch = open_to_all();
    let name = scratch.name("read-only");
    scratch.options().mode(0o644).create(&name, PAGE as u64).unwrap();
    Peer::start("map what may only be read", &[scratch.directory(), name.as_str()]).finish();
}

/// Role, with the arguments directory and name of an object of root's.
pub(crate) fn map_what_may_only_be_read(arguments: &[String]) {
    become_user(DAEMON);
    let (options, name) = (scratch::options_in(&arguments[0]), Name::new(&arguments[1]).unwrap());
    let error = options.open(&name, Access::ReadWrite).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    let object = options.open(&name, Access::ReadOnly).unwrap();
    assert!(object.map(Access::ReadWrite).is_err());
    for access in [Access::ReadOnly, Access::Nothing] {
        let mut region = object.map_with(&MapOptions::new(access)).unwrap();
        let error = region.protect(shm_core::Protection::ReadWrite).unwrap_err();
        assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    }
    object.map_private().unwrap().copy_in(0, b"mine").unwrap();
    assert_eq!(object.map(Access::ReadOnly).unwrap().read_value::<u8>(0).unwrap(), 0);
}

/// A peer in a role whose first argument is the path of a socket, with the socket to it.
fn meet(wrapper: &[&str], role: &str) -> (Scratch, Peer, UnixStream) {
    let scratch = open_to_all();
    let path = scratch.path(&scratch.name("socket"));
    let listener = UnixListener::bind(&path).unwrap();
    let arguments = [path.to_str().unwrap()];
    let peer = match wrapper {
        [] => Peer::start(role, &arguments),
        wrapper => Peer::start_through(wrapper, role, &arguments),
    };
    let socket = listener.accept().unwrap().0;
    (scratch, peer, socket)
}

fn soon() -> Deadline {
    Deadline::after(FUSE)
}

fn what_another_user_sent_has_no_locks_of_its_own() {
    let (_scratch, peer, socket) = meet(&[], "map what another user sent");
    let object = Memfd::new("sent").create(PAGE as u64).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    seal::apply(&object, Seals::RECEIVER_SAFE, "sent").unwrap();
    region.copy_in(0, b"sent").unwrap();
    object.attend().unwrap();
    pass::send(&socket, b"x", &[object.as_fd()], soon()).unwrap();
    peer.finish();
    assert!(lock::is_free(&object, 7).unwrap());
}

/// Role, with the argument path of a socket. The mode, 0600, lets only its sender open it anew.
pub(crate) fn map_what_another_user_sent(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    become_user(DAEMON);
    let received = pass::receive(&socket, &mut [0], 1, soon()).unwrap();
    assert_eq!(pass::peer(&socket).unwrap().uid, 0);
    let descriptor = received.descriptors.into_iter().next().unwrap();
    seal::Expectation::new(PAGE as u64).verify(&descriptor, "sent").unwrap();
    let object = Object::from_descriptor(descriptor, "sent").unwrap();
    assert!(!object.has_own_locks());
    for error in [object.attend().unwrap_err(), object.resize(1).unwrap_err()] {
        assert!(matches!(error, Error::SharedLocks { .. }), "{error}");
    }
    let region = object.map(Access::ReadOnly).unwrap();
    assert_eq!(region.read_value::<[u8; 4]>(0).unwrap(), *b"sent");
    assert!(object.map(Access::ReadWrite).is_err());
}

fn a_sender_in_another_pid_namespace_has_no_pid() {
    let (_scratch, mut peer, socket) = meet(pid_namespace(), "meet from another pid namespace");
    peer.expect("ready");
    assert!(pass::peer(&socket).unwrap().pid.is_some(), "its parent sees it");
    pass::send(&socket, b"x", &[socket.as_fd()], soon()).unwrap();
    peer.finish();
}

/// Role, with the argument path of a socket, in a pid namespace in which the test has no id.
pub(crate) fn meet_from_another_pid_namespace(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    pass::identify_senders(&socket).unwrap();
    peer::say("ready");
    let received = pass::receive(&socket, &mut [0], 1, soon()).unwrap();
    assert_eq!((received.descriptors.len(), received.sender.unwrap().pid), (1, None));
    assert_eq!(pass::peer(&socket).unwrap().pid, None);
}
