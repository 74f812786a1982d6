//! System V segments between real processes.

use crate::page;
use rustix::process::Signal;
use shm_core::sysv::{self, Key, Options, Segment};
use shm_core::{Access, Birth, Deadline, Error, HugePages, Region, error::Cause};
use shm_tests::segments::begin;
use shm_tests::{FUSE, Peer, Segments, Test, peer, process, tests};
use std::os::unix::process::ExitStatusExt;
use std::time::SystemTime;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_message_reaches_a_stranger_by_key,
        a_message_reaches_a_stranger_by_id,
        what_is_attached_for_reading_can_not_be_written,
        sizes_are_told_as_asked_and_as_taken,
        create_is_exclusive,
        of_many_who_open_or_create_one_creates,
        stat_says_what_the_kernel_says,
        owner_and_mode_are_set,
        a_removed_segment_stays_attached,
        a_killed_process_is_detached_and_its_segment_told_as_stale,
        huge_pages_are_had_or_told,
        nothing_is_left_by_a_killed_test,
    ]
}

fn segment_of(key_or_id: &str) -> Segment {
    match key_or_id.parse::<i32>() {
        Ok(id) => Segment::from_id(id),
        Err(_) => Segment::open(key_or_id.parse().unwrap()).unwrap(),
    }
}

fn bytes_of(region: &Region) -> [u8; 8] {
    region.read_value(0).unwrap()
}

/// Role, with the argument key or id: says what it finds, and puts an answer in its place.
pub(crate) fn answer_in_a_segment(arguments: &[String]) {
    begin();
    let region = segment_of(&arguments[0]).attach(Access::ReadWrite).unwrap();
    peer::say(std::str::from_utf8(&bytes_of(&region)).unwrap());
    region.copy_in(0, b"response").unwrap();
    // Also to those who attach it for reading only.
    drop(region);
    let region = segment_of(&arguments[0]).attach(Access::ReadOnly).unwrap();
    assert_eq!(&bytes_of(&region), b"response");
}

fn exchange(mut segments: Segments, segment: &Segment, told: &str) {
    let region = segment.attach(Access::ReadWrite).unwrap();
    region.copy_in(0, b"question").unwrap();
    let mut stranger = segments.start("answer in a segment", &[told]);
    stranger.expect("question");
    stranger.finish();
    assert_eq!(&bytes_of(&region), b"response");
    segment.remove().unwrap();
}

fn a_message_reaches_a_stranger_by_key() {
    let segments = Segments::new();
    let key = segments.key();
    let segment = Segment::create(key, page()).unwrap();
    exchange(segments, &segment, &key.to_string());
}

fn a_message_reaches_a_stranger_by_id() {
    let segments = Segments::new();
    let segment = Segment::private(page()).unwrap();
    assert_eq!((segment.key(), segment.stat().unwrap().key), (None, None));
    exchange(segments, &segment, &segment.id().to_string());
}

/// Role, with the argument key: stores against the rules.
pub(crate) fn store_into_a_segment(arguments: &[String]) {
    begin();
    let region = segment_of(&arguments[0]).attach(Access::ReadOnly).unwrap();
    process::store_against_the_rules(&region);
    peer::say("stored");
}

fn what_is_attached_for_reading_can_not_be_written() {
    let mut segments = Segments::new();
    let key = segments.key();
    let segment = Segment::create(key, page()).unwrap();
    let region = segment.attach(Access::ReadOnly).unwrap();
    assert!(matches!(region.copy_in(0, b"x"), Err(Error::ReadOnly)));
    assert!(matches!(region.word::<u64>(0).map(drop), Err(Error::ReadOnly)));
    let mut peer = segments.start("store into a segment", &[&key.to_string()]);
    peer.expect("");
    assert_eq!(peer.status().signal(), Some(Signal::SEGV.as_raw()));
    assert_eq!(bytes_of(&region), [0; 8]);
    segment.remove().unwrap();
}

/// This process's mapping at the address, as /proc/self/maps shows it.
fn mapping_at(address: usize) -> Option<(usize, String)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.starts_with(&format!("{address:x}-")))?;
    let end = line.split_once('-')?.1.split_once(' ')?.0;
    Some((usize::from_str_radix(end, 16).ok()? - address, line.to_owned()))
}

fn sizes_are_told_as_asked_and_as_taken() {
    let segments = Segments::new();
    for (asked, taken) in [
        (1, page()),
        (page() - 1, page()),
        (page(), page()),
        (page() + 1, 2 * page()),
        (page() + 904, 2 * page()),
    ] {
        let key = segments.key();
        let segment = Segment::create(key, asked).unwrap();
        assert_eq!(segment.page_bytes(), Some(page()));
        let stat = segment.stat().unwrap();
        assert_eq!((stat.bytes, stat.rounded_bytes), (asked, taken));
        // Opened with no size, as they are, and with up to their own.
        for bytes in [0, 1, asked] {
            let region = Options::new().open(key, bytes).unwrap().attach(Access::ReadWrite).unwrap();
            assert_eq!(region.bytes() as u64, asked);
            assert!(region.copy_in(region.bytes(), b"x").is_err());
            assert_eq!(mapping_at(region.address()).unwrap().0 as u64, taken);
        }
        // Not with more, even if it were in the last page.
        let error = Options::new().open(key, asked + 1).unwrap_err();
        let cause = Cause::Smaller { found_bytes: Some(asked) };
        assert!(matches!(&error, Error::Refused { cause: found, .. } if *found == cause), "{error}");
        let told = format!("key {key} of {} bytes: Invalid argument (os error 22)", asked + 1);
        assert!(error.to_string().contains(&told), "{error}");
        assert!(Segment::open_or_create(key, asked + 1).is_err());
        segment.remove().unwrap();
    }
}

fn create_is_exclusive() {
    let segments = Segments::new();
    let key = segments.key();
    let first = Segment::create(key, page()).unwrap();
    let error = Segment::create(key, page()).unwrap_err();
    assert!(matches!(error, Error::Refused { cause: Cause::Exists, .. }), "{error}");
    let told = format!(
        "shmget failed on the System V segment of key {key} of {} bytes: File exists (os error 17)",
        page()
    );
    assert!(error.to_string().starts_with(&told), "{error}");
    let (opened, birth) = Segment::open_or_create(key, page()).unwrap();
    assert_eq!((opened.id(), birth), (first.id(), Birth::Opened));
    first.remove().unwrap();
    let (created, birth) = Segment::open_or_create(key, page()).unwrap();
    assert_eq!(birth, Birth::Created);
    assert_ne!(created.id(), first.id());
    created.remove().unwrap();
}

/// Role, with the argument key: on a line, tries to be the one who creates, and says who it was.
pub(crate) fn race_for_a_segment(arguments: &[String]) {
    begin();
    peer::say("ready");
    let key: Key = arguments[0].parse().unwrap();
    while peer::listen().is_some() {
        let (segment, birth) = Segment::open_or_create(key, page()).unwrap();
        peer::say(&format!("{birth:?} {}", segment.id()));
    }
}

fn of_many_who_open_or_create_one_creates() {
    let mut segments = Segments::new();
    let key = segments.key();
    let mut racers: Vec<Peer> =
        (0..4).map(|_| segments.start("race for a segment", &[&key.to_string()])).collect();
    racers.iter_mut().for_each(|racer| racer.expect("ready"));
    for _ in 0..200 {
        racers.iter_mut().for_each(|racer| racer.tell("go"));
        let answers: Vec<String> = racers.iter_mut().map(Peer::hear).collect();
        let segment = Segment::open(key).unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.starts_with("Created")).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.ends_with(&format!(" {}", segment.id()))), "{answers:?}");
        segment.remove().unwrap();
    }
}

/// What /proc/sysvipc/shm says of a segment, by the names of its columns.
fn row_of(id: i32) -> Option<impl Fn(&str) -> u64> {
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let mut rows =
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>());
    let names = rows.next().unwrap();
    let at = |name: &str| names.iter().position(|column| column == name).unwrap();
    let row = rows.find(|row| row[at("shmid")] == id.to_string())?;
    let names = names.clone();
    Some(move |name: &str| row[names.iter().position(|column| column == name).unwrap()].parse().unwrap())
}

fn stat_says_what_the_kernel_says() {
    let mut segments = Segments::new();
    let key = segments.key();
    let started = SystemTime::now() - std::time::Duration::from_secs(2); // its times are whole seconds
    let segment = Options::new().mode(0o640).create(key, 5000).unwrap();
    let stat = segment.stat().unwrap();
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!((stat.id, stat.key, stat.mode), (segment.id(), Some(key), 0o640));
    assert_eq!(
        (stat.owner_uid, stat.owner_gid, stat.creator_uid, stat.creator_gid),
        (user, group, user, group)
    );
    assert_eq!((stat.creator_pid, stat.last_pid), (Some(std::process::id()), None));
    assert_eq!((stat.attach_count, stat.attached, stat.detached), (0, None, None));
    assert!(!stat.marked_for_removal && !stat.locked && !stat.creator_is_gone());
    assert!(stat.changed.is_some_and(|changed| changed >= started));

    let region = segment.attach(Access::ReadWrite).unwrap();
    let mut peer = segments.start("hold a segment", &[&key.to_string()]);
    peer.expect("attached");
    let stat = segment.stat().unwrap();
    assert_eq!((stat.attach_count, stat.last_pid), (2, Some(peer.pid())));
    assert!(stat.attached.is_some_and(|attached| attached >= started));
    let row = row_of(segment.id()).unwrap();
    for (name, value) in [
        ("key", key.as_raw() as u64),
        ("perms", 640),
        ("size", stat.bytes),
        ("cpid", std::process::id().into()),
        ("lpid", peer.pid().into()),
        ("nattch", stat.attach_count),
        ("uid", user.into()),
        ("cgid", group.into()),
    ] {
        assert_eq!(row(name), value, "{name}");
    }
    assert!(segments.listing().contains(&stat), "the list and the segment itself say the same");
    peer.finish();
    let part = region.part(shm_core::Span::new(8, 8)).unwrap();
    drop(region);
    assert_eq!(segment.stat().unwrap().attach_count, 1, "a part keeps it attached");
    drop(part);
    let stat = segment.stat().unwrap();
    assert_eq!((stat.attach_count, stat.last_pid), (0, Some(std::process::id())));
    assert!(stat.detached.is_some_and(|detached| detached >= started));
    segment.remove().unwrap();
}

fn owner_and_mode_are_set() {
    let segments = Segments::new();
    let segment = Segment::create(segments.key(), page()).unwrap();
    let region = segment.attach(Access::ReadWrite).unwrap();
    let before = segment.stat().unwrap();
    segment.set(None, None, Some(0o444)).unwrap();
    assert_eq!(segment.stat().unwrap().mode, 0o444);
    // Who is attached, is; and whose it is, did not change.
    region.copy_in(0, b"x").unwrap();
    segment.set(None, None, Some(0o7660)).unwrap();
    let stat = segment.stat().unwrap();
    assert_eq!(sysv::Stat { mode: 0o600, changed: before.changed, ..stat }, before);
    assert_eq!(stat.mode, 0o660);
    segment.remove().unwrap();
}

/// Role, with the argument key or id: attaches it until it is told something, reads it once more, and detaches.
pub(crate) fn hold_a_segment(arguments: &[String]) {
    begin();
    let region = segment_of(&arguments[0]).attach(Access::ReadWrite).unwrap();
    peer::say("attached");
    if peer::listen().is_some() {
        peer::say(std::str::from_utf8(&bytes_of(&region)).unwrap());
        drop(region);
        peer::say("detached");
        peer::stay();
    }
}

fn a_removed_segment_stays_attached() {
    let mut segments = Segments::new();
    let key = segments.key();
    let segment = Segment::create(key, page()).unwrap();
    let mut peer = segments.start("hold a segment", &[&key.to_string()]);
    peer.expect("attached");
    let region = segment.attach(Access::ReadWrite).unwrap();
    // It always shows so, which does not mean that it was removed.
    let line = || mapping_at(region.address()).unwrap().1;
    assert!(line().contains("/SYSV") && line().ends_with("(deleted)"), "{}", line());
    assert!(!segment.stat().unwrap().marked_for_removal);
    segment.remove().unwrap();
    let stat = segment.stat().unwrap();
    assert_eq!((stat.marked_for_removal, stat.key, stat.attach_count), (true, None, 2));
    assert!(matches!(Segment::open(key), Err(Error::Refused { cause: Cause::NoSuchSegment, .. })));
    // Another under the same key is another.
    let second = Segment::create(key, page()).unwrap();
    region.copy_in(0, b"farewell").unwrap();
    drop(region);
    peer.tell("read");
    peer.expect("farewell");
    peer.expect("detached");
    let error = segment.stat().unwrap_err();
    assert!(matches!(error, Error::Refused { cause: Cause::NoSuchSegment, .. }), "{error}");
    assert!(error.to_string().contains(&format!("key {key} (id {})", segment.id())), "{error}");
    assert_eq!(bytes_of(&second.attach(Access::ReadOnly).unwrap()), [0; 8]);
    second.remove().unwrap();
}

fn a_killed_process_is_detached_and_its_segment_told_as_stale() {
    let mut segments = Segments::new();
    let key = segments.key();
    let mut creator = segments.start("race for a segment", &[&key.to_string()]);
    creator.expect("ready");
    creator.tell("go");
    let answer = creator.hear();
    let id: i32 = answer.strip_prefix("Created ").unwrap().parse().unwrap();
    let mut holder = segments.start("hold a segment", &[&id.to_string()]);
    holder.expect("attached");
    let looked = || segments.listing().into_iter().find(|segment| segment.id == id).unwrap();
    assert_eq!((looked().attach_count, looked().is_stale(), looked().creator_is_gone()), (1, false, false));
    creator.kill();
    assert_eq!((looked().attach_count, looked().is_stale(), looked().creator_is_gone()), (1, false, true));
    holder.kill();
    // Its memory may be taken down a little later than the kernel says that it is gone.
    let fuse = Deadline::after(FUSE);
    while looked().attach_count > 0 {
        assert!(!fuse.has_passed(), "{:?}", looked());
        std::thread::yield_now();
    }
    assert!(looked().is_stale());
    Segment::from_id(id).remove().unwrap();
}

fn huge_pages_are_had_or_told() {
    const HUGE: u64 = 2 << 20;
    let segments = Segments::new();
    // More than any pool holds, and a size that there is not.
    for (bytes, page_bytes) in [(1 << 46, HUGE), (1, 1 << 13), (1, 3 << 20)] {
        let error =
            Options::new().huge_pages(HugePages::of(page_bytes)).create(segments.key(), bytes).unwrap_err();
        let Error::Refused { cause: Cause::HugePool { .. } | Cause::HugePagesForbidden, bytes: told, .. } =
            error
        else {
            panic!("{error}")
        };
        assert_eq!(told, bytes);
        assert!(error.to_string().contains("let it fall back to ordinary pages"), "{error}");
    }
    let required = Options::new().huge_pages(HugePages::of(HUGE));
    match required.private(5000) {
        Ok(segment) => {
            assert_eq!(segment.page_bytes(), Some(HUGE));
            assert_eq!(segment.stat().unwrap().rounded_bytes, HUGE);
            segment.remove().unwrap();
        }
        Err(error) => assert!(matches!(error, Error::Refused { .. }), "{error}"),
    }
    let preferred = Options::new().huge_pages(HugePages::of(HUGE).or_ordinary());
    let segment = preferred.create(segments.key(), 5000).unwrap();
    assert!([Some(page()), Some(HUGE)].contains(&segment.page_bytes()), "{segment:?}");
    segment.attach(Access::ReadWrite).unwrap().write_value(4999, &1_u8).unwrap();
    let error = preferred.create(segment.key().unwrap(), 5000).unwrap_err();
    assert!(matches!(error, Error::Refused { cause: Cause::Exists, .. }), "{error}");
    segment.remove().unwrap();
}

/// Role: a test that makes segments of each kind, by itself and in a process of its own, and never ends.
pub(crate) fn test_and_be_killed(_: &[String]) {
    begin();
    let mut segments = Segments::new();
    let (ours, theirs) = (segments.key(), segments.key());
    let mut made = vec![Segment::private(page()).unwrap().id(), Segment::create(ours, page()).unwrap().id()];
    // One of whom it does not know: the key tells.
    let mut peer = Peer::start("race for a segment", &[&theirs.to_string()]);
    peer.tell("begin");
    peer.expect("ready");
    peer.tell("go");
    made.push(peer.hear().strip_prefix("Created ").unwrap().parse().unwrap());
    let mut leaver = segments.start("leave a segment", &["600"]);
    made.push(leaver.hear().parse().unwrap());
    peer::say(&made.iter().map(i32::to_string).collect::<Vec<_>>().join(" "));
    peer::stay();
}

fn nothing_is_left_by_a_killed_test() {
    let mut segments = Segments::new();
    let mut test = segments.start("test and be killed", &[]);
    let made: Vec<i32> = test.hear().split(' ').map(|id| id.parse().unwrap()).collect();
    let left = || sysv::list().unwrap().into_iter().filter(|one| made.contains(&one.id)).count();
    assert_eq!((made.len(), left()), (4, 4));
    test.kill();
    let fuse = Deadline::after(FUSE);
    while left() > 0 && !fuse.has_passed() {
        std::thread::yield_now();
    }
    let count = left();
    made.iter().for_each(|&id| _ = Segment::from_id(id).remove());
    assert_eq!(count, 0, "left by a killed test");
}
