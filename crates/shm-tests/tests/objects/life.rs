//! Who uses an object, how it is seen that they are gone, and what they leave.

use crate::page;
use rustix::process::{Resource, Rlimit, setrlimit};
use shm_core::system::page_bytes;
use shm_core::{Access, Deadline, Error, Event, Listener, Name, Removal, sync::Ordering};
use shm_tests::{Peer, Scratch, Test, peer, scratch, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        an_attended_object_keeps_its_name_and_size,
        a_killed_attender_is_gone_at_once,
        growth_is_zero_and_seen_by_new_mappings,
        a_killed_creator_leaves_nothing,
        a_birth_that_was_cut_short_is_finished_by_the_opener,
        a_creator_out_of_descriptors_leaves_nothing,
        no_wake_up_is_lost_between_processes,
    ]
}

/// Role, with the arguments directory and name: attends the object until told to stop.
pub(crate) fn attend(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let name = Name::new(name).unwrap();
    let object = scratch::options_in(directory).open(&name, Access::ReadOnly).unwrap();
    object.attend().unwrap();
    peer::say("attends");
    peer::stay();
}

fn an_attended_object_keeps_its_name_and_size() {
    let scratch = Scratch::private();
    let (name, options) = (scratch.name("attended"), scratch.options());
    drop(options.create(&name, page()).unwrap());
    let mut attenders: Vec<Peer> =
        (0..2).map(|_| Peer::start("attend", &[scratch.directory(), name.as_str()])).collect();
    attenders.iter_mut().for_each(|attender| attender.expect("attends"));
    let in_use = |error: Error| assert!(matches!(error, Error::InUse { .. }), "{error}");
    let object = options.open(&name, Access::ReadWrite).unwrap();
    while let Some(attender) = attenders.pop() {
        in_use(options.remove(&name, Removal::IfUnused, |_| Ok::<(), Error>(())).unwrap_err());
        in_use(object.resize(2 * page()).unwrap_err());
        in_use(object.resize(0).unwrap_err());
        in_use(options.clone().truncate(true).open(&name, Access::ReadWrite).unwrap_err());
        in_use(options.clone().truncate(true).open_or_create(&name, page()).unwrap_err());
        assert_eq!((object.stat().unwrap().bytes, scratch.listing().len()), (page(), 1));
        attender.finish();
    }
    object.resize(2 * page()).unwrap();
    // Our own attendance is no reason against our own resizing, but against everybody's removal.
    object.attend().unwrap();
    object.resize(page()).unwrap();
    in_use(options.remove(&name, Removal::IfUnused, |_| Ok::<(), Error>(())).unwrap_err());
    options.unlink(&name).unwrap();
    assert!(matches!(object.still_named().unwrap_err(), Error::Detached { .. }));
}

fn a_killed_attender_is_gone_at_once() {
    for _ in 0..20 {
        let scratch = Scratch::private();
        let (name, options) = (scratch.name("attended"), scratch.options());
        drop(options.create(&name, page()).unwrap());
        let mut attender = Peer::start("attend", &[scratch.directory(), name.as_str()]);
        attender.expect("attends");
        let remove = || options.remove(&name, Removal::IfUnused, |_| Ok::<(), Error>(()));
        assert!(matches!(remove().unwrap_err(), Error::InUse { .. }));
        attender.kill();
        remove().unwrap();
        assert_eq!(scratch.listing(), [""; 0]);
    }
}

fn growth_is_zero_and_seen_by_new_mappings() {
    let scratch = Scratch::private();
    let (name, options) = (scratch.name("grows"), scratch.options());
    let object = options.create(&name, 2 * page()).unwrap();
    object.map(Access::ReadWrite).unwrap().copy_in(0, &vec![7; 2 * page_bytes()]).unwrap();
    // Shrunk within a page and grown again: the rest of that page is zero too.
    object.resize(100).unwrap();
    let old = object.map(Access::ReadWrite).unwrap();
    object.resize(5 * page()).unwrap();
    let new = object.map(Access::ReadWrite).unwrap();
    assert_eq!((old.bytes(), new.bytes()), (100, 5 * page_bytes()));
    let mut bytes = vec![9; 5 * page_bytes()];
    new.copy_out(0, &mut bytes).unwrap();
    assert!(bytes[..100].iter().all(|&byte| byte == 7) && bytes[100..].iter().all(|&byte| byte == 0));
    assert_eq!(object.stat().unwrap().allocated_bytes, 5 * page());
    old.copy_in(99, b"x").unwrap();
    assert_eq!(new.read_value::<u8>(99).unwrap(), b'x');
}

/// Role, with the arguments directory and whether to go by a temporary name: creates until it is killed.
/// Every other birth fails at its end.
pub(crate) fn create_for_ever(arguments: &[String]) {
    let [directory, temporary] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    let name = Name::new("born").unwrap();
    peer::say("begins");
    for round in 0_u64.. {
        let created = options.create_with(&name, page(), |region| {
            (0..page_bytes()).step_by(8).try_for_each(|offset| region.write_value(offset, &!round))?;
            if round % 2 == 0 { Ok(()) } else { Err(Error::ReadOnly) }
        });
        assert_eq!(created.is_ok(), round % 2 == 0, "{created:?}");
        if created.is_ok() {
            options.unlink(&name).unwrap();
        }
    }
}

fn a_killed_creator_leaves_nothing() {
    for round in 0_u32..200 {
        let temporary = round % 2 == 1;
        let scratch = Scratch::private();
        let mut creator = Peer::start("create for ever", &[scratch.directory(), &temporary.to_string()]);
        creator.expect("begins");
        // A moment at random; which one decides nothing.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 37 % 2000));
        creator.kill();
        let options = scratch.options().temporary_name(temporary);
        let born = scratch.name("born");
        if !temporary {
            // Nothing but, possibly, the complete object; not even for a moment.
            assert!(scratch.listing().iter().all(|name| name == "born"), "{:?}", scratch.listing());
        }
        let another = scratch.name("another");
        options.create(&another, page()).unwrap();
        options.unlink(&another).unwrap();
        if let Ok(object) = options.open(&born, Access::ReadOnly) {
            let region = object.map(Access::ReadOnly).unwrap();
            let values = (0..page_bytes()).step_by(8).map(|offset| region.read_value::<u64>(offset).unwrap());
            let values: std::collections::BTreeSet<u64> = values.collect();
            assert!(values.len() == 1 && !values.contains(&0), "half-made: {values:?}");
            options.remove(&born, Removal::IfUnused, |_| Ok::<(), Error>(())).unwrap();
        }
        assert_eq!(scratch.listing(), [""; 0], "round {round}");
    }
}

/// Where a file system can not rename without replacing, a creator may be killed with its object
/// complete, named, and still linked to the temporary name.
fn a_birth_that_was_cut_short_is_finished_by_the_opener() {
    let scratch = Scratch::private();
    let (name, options) = (scratch.name("born"), scratch.options());
    let object = options.create(&name, page()).unwrap();
    let temporary = std::path::Path::new(scratch.directory()).join(".shmring-birth-1-dead");
    std::fs::hard_link(scratch.path(&name), &temporary).unwrap();
    assert_eq!(object.stat().unwrap().links, 2);
    options.open(&name, Access::ReadOnly).unwrap();
    assert_eq!((object.stat().unwrap().links, scratch.listing()), (1, vec!["born".to_owned()]));
}

/// Role, with the arguments directory, name, and how many descriptors are left to it.
pub(crate) fn create_without_descriptors(arguments: &[String]) {
    let [directory, name, spare] = arguments else { panic!("{arguments:?}") };
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1; // without the reading one
    // A creator that tries again for ever would fill the memory.
    setrlimit(Resource::Cpu, Rlimit { current: Some(5), maximum: Some(5) }).unwrap();
    let limit = open + spare.parse::<u64>().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let options = scratch::options_in(directory).temporary_name(true);
    let created = options.create(&Name::new(name).unwrap(), page());
    peer::say(if created.is_ok() { "created" } else { "refused" });
    if let Err(error) = created {
        assert!(error.to_string().contains("Too many open files"), "{error}");
    }
}

fn a_creator_out_of_descriptors_leaves_nothing() {
    let mut answers = Vec::new();
    for spare in 0..8 {
        let scratch = Scratch::private();
        let name = scratch.name("born");
        let arguments = [scratch.directory(), name.as_str(), &spare.to_string()];
        let mut creator = Peer::start("create without descriptors", &arguments);
        answers.push(creator.hear());
        creator.finish();
        let expected: &[&str] = if answers[spare] == "created" { &["born"] } else { &[] };
        assert_eq!(scratch.listing(), expected, "{spare} descriptors");
    }
    assert!(answers[0] == "refused" && answers[7] == "created", "{answers:?}");
}

/// Role, with the arguments directory and name: answers each event with one.
pub(crate) fn echo_events(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let name = Name::new(name).unwrap();
    let region = scratch::options_in(directory).open(&name, Access::ReadWrite).unwrap();
    let region = region.map(Access::ReadWrite).unwrap();
    let (questions, answers) = (Listener::new(&region, 0).unwrap(), Event::new(&region, 128).unwrap());
    let question = region.read_word::<u64>(256).unwrap();
    let answer = region.word::<u64>(264).unwrap();
    peer::say("listens");
    for round in 1..=ROUNDS {
        await_count(&questions, round);
        answer.store(question.load(Ordering::Relaxed) * 3, Ordering::Relaxed); // ordered by the counts
        answers.signal().unwrap();
    }
    peer::stay();
}

const ROUNDS: u32 = 2000;

/// With no deadline: a lost wake-up hangs, and the fuse tells.
fn await_count(listener: &Listener, count: u32) {
    while listener.count() != count {
        listener.wait(count - 1, Deadline::NEVER).unwrap();
    }
}

fn no_wake_up_is_lost_between_processes() {
    let scratch = Scratch::private();
    let name = scratch.name("events");
    let region = scratch.options().create(&name, page()).unwrap().map(Access::ReadWrite).unwrap();
    let mut echo = Peer::start("echo events", &[scratch.directory(), name.as_str()]);
    echo.expect("listens");
    let (questions, answers) = (Event::new(&region, 0).unwrap(), Listener::new(&region, 128).unwrap());
    let question = region.word::<u64>(256).unwrap();
    let answer = region.read_word::<u64>(264).unwrap();
    let fuse = Deadline::after(shm_tests::FUSE);
    for round in 1..=ROUNDS {
        question.store(u64::from(round), Ordering::Relaxed); // ordered by the counts
        questions.signal().unwrap();
        while answers.count() != round {
            answers.wait(round - 1, fuse).unwrap();
            assert!(!fuse.has_passed(), "no answer in round {round}");
        }
        assert_eq!(answer.load(Ordering::Relaxed), u64::from(round) * 3); // ordered by the counts
    }
    echo.finish();
}
