//! Objects in System V segments: what kills, other programs and other directories leave, and what becomes of it.

use shm_core::sysv::{self, Key, Segment};
use shm_core::{Access, Directory, Error, Name, Options, Place, Removal};
use shm_tests::segments::begin;
use shm_tests::{Scratch, Segments, Test, peer, tests};
use std::time::{Duration, Instant};

const BYTES: u64 = 5000;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_dead_creators_segment_makes_way,
        a_strangers_segment_is_never_touched,
        a_living_creators_segment_is_waited_for,
        a_creator_that_takes_long_is_waited_for,
        a_segment_that_loses_its_mark_is_given_a_moment,
        creators_killed_anywhere_leave_nothing_in_the_way,
        removers_killed_anywhere_leave_nothing_in_the_way,
        a_segment_that_was_removed_alone_is_not_found,
        another_directory_is_told,
        of_many_who_open_or_create_all_have_the_same,
    ]
}

/// How to reach the object of a key in the directory.
fn locate(key: Key, directory: &str) -> (Options, Name) {
    Place::Sysv(key).locate(&Directory::at(directory)).unwrap()
}

fn key_of(text: &str) -> Key {
    text.parse().unwrap()
}

/// Creates, looks, and removes again.
fn comes_and_goes(key: Key, directory: &str) {
    let (options, name) = locate(key, directory);
    let object = options.create_with(&name, BYTES, |region| region.copy_in(4995, b"whole")).unwrap();
    let region = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
    let mut bytes = [1; 5000];
    region.copy_out(0, &mut bytes).unwrap();
    assert!(bytes.ends_with(b"whole") && bytes[..4995].iter().all(|&byte| byte == 0));
    let refused = options.remove::<Error>(&name, Removal::IfUnused, |_| Ok(()));
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    drop(object);
    options.remove::<Error>(&name, Removal::IfUnused, |_| Ok(())).unwrap();
    assert!(sysv::list().unwrap().iter().all(|segment| segment.key != Some(key)));
}

/// Role, with the arguments key, mode, and what it stores: a segment without a companion. Stays until told.
pub(crate) fn make_a_bare_segment(arguments: &[String]) {
    begin();
    let [key, mode, content] = arguments else { panic!("{arguments:?}") };
    let mode = u32::from_str_radix(mode, 8).unwrap();
    let segment = sysv::Options::new().mode(mode).create(key_of(key), BYTES).unwrap();
    segment.attach(Access::ReadWrite).unwrap().copy_in(0, content.as_bytes()).unwrap();
    peer::say("made");
    peer::listen();
}

/// A segment of that mode and content whose creator is dead.
fn leave(segments: &mut Segments, key: Key, mode: &str, content: &str) -> i32 {
    let mut creator = segments.start("make a bare segment", &[&key.to_string(), mode, content]);
    creator.expect("made");
    creator.kill();
    Segment::open(key).unwrap().id()
}

fn a_dead_creators_segment_makes_way() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    for content in ["", "half of what it was to be"] {
        let key = segments.key();
        leave(&mut segments, key, "0701", content);
        comes_and_goes(key, scratch.directory());
    }
}

fn a_strangers_segment_is_never_touched() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let magic = std::str::from_utf8(&shm_core::header::MAGIC).unwrap();
    // Without the mark of one that is being born, or with others as well.
    for (mode, content) in [("0600", ""), ("0600", magic), ("0700", "data"), ("0777", ""), ("0611", "")] {
        let key = segments.key();
        let id = leave(&mut segments, key, mode, content);
        let (options, name) = locate(key, scratch.directory());
        let refused = options.create(&name, BYTES).unwrap_err();
        assert!(matches!(refused, Error::NotAnObject { .. }), "{mode} {content}: {refused}");
        let opened = options.open(&name, Access::ReadWrite).unwrap_err();
        assert!(matches!(opened, Error::NotFound { .. }), "{mode} {content}: {opened}");
        assert_eq!(Segment::open(key).unwrap().id(), id, "{mode} {content}");
        Segment::from_id(id).remove().unwrap();
    }
}

fn a_living_creators_segment_is_waited_for() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let mut creator = segments.start("make a bare segment", &[&key.to_string(), "0701", ""]);
    creator.expect("made");
    let (options, name) = locate(key, scratch.directory());
    let refused = options.create(&name, BYTES).unwrap_err();
    assert!(matches!(refused, Error::NotAnObject { .. }), "{refused}");
    assert!(refused.to_string().contains("whose creator has not finished it"), "{refused}");
    creator.kill();
    comes_and_goes(key, scratch.directory());
}

/// Role, with the arguments key and directory: creates an object, and stands still in the middle of that until told.
pub(crate) fn create_when_told(arguments: &[String]) {
    begin();
    let (options, name) = locate(key_of(&arguments[0]), &arguments[1]);
    let object = options.create_with(&name, BYTES, |region| {
        peer::say("in the middle");
        peer::listen();
        region.copy_in(0, b"whole")
    });
    object.unwrap();
    peer::say("created");
    peer::stay();
}

/// It may be held up for longer than anybody waits for a stranger's segment.
fn a_creator_that_takes_long_is_waited_for() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let mut creator = segments.start("create when told", &[&key.to_string(), scratch.directory()]);
    creator.expect("in the middle");
    let (options, name) = locate(key, scratch.directory());
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| options.open_or_create(&name, BYTES));
        std::thread::sleep(Duration::from_secs(1));
        creator.tell("go on");
        creator.expect("created");
        let (object, birth) = opener.join().unwrap().unwrap();
        assert_eq!(birth, shm_core::Birth::Opened);
        assert_eq!(&object.map(Access::ReadOnly).unwrap().read_value::<[u8; 5]>(0).unwrap(), b"whole");
    });
    creator.finish();
    options.unlink(&name).unwrap();
}

/// However long it was waited for before: its companion may come, or it may go, in this moment.
fn a_segment_that_loses_its_mark_is_given_a_moment() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let mut creator = segments.start("make a bare segment", &[&key.to_string(), "0701", ""]);
    creator.expect("made");
    let (options, name) = locate(key, scratch.directory());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (options.create(&name, BYTES).unwrap_err().to_string(), Instant::now()));
        std::thread::sleep(Duration::from_secs(1));
        let lost = Instant::now();
        Segment::open(key).unwrap().set(None, None, Some(0o600)).unwrap();
        let (refused, then) = waiting.join().unwrap();
        assert!(refused.contains("without a companion"), "{refused}");
        assert!(then.duration_since(lost) >= Duration::from_millis(200), "{:?}", then.duration_since(lost));
    });
    creator.tell("end");
    creator.finish();
    Segment::open(key).unwrap().remove().unwrap();
}

/// Role, with the arguments key and directory: creates and removes for ever.
pub(crate) fn come_and_go(arguments: &[String]) {
    begin();
    let (options, name) = locate(key_of(&arguments[0]), &arguments[1]);
    peer::say("begun");
    loop {
        drop(options.create_with(&name, BYTES, |region| region.copy_in(0, b"content")).unwrap());
        options.remove::<Error>(&name, Removal::IfUnused, |_| Ok(())).unwrap();
    }
}

/// Kills one that creates and removes, at some moment; the next one finds its way.
fn killed_anywhere(check: fn(Key, &str)) {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    for moment in 0..60_u64 {
        let mut victim = segments.start("come and go", &[&key.to_string(), scratch.directory()]);
        victim.expect("begun");
        std::thread::sleep(Duration::from_micros(37 * moment));
        victim.kill();
        check(key, scratch.directory());
    }
    assert!(scratch.listing().is_empty(), "{:?}", scratch.listing());
}

fn creators_killed_anywhere_leave_nothing_in_the_way() {
    killed_anywhere(|key, directory| {
        let (options, name) = locate(key, directory);
        // It may have been killed while it was there.
        match options.remove::<Error>(&name, Removal::IfUnused, |_| Ok(())) {
            Ok(()) | Err(Error::NotFound { .. }) => comes_and_goes(key, directory),
            Err(error) => panic!("{error}"),
        }
    });
}

fn removers_killed_anywhere_leave_nothing_in_the_way() {
    killed_anywhere(|key, directory| {
        let (options, name) = locate(key, directory);
        let (object, _) = options.open_or_create(&name, BYTES).unwrap();
        assert_eq!(object.map(Access::ReadWrite).unwrap().bytes() as u64, BYTES);
        drop(object);
        options.remove::<Error>(&name, Removal::IfUnused, |_| Ok(())).unwrap();
    });
}

fn a_segment_that_was_removed_alone_is_not_found() {
    let (scratch, segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let (options, name) = locate(key, scratch.directory());
    let object = options.create(&name, BYTES).unwrap();
    Segment::open(key).unwrap().remove().unwrap(); // as ipcrm does
    assert!(matches!(options.open(&name, Access::ReadOnly), Err(Error::NotFound { .. })));
    assert!(scratch.listing().is_empty(), "{:?}", scratch.listing());
    assert!(matches!(object.still_named(), Err(Error::Detached { .. })));
    comes_and_goes(key, scratch.directory());
}

fn another_directory_is_told() {
    let (scratch, other, segments) = (Scratch::private(), Scratch::private(), Segments::new());
    let key = segments.key();
    let (options, name) = locate(key, scratch.directory());
    let object = options.create_with(&name, BYTES, |region| region.copy_in(0, b"mine")).unwrap();
    let (elsewhere, _) = locate(key, other.directory());
    assert!(matches!(elsewhere.open(&name, Access::ReadOnly), Err(Error::NotFound { .. })));
    drop(object); // attached by nobody, and by a process that lives
    let refused = elsewhere.create(&name, BYTES).unwrap_err().to_string();
    assert!(refused.contains("SHMRING_DIR"), "{refused}");
    let region = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
    assert_eq!(&region.read_value::<[u8; 4]>(0).unwrap(), b"mine");
    options.unlink(&name).unwrap();
}

/// Role, with the arguments key and directory: adds one to the object's first byte, when told.
pub(crate) fn race_to_an_object_in_a_segment(arguments: &[String]) {
    begin();
    let (options, name) = locate(key_of(&arguments[0]), &arguments[1]);
    peer::say("ready");
    peer::listen();
    let (object, _) = options.open_or_create(&name, BYTES).unwrap();
    object.attend().unwrap();
    let count = object.map(Access::ReadWrite).unwrap().word::<u64>(0).unwrap();
    count.fetch_add(1, shm_core::sync::Ordering::Relaxed); // the processes' lines order what is looked at
    peer::say("done");
    peer::listen();
}

fn of_many_who_open_or_create_all_have_the_same() {
    let (scratch, mut segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let arguments = [key.to_string(), scratch.directory().to_owned()];
    let arguments = arguments.each_ref().map(String::as_str);
    for _ in 0..10 {
        let mut racers: Vec<_> =
            (0..12).map(|_| segments.start("race to an object in a segment", &arguments)).collect();
        racers.iter_mut().for_each(|racer| racer.expect("ready"));
        racers.iter_mut().for_each(|racer| racer.tell("go"));
        racers.iter_mut().for_each(|racer| racer.expect("done"));
        let (options, name) = locate(key, scratch.directory());
        let region = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
        assert_eq!(region.read_value::<u64>(0).unwrap(), 12);
        racers.into_iter().for_each(|mut racer| {
            racer.tell("end");
            racer.finish();
        });
        options.unlink(&name).unwrap();
    }
}
