//! Other users, and programs in another language.

use shm_core::{Access, Error, Name, Options, Owner, Removal};
pub(crate) use shm_tests::process::become_user;
use shm_tests::{Need, Peer, Scratch, Test, peer, scratch, tests};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_foreign_object_is_refused needs [Need::Root],
        a_user_opens_roots_objects needs [Need::Root],
        any_umask_lets_a_user_create,
        a_c_program_shares_an_object needs [Need::Program("gcc")],
    ]
}

const PAGE: u64 = 4096;
// Users that every Linux has, and that own nothing here.
pub(crate) const DAEMON: u32 = 1;
const BIN: u32 = 2;

/// A directory that every user may write.
pub(crate) fn open_to_all() -> Scratch {
    let scratch = Scratch::private();
    std::fs::set_permissions(scratch.directory(), PermissionsExt::from_mode(0o1777)).unwrap();
    scratch
}

fn is_foreign<T: std::fmt::Debug>(result: shm_core::Result<T>, owner: u32) {
    assert!(matches!(result, Err(Error::ForeignOwner { owner_uid, .. }) if owner_uid == owner), "{result:?}");
}

fn a_foreign_object_is_refused() {
    let scratch = open_to_all();
    let (name, options) = (scratch.name("foreign"), scratch.options());
    let object = options.create(&name, PAGE).unwrap();
    object.chown(Some(DAEMON), Some(DAEMON)).unwrap();
    let stat = object.stat().unwrap();
    assert_eq!((stat.owner_uid, stat.group_gid), (DAEMON, DAEMON));
    drop(object);
    let by = |owner| options.clone().owner(owner);
    for refusing in [options.clone(), by(Owner::User(BIN))] {
        is_foreign(refusing.open(&name, Access::ReadOnly), DAEMON);
        is_foreign(refusing.clone().truncate(true).open(&name, Access::ReadWrite), DAEMON);
        is_foreign(refusing.open_or_create(&name, PAGE), DAEMON);
        is_foreign(refusing.unlink(&name), DAEMON);
        is_foreign(refusing.remove(&name, Removal::IfUnused, |_| Ok::<(), Error>(())), DAEMON);
    }
    assert_eq!(std::fs::metadata(scratch.path(&name)).unwrap().len(), PAGE, "truncated by a refused opener");
    by(Owner::User(DAEMON)).open(&name, Access::ReadWrite).unwrap();
    by(Owner::Anybody).open(&name, Access::ReadOnly).unwrap();
    by(Owner::User(DAEMON)).unlink(&name).unwrap();
    assert_eq!(scratch.listing(), [""; 0]);
}

/// Role, with the arguments directory, and the names of root's object and of another user's.
pub(crate) fn open_as_another_user(arguments: &[String]) {
    let [directory, roots, others] = arguments else { panic!("{arguments:?}") };
    become_user(DAEMON);
    let (roots, others) = (Name::new(roots).unwrap(), Name::new(others).unwrap());
    let options: Options = scratch::options_in(directory);
    options.open(&roots, Access::ReadWrite).unwrap();
    is_foreign(options.open(&others, Access::ReadOnly), BIN);
    options.clone().owner(Owner::User(BIN)).open(&others, Access::ReadWrite).unwrap();
    // The directory is sticky, as /dev/shm is.
    let error = options.unlink(&roots).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    peer::stay();
}

fn a_user_opens_roots_objects() {
    let scratch = open_to_all();
    let (roots, others) = (scratch.name("roots"), scratch.name("others"));
    let options = scratch.options().mode(0o666);
    options.create(&roots, PAGE).unwrap();
    options.create(&others, PAGE).unwrap().chown(Some(BIN), None).unwrap();
    let arguments = [scratch.directory(), roots.as_str(), others.as_str()];
    Peer::start("open as another user", &arguments).finish();
    assert_eq!(scratch.listing(), ["others", "roots"]);
}

/// Role, with the argument directory. Root may read whatever the mode says, other users may not: not
/// even what they have just made themselves.
pub(crate) fn create_as_another_user(arguments: &[String]) {
    if rustix::process::geteuid().is_root() {
        become_user(DAEMON);
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
    // A creator that tries again for ever would fill the memory.
    let fuse = rustix::process::Rlimit { current: Some(5), maximum: Some(5) };
    rustix::process::setrlimit(rustix::process::Resource::Cpu, fuse).unwrap();
    for temporary in [false, true] {
        let options = scratch::options_in(&arguments[0]).temporary_name(temporary);
        let name = Name::new("mine").unwrap();
        let object = options.create(&name, PAGE).unwrap();
        assert_eq!(object.stat().unwrap().mode, 0o600);
        options.unlink(&name).unwrap();
    }
}

fn any_umask_lets_a_user_create() {
    let scratch = open_to_all();
    Peer::start("create as another user", &[scratch.directory()]).finish();
    assert_eq!(scratch.listing(), [""; 0]);
}

fn a_c_program_shares_an_object() {
    let tools = Scratch::private_in(env!("CARGO_TARGET_TMPDIR"));
    let program = tools.path(&tools.name("peer"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/special/peer.c");
    let mut compiler = Command::new("gcc");
    compiler.args(["-O1", "-Wall", "-Werror", "-o"]).arg(&program).args([source, "-lrt"]);
    assert!(compiler.status().unwrap().success());

    let scratch = Scratch::posix();
    let (ours, theirs) = (scratch.name("ours"), scratch.name("theirs"));
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bytes: Vec<u8> = (0..10_000_u32).map(|index| (index * 31 / 7).to_le_bytes()[0]).collect();
    let object = Options::new().create(&ours, 10_000).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    region.copy_in(0, &bytes).unwrap();
    // It prints the size and a sum that depends on every byte's place, then reverses the bytes.
    let sum = bytes.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    assert_eq!(run(&["reverse", &format!("/{ours}")]), format!("10000 {sum}\n"));
    let mut reversed = vec![0; 10_000];
    region.copy_out(0, &mut reversed).unwrap();
    assert!(reversed.iter().rev().eq(&bytes));

    // One that it made: refused as long as it has holes, whole once it was written.
    run(&["make", &format!("/{theirs}")]);
    let object = Options::new().open(&theirs, Access::ReadOnly).unwrap();
    assert!(matches!(object.map(Access::ReadOnly).unwrap_err(), Error::Truncated { .. }));
    run(&["reverse", &format!("/{theirs}")]);
    assert_eq!(object.map(Access::ReadOnly).unwrap().bytes(), 8192);
    assert_eq!(run(&["remove", &format!("/{theirs}")]), "");
    assert!(matches!(object.still_named().unwrap_err(), Error::Detached { .. }));
}
