//! Many processes on one name at the same time (guarantees G1 and G12).

use shm_core::{Access, Birth, Deadline, Error, Event, Listener, Name, Object, Options, Region, Removal};
use shm_tests::{Peer, Scratch, Test, peer, scratch, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        one_of_a_hundred_creates,
        one_of_a_hundred_creates_by_temporary_name,
        a_fresh_object_in_use_is_never_removed,
        a_fresh_object_in_use_is_never_removed_by_temporary_name,
        what_is_removed_is_what_was_checked,
    ]
}

const RACERS: usize = 100;
const ROUNDS: u32 = 20;
const WORDS: usize = 1024;
const BYTES: u64 = WORDS as u64 * 8;

/// Fills an object slowly, in two halves, with words that no other creator writes.
fn fill(region: &Region) -> shm_core::Result<()> {
    let stamp = u64::from(std::process::id()) << 32;
    for word in 0..WORDS {
        region.write_value(word * 8, &(stamp | word as u64))?;
        if word == WORDS / 2 {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// What is wrong with an object that somebody else filled.
fn fault(object: &Object) -> Option<String> {
    let region = match object.map(Access::ReadWrite) {
        Ok(region) => region,
        Err(error) => return Some(error.to_string()),
    };
    if region.bytes() as u64 != BYTES {
        return Some(format!("{} bytes", region.bytes()));
    }
    let word = |index: usize| region.read_value::<u64>(index * 8).unwrap();
    let stamp = word(0);
    let wrong = (0..WORDS).find(|&index| stamp == 0 || word(index) != stamp | index as u64);
    wrong.map(|index| format!("word {index} is {:x} after {stamp:x}", word(index)))
}

/// Opens the object, or creates it filled.
fn open_or_create_filled(options: &Options, name: &Name) -> shm_core::Result<(Object, Birth)> {
    // Odd processes try to create first, so that both orders race.
    let mut create = std::process::id() % 2 == 1;
    loop {
        if create {
            match options.create_with(name, BYTES, fill) {
                Err(Error::AlreadyExists { .. }) => {}
                other => return other.map(|object| (object, Birth::Created)),
            }
        }
        match options.open(name, Access::ReadWrite) {
            Err(Error::NotFound { .. }) => create = true,
            other => return other.map(|object| (object, Birth::Opened)),
        }
    }
}

/// Role, with the arguments directory, name of the starting gun's object, and whether to go by a
/// temporary name.
pub(crate) fn race_to_create(arguments: &[String]) {
    let [directory, gun, temporary] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    let gun = options.open(&Name::new(gun).unwrap(), Access::ReadOnly).unwrap();
    let shots = Listener::new(&gun.map(Access::ReadOnly).unwrap(), 0).unwrap();
    peer::say("ready");
    for round in 0..ROUNDS {
        while shots.count() == round {
            shots.wait(round, Deadline::NEVER).unwrap();
        }
        let name = Name::new(&format!("round-{round}")).unwrap();
        match open_or_create_filled(&options, &name) {
            Ok((_, Birth::Created)) => peer::say("created"),
            Ok((object, Birth::Opened)) => peer::say(fault(&object).as_deref().unwrap_or("opened")),
            Err(error) => peer::say(&error.to_string()),
        }
    }
    peer::stay();
}

fn one_of_a_hundred_creates() {
    race(false);
}

fn one_of_a_hundred_creates_by_temporary_name() {
    race(true);
}

fn race(temporary: bool) {
    let scratch = Scratch::private();
    let gun = scratch.name("gun");
    let object = scratch.options().create(&gun, 4096).unwrap();
    let shots = Event::new(&object.map(Access::ReadWrite).unwrap(), 0).unwrap();
    let arguments = [scratch.directory(), gun.as_str(), &temporary.to_string()];
    let mut racers: Vec<Peer> = (0..RACERS).map(|_| Peer::start("race to create", &arguments)).collect();
    racers.iter_mut().for_each(|racer| racer.expect("ready"));
    for round in 0..ROUNDS {
        let name = scratch.name(&format!("round-{round}"));
        shots.signal().unwrap();
        let mut answers: Vec<String> = racers.iter_mut().map(Peer::hear).collect();
        answers.sort();
        answers.dedup_by(|later, first| later == first && first == "opened");
        assert_eq!(answers, ["created", "opened"], "round {round}");
        assert_eq!(scratch.listing(), ["gun".to_owned(), name.to_string()]);
        scratch.options().unlink(&name).unwrap();
    }
    racers.into_iter().for_each(Peer::finish);
}

/// Keeps the processor, so that a race is tight; gives it away where there is only one.
fn spin() {
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        std::thread::yield_now();
    }
}

/// Role, with the arguments directory, name of the flag's object, and name: removes what is unused,
/// until told to stop.
pub(crate) fn remove_for_ever(arguments: &[String]) {
    let [directory, flag, name] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory);
    let flag = options.open(&Name::new(flag).unwrap(), Access::ReadOnly).unwrap();
    let stop = Listener::new(&flag.map(Access::ReadOnly).unwrap(), 0).unwrap();
    let name = Name::new(name).unwrap();
    let mut removed = 0;
    while stop.count() == 0 {
        match options.remove(&name, Removal::IfUnused, |_| Ok::<(), Error>(())) {
            Ok(()) => removed += 1,
            Err(Error::NotFound { .. } | Error::InUse { .. } | Error::Busy { .. }) => spin(),
            Err(error) => panic!("{error}"),
        }
    }
    peer::say(&format!("removed {removed}"));
    peer::stay();
}

const LIVES: u32 = 2000;

/// Role, with the arguments directory, name, and whether to go by a temporary name: gives the name to
/// one object after the other, and looks whether it keeps it while it is in use.
pub(crate) fn re_create(arguments: &[String]) {
    let [directory, name, temporary] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    let name = Name::new(name).unwrap();
    for life in 0..LIVES {
        let object = loop {
            match options.create(&name, 4096) {
                Ok(object) => break object,
                Err(Error::AlreadyExists { .. }) => {} // not removed yet: take it over, if that is possible
                Err(error) => panic!("life {life}: {error}"),
            }
            match options.open(&name, Access::ReadOnly) {
                Ok(object) if object.attend().is_ok() => break object,
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => panic!("life {life}: {error}"),
            }
        };
        // Attended now, and until it is dropped: the name means this very object.
        for _ in 0..5 {
            object.still_named().unwrap();
            let named = options.open(&name, Access::ReadOnly).unwrap();
            assert_eq!(named.stat().unwrap().inode, object.stat().unwrap().inode, "life {life}");
            std::thread::yield_now();
        }
        // Now and then left to the removers, so that there is a race whatever the scheduler does.
        drop(object);
        while life % 4 == 0 && options.open(&name, Access::ReadOnly).is_ok() {
            std::thread::yield_now();
        }
    }
    peer::say("lived");
    peer::stay();
}

fn a_fresh_object_in_use_is_never_removed() {
    removal_race(false);
}

fn a_fresh_object_in_use_is_never_removed_by_temporary_name() {
    removal_race(true);
}

fn removal_race(temporary: bool) {
    let scratch = Scratch::private();
    let (name, flag) = (scratch.name("contested"), scratch.name("flag"));
    let object = scratch.options().create(&flag, 4096).unwrap();
    let stop = Event::new(&object.map(Access::ReadWrite).unwrap(), 0).unwrap();
    let arguments = [scratch.directory(), flag.as_str(), name.as_str()];
    let mut removers: Vec<Peer> = (0..2).map(|_| Peer::start("remove", &arguments)).collect();
    let mut creator = Peer::start("re-create", &[scratch.directory(), name.as_str(), &temporary.to_string()]);
    creator.expect("lived");
    stop.signal().unwrap();
    let removed: Vec<u32> = removers
        .iter_mut()
        .map(|remover| remover.hear().strip_prefix("removed ").unwrap().parse().unwrap())
        .collect();
    assert!(removed.iter().sum::<u32>() >= LIVES / 4, "{removed:?}");
    removers.into_iter().chain([creator]).for_each(Peer::finish);
    let _ = scratch.options().unlink(&name);
    assert_eq!(scratch.listing(), ["flag"]);
}

const NUMBERS: u32 = 400;

/// Role, with the arguments directory and name: gives the name to numbered objects, one after the other.
pub(crate) fn create_numbered(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let (options, name) = (scratch::options_in(directory), Name::new(name).unwrap());
    for number in 0..NUMBERS {
        let numbered = || options.create_with(&name, 4096, |region| region.write_value(0, &number));
        while let Err(error) = numbered() {
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
            std::thread::yield_now();
        }
    }
    peer::say("created");
    peer::stay();
}

/// Role, with the arguments directory, name of the flag's object, and name: removes whatever is there, and
/// tells the numbers of what it has looked at and removed.
pub(crate) fn remove_numbered(arguments: &[String]) {
    let [directory, flag, name] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory);
    let flag = options.open(&Name::new(flag).unwrap(), Access::ReadOnly).unwrap();
    let stop = Listener::new(&flag.map(Access::ReadOnly).unwrap(), 0).unwrap();
    let name = Name::new(name).unwrap();
    let mut removed = Vec::new();
    while stop.count() == 0 {
        let mut number = 0_u32;
        let result = options.remove(&name, Removal::Always, |object| {
            number = object.map(Access::ReadOnly)?.read_value(0)?;
            // Between the look at the name and its removal: a good moment for others.
            std::thread::yield_now();
            Ok::<(), Error>(())
        });
        match result {
            Ok(()) => removed.push(number.to_string()),
            Err(Error::NotFound { .. } | Error::Busy { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    peer::say(&removed.join(" "));
    peer::stay();
}

fn what_is_removed_is_what_was_checked() {
    let scratch = Scratch::private();
    let (name, flag) = (scratch.name("numbered"), scratch.name("flag"));
    let object = scratch.options().create(&flag, 4096).unwrap();
    let stop = Event::new(&object.map(Access::ReadWrite).unwrap(), 0).unwrap();
    let arguments = [scratch.directory(), flag.as_str(), name.as_str()];
    let mut removers: Vec<Peer> = (0..3).map(|_| Peer::start("remove numbered", &arguments)).collect();
    let mut creator = Peer::start("create numbered", &[scratch.directory(), name.as_str()]);
    creator.expect("created");
    stop.signal().unwrap();
    let told: Vec<String> = removers.iter_mut().map(Peer::hear).collect();
    let mut removed: Vec<u32> =
        told.iter().flat_map(|line| line.split_whitespace()).map(|number| number.parse().unwrap()).collect();
    removed.sort_unstable();
    // The last one may have outlived the removers.
    if scratch.options().unlink(&name).is_ok() {
        removed.push(NUMBERS - 1);
    }
    assert!(removed.iter().copied().eq(0..NUMBERS), "removed twice, or unseen: {removed:?}");
    removers.into_iter().chain([creator]).for_each(Peer::finish);
}
