//! What the kernel refuses about System V segments, and how that is told.

use crate::page;
use rustix::process::{Resource, Rlimit, geteuid, setrlimit};
use shm_core::sysv::{Options, Segment};
use shm_core::{Access, Error, error::Cause};
use shm_tests::segments::begin;
use shm_tests::{Segments, Test, peer, process, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![what_is_not_there_is_told, too_large_is_told, a_mode_refuses_even_the_owner, locking_is_limited,]
}

const NOBODY: u32 = 65534;

fn is_refused<T>(result: shm_core::Result<T>, expected: Cause, told: &str) {
    match result.map(drop) {
        Err(Error::Refused { cause, .. }) if cause != expected => panic!("{cause:?}, not {expected:?}"),
        Err(error) => assert!(error.to_string().contains(told), "{error}"),
        Ok(()) => panic!("not refused: {expected:?}"),
    }
}

fn what_is_not_there_is_told() {
    let segments = Segments::new();
    let key = segments.key();
    let told =
        format!("shmget failed on the System V segment of key {key}: No such file or directory (os error 2)");
    is_refused(Segment::open(key), Cause::NoSuchSegment, &told);
    let removed = Segment::private(page()).unwrap();
    removed.remove().unwrap();
    for segment in [removed, Segment::from_id(-1), Segment::from_id(i32::MAX)] {
        let on = format!("on the System V segment of id {}", segment.id());
        let told = |call: &str| format!("{call} failed {on}");
        is_refused(segment.stat(), Cause::NoSuchSegment, &told("shmctl(IPC_STAT)"));
        is_refused(segment.attach(Access::ReadOnly), Cause::NoSuchSegment, &told("shmat"));
        is_refused(segment.remove(), Cause::NoSuchSegment, &told("shmctl(IPC_RMID)"));
        is_refused(segment.lock(), Cause::NoSuchSegment, &told("shmctl(SHM_LOCK)"));
        is_refused(segment.unlock(), Cause::NoSuchSegment, &told("shmctl(SHM_UNLOCK)"));
        is_refused(segment.set(Some(0), Some(0), Some(0)), Cause::NoSuchSegment, &told("shmctl(IPC_SET)"));
    }
    assert!(matches!(Segment::create(key, 0), Err(Error::ZeroLength { .. })));
    assert!(matches!(Segment::private(0), Err(Error::ZeroLength { .. })));
}

fn too_large_is_told() {
    let segments = Segments::new();
    let key = segments.key();
    let limit: u64 = std::fs::read_to_string("/proc/sys/kernel/shmmax").unwrap().trim().parse().unwrap();
    if let Some(bytes) = limit.checked_add(1) {
        let told =
            format!("shmget failed on the System V segment of key {key} of {bytes} bytes: Invalid argument");
        is_refused(Segment::create(key, bytes), Cause::TooLarge { limit_bytes: Some(limit) }, &told);
    }
    // Within the default limits, and more than a machine has.
    if limit > 1 << 62 {
        is_refused(Segment::private(1 << 62), Cause::OutOfMemory, "os error 12");
    }
}

/// Role, with the argument key: is refused what the mode does not allow, as everybody but root is.
pub(crate) fn be_refused_ones_own_segment(arguments: &[String]) {
    begin();
    if geteuid().is_root() {
        process::become_user(NOBODY);
    }
    let key = arguments[0].parse().unwrap();
    let segment = Options::new().mode(0).create(key, page()).unwrap();
    for refused in [Access::ReadOnly, Access::ReadWrite] {
        let told = format!("shmat failed on the System V segment of key {key} (id {})", segment.id());
        is_refused(segment.attach(refused), Cause::Mode, &told);
        is_refused(
            Segment::from_id(segment.id()).attach(refused),
            Cause::Mode,
            "Permission denied (os error 13)",
        );
    }
    is_refused(segment.stat(), Cause::Mode, "shmctl(IPC_STAT)");
    is_refused(segment.set(None, None, Some(0o600)), Cause::Mode, "shmctl(IPC_STAT)");
    let (user, group) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    segment.set(Some(user), Some(group), Some(0o400)).unwrap();
    assert_eq!(segment.attach(Access::ReadOnly).unwrap().access(), Access::ReadOnly);
    is_refused(segment.attach(Access::ReadWrite), Cause::Mode, "ask its owner for a mode");
    Segment::open(key).unwrap().remove().unwrap();
    peer::say("done");
}

fn a_mode_refuses_even_the_owner() {
    let mut segments = Segments::new();
    let key = segments.key();
    let mut peer = segments.start("be refused one's own segment", &[&key.to_string()]);
    peer.expect("done");
    peer.finish();
}

/// Role: may lock a little first, and then nothing.
pub(crate) fn lock_nothing(_: &[String]) {
    begin();
    if geteuid().is_root() {
        process::become_user(NOBODY);
    }
    let limit = |bytes| {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        setrlimit(Resource::Memlock, limit).unwrap();
    };
    limit(16 * page());
    let (small, large) = (Segment::private(page()).unwrap(), Segment::private(64 * page()).unwrap());
    small.lock().unwrap();
    assert!(small.stat().unwrap().locked);
    let told = "RLIMIT_MEMLOCK is 65536 bytes";
    is_refused(large.lock(), Cause::LockLimit { limit_bytes: Some(16 * page()) }, told);
    small.unlock().unwrap();
    assert!(!small.stat().unwrap().locked);
    limit(0);
    is_refused(small.lock(), Cause::LockLimit { limit_bytes: Some(0) }, "RLIMIT_MEMLOCK is 0 bytes");
    small.remove().unwrap();
    large.remove().unwrap();
    peer::say("done");
}

fn locking_is_limited() {
    let mut segments = Segments::new();
    let mut peer = segments.start("lock nothing", &[]);
    peer.expect("done");
    peer.finish();
}
