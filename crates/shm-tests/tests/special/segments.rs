//! System V segments of other users, and the limits of an IPC namespace.

use shm_core::sysv::{self, Key, Options, Segment};
use shm_core::{Access, Error, Owner, error::Cause};
use shm_tests::process::become_user;
use shm_tests::segments::begin;
use shm_tests::{Need, Peer, Segments, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_user_gets_what_the_mode_allows needs [Need::Root],
        a_foreign_segment_is_refused needs [Need::Root],
        limits_are_told_by_their_names needs [Need::Root, Need::Program("unshare")],
    ]
}

const PAGE: u64 = 4096;
const NOBODY: u32 = 65534;

fn is_refused<T>(result: shm_core::Result<T>, expected: Cause, told: &str) {
    match result.map(drop) {
        Err(Error::Refused { cause, .. }) if cause != expected => panic!("{cause:?}, not {expected:?}"),
        Err(error) => assert!(error.to_string().contains(told), "{error}"),
        Ok(()) => panic!("not refused: {expected:?}"),
    }
}

/// Role, with the arguments keys of root's segments with the modes 0600, 0644 and 0666.
pub(crate) fn use_roots_segments(arguments: &[String]) {
    begin();
    become_user(NOBODY);
    let [closed, readable, open] = arguments else { panic!("{arguments:?}") };
    let [closed, readable, open] =
        [closed, readable, open].map(|key| Segment::open(key.parse().unwrap()).unwrap());
    for segment in [&closed, &readable] {
        let told = format!("shmat failed on the System V segment of key {}", segment.key().unwrap());
        is_refused(segment.attach(Access::ReadWrite), Cause::Mode, &told);
    }
    is_refused(closed.attach(Access::ReadOnly), Cause::Mode, "Permission denied (os error 13)");
    is_refused(closed.stat(), Cause::Mode, "shmctl(IPC_STAT)");
    assert_eq!(readable.attach(Access::ReadOnly).unwrap().read_value::<u8>(0).unwrap(), 7);
    open.attach(Access::ReadWrite).unwrap().write_value(0, &8_u8).unwrap();
    for segment in [&closed, &readable, &open] {
        is_refused(segment.remove(), Cause::NotOwner, "shmctl(IPC_RMID) failed");
        is_refused(segment.set(Some(NOBODY), Some(NOBODY), Some(0o600)), Cause::NotOwner, "shmctl(IPC_SET)");
        is_refused(segment.lock(), Cause::NotOwner, "Operation not permitted (os error 1)");
        // Everybody may see what there is.
        assert!(sysv::list().unwrap().iter().any(|listed| listed.id == segment.id()));
    }
    peer::say("done");
}

fn a_user_gets_what_the_mode_allows() {
    let mut segments = Segments::new();
    let made = [0o600, 0o644, 0o666].map(|mode| {
        let segment = Options::new().mode(mode).create(segments.key(), PAGE).unwrap();
        segment.attach(Access::ReadWrite).unwrap().write_value(0, &7_u8).unwrap();
        segment
    });
    let keys = made.each_ref().map(|segment| segment.key().unwrap().to_string());
    let mut peer = segments.start("use root's segments", &keys.each_ref().map(String::as_str));
    peer.expect("done");
    peer.finish();
    let values =
        made.each_ref().map(|one| one.attach(Access::ReadOnly).unwrap().read_value::<u8>(0).unwrap());
    assert_eq!(values, [7, 7, 8]);
    made.iter().for_each(|segment| segment.remove().unwrap());
}

/// Role, with the arguments keys: under the first its own segment; under the second one that it gives to root,
/// so that root's own seems to be there.
pub(crate) fn squat_keys(arguments: &[String]) {
    begin();
    become_user(NOBODY);
    let [own, given] = arguments else { panic!("{arguments:?}") };
    let options = Options::new().mode(0o666);
    options.create(own.parse().unwrap(), PAGE).unwrap();
    let given = options.create(given.parse().unwrap(), PAGE).unwrap();
    given.set(Some(0), Some(0), None).unwrap();
    peer::say("done");
    peer::stay();
}

fn a_foreign_segment_is_refused() {
    let mut segments = Segments::new();
    let keys: [Key; 2] = [segments.key(), segments.key()];
    let mut squatter = segments.start("squat keys", &[&keys[0].to_string(), &keys[1].to_string()]);
    squatter.expect("done");
    for key in keys {
        let by = |owner: Owner| Options::new().owner(owner).open(key, 0).unwrap();
        for owner in [Owner::MeOrRoot, Owner::User(1)] {
            for access in [Access::ReadOnly, Access::ReadWrite] {
                let error = by(owner).attach(access).unwrap_err();
                assert!(matches!(error, Error::ForeignOwner { owner_uid: NOBODY, .. }), "{error}");
            }
        }
        let (segment, _) = Segment::open_or_create(key, PAGE).unwrap();
        assert!(matches!(segment.attach(Access::ReadWrite), Err(Error::ForeignOwner { .. })));
        // A refused one is not left attached.
        assert_eq!(segment.stat().unwrap().attach_count, 0);
        by(Owner::User(NOBODY)).attach(Access::ReadWrite).unwrap();
        by(Owner::Anybody).attach(Access::ReadOnly).unwrap();
        segment.remove().unwrap();
    }
    squatter.finish();
}

/// Role, with the argument the namespace that is not to be touched: sets the limits of its own, and reaches each.
pub(crate) fn reach_the_limits(arguments: &[String]) {
    let namespace = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(namespace.to_str().unwrap(), arguments[0], "a namespace of its own");
    assert_eq!(sysv::list().unwrap(), []);
    let set = |name: &str, value: u64| {
        std::fs::write(format!("/proc/sys/kernel/{name}"), value.to_string()).unwrap()
    };
    set("shmmax", 2 * PAGE);
    set("shmall", 3);
    set("shmmni", 3);
    let key = Key::new(0x5454).unwrap();
    let told = "shmget failed on the System V segment of key 0x00005454 of 8193 bytes: Invalid argument (os error 22): \
                a segment may have SHMMAX = 8192 bytes";
    is_refused(Segment::create(key, 2 * PAGE + 1), Cause::TooLarge { limit_bytes: Some(2 * PAGE) }, told);
    let two = Segment::create(key, 2 * PAGE).unwrap();
    let cause = Cause::TooManyPages { limit_pages: Some(3), used_pages: Some(2) };
    let told =
        "No space left on device (os error 28): all segments together may have SHMALL = 3 pages and have 2";
    is_refused(Segment::private(PAGE + 1), cause, told);
    // A zone falls back on nothing here, and says which limit it was.
    let error =
        shm_core::Zone::create_with("zone", 2 * PAGE, shm_core::zone::Mechanism::SystemV).unwrap_err();
    assert!(error.to_string().contains("SHMALL = 3 pages"), "{error}");
    two.remove().unwrap();
    let three = [1, 2, 3].map(|_| Segment::private(1).unwrap());
    is_refused(Segment::private(1), Cause::TooManySegments { limit: Some(3) }, "SHMMNI = 3 segments exist");
    let mut listed: Vec<i32> = sysv::list().unwrap().iter().map(|segment| segment.id).collect();
    listed.sort_unstable();
    let mut made = three.each_ref().map(Segment::id);
    made.sort_unstable();
    assert_eq!(listed, made);
    peer::say("done");
}

fn limits_are_told_by_their_names() {
    let namespace = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    // What it leaves goes with the namespace.
    let arguments = [namespace.to_str().unwrap()];
    let mut peer = Peer::start_through(&["unshare", "--ipc"], "reach the limits", &arguments);
    peer.expect("done");
    peer.finish();
}
