//! What a forked child has of its parent's objects, and what not (guarantee G13).

use rustix::process::{Resource, Rlimit, setrlimit};
use shm_core::life::{look, state};
use shm_core::lock::{self, Lock};
use shm_core::{Access, Deadline, Error, Guard, Life, LifeState, Name, Object, Region, Woken, wait_any};
use shm_tests::process::{self, Fork, await_child};
use shm_tests::{FUSE, Peer, Scratch, Test, peer, scratch, tests};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_forked_child_is_no_participant,
        a_child_of_the_bare_system_call_knows_what_it_is,
        a_child_is_whole_whenever_it_is_made,
        a_child_of_a_full_table_has_no_strangers_files,
    ]
}

/// Locks of the parent, of the child, and of nobody.
const PARENT_S: u64 = 7;
const CHILD_S: u64 = 8;
const FREE: u64 = 9;
/// Life words of the parent, of the child, and of the grandchild.
const LIVES: [usize; 3] = [64, 128, 192];

/// Role, with the arguments directory and name: takes part, forks, and stays; so does the child.
pub(crate) fn fork(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let open = || open(directory, name);
    let (guard, object) = (Guard::new(), open());
    let region = object.map(Access::ReadWrite).unwrap();
    assert!(lock::try_lock(&object, PARENT_S, Lock::Exclusive).unwrap());
    let life = Life::register(&object, LIVES[0] as u64).unwrap();
    // More than one piece of the list of descriptors has.
    let many: Vec<Object> = (0..100).map(|_| open()).collect();
    process::fork(Fork::Handled, move || {
        assert!(guard.is_forked() && !Guard::new().is_forked());
        let value = look(&region.read_word(LIVES[0]).unwrap());
        assert_eq!(state(value), LifeState::Alive);
        is_given_up(&object);
        many.iter().for_each(is_given_up);
        // The mapping that it got is the region's; that of the life word is no use to it.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.lines().filter(|line| line.ends_with(name)).count(), 1, "{maps}");
        drop((object, many, life));
        assert_eq!(look(&region.read_word(LIVES[0]).unwrap()), value, "the parent's, and untouched");

        // Its own are as good as anybody's, and not its child's.
        let (own_guard, own) = (Guard::new(), open());
        own.attend().unwrap();
        assert!(lock::try_lock(&own, CHILD_S, Lock::Exclusive).unwrap());
        let own_life = Life::register(&own, LIVES[1] as u64).unwrap();
        let grandchild = process::fork(Fork::Handled, || {
            assert!(guard.is_forked() && own_guard.is_forked() && !Guard::new().is_forked());
            is_given_up(&own);
            drop((own, own_life));
            assert!(!lock::is_free(open(), CHILD_S).unwrap());
            drop(Life::register(open(), LIVES[2] as u64).unwrap());
        });
        await_child(grandchild);
        assert!(guard.is_forked() && !own_guard.is_forked());
        peer::say("the child is there");
        while let Some(line) = peer::listen() {
            peer::say(&line);
        }
    });
    loop {
        std::thread::park();
    }
}

fn open(directory: &str, name: &str) -> Object {
    scratch::options_in(directory).open(&Name::new(name).unwrap(), Access::ReadWrite).unwrap()
}

/// A child's copy of its parent's object.
fn is_given_up(object: &Object) {
    let forked = |error: Error| assert!(matches!(error, Error::Forked { .. }), "{error}");
    forked(object.stat().unwrap_err());
    forked(object.attend().unwrap_err());
    forked(object.still_named().unwrap_err());
    forked(object.chmod(0o600).unwrap_err());
    forked(object.chown(None, None).unwrap_err());
    forked(object.resize(0).unwrap_err());
    forked(object.map(Access::ReadOnly).unwrap_err());
    forked(object.map_part(Access::ReadOnly, 0, 1).unwrap_err());
    forked(object.read_at(0, &mut [0]).unwrap_err());
    // Whoever takes the descriptor itself gets no further, and the number means nothing else meanwhile.
    let refused = lock::try_lock(object, FREE, Lock::Shared).unwrap_err().to_string();
    assert!(refused.contains("Bad file descriptor"), "{refused}");
    assert_eq!(behind(object.as_fd().as_raw_fd()), Some("/".into()));
}

/// What a descriptor's number means in this process.
fn behind(number: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
}

struct Scene {
    scratch: Scratch,
    name: Name,
    object: Object,
    region: Region,
}

fn scene() -> Scene {
    let scratch = Scratch::private();
    let name = scratch.name("object");
    let object = scratch.options().create(&name, 4096).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    Scene { scratch, name, object, region }
}

impl Scene {
    /// Until the kernel has taken a dead process's locks back.
    fn await_free(&self, byte: u64) {
        let fuse = Deadline::after(FUSE);
        while !lock::is_free(&self.object, byte).unwrap() {
            assert!(!fuse.has_passed(), "somebody still holds byte {byte}");
            std::thread::yield_now();
        }
    }

    fn life(&self, offset: usize) -> LifeState {
        state(look(&self.region.read_word(offset).unwrap()))
    }

    /// Until the life word at the offset does not say *alive*.
    fn await_mark(&self, offset: usize) {
        let (quiet, life) = (self.region.read_word(0).unwrap(), self.region.read_word(offset).unwrap());
        while state(look(&life)) == LifeState::Alive {
            let woken = wait_any((&quiet, 0), &[(&life, look(&life))], Deadline::after(FUSE)).unwrap();
            assert_eq!(woken, Woken::LookAgain);
        }
        assert_eq!(self.life(offset), LifeState::Marked);
    }
}

fn a_forked_child_is_no_participant() {
    let scene = scene();
    let mut parent = Peer::start("fork", &[scene.scratch.directory(), scene.name.as_str()]);
    parent.expect("the child is there");
    let free = |byte| lock::is_free(&scene.object, byte).unwrap();
    assert!(!free(PARENT_S) && !free(CHILD_S) && free(FREE));
    assert_eq!(LIVES.map(|at| scene.life(at)), [LifeState::Alive, LifeState::Alive, LifeState::Nobody]);
    parent.signal(rustix::process::Signal::KILL);
    scene.await_mark(LIVES[0]);
    scene.await_free(PARENT_S);
    // All that while, the child lives: it alone listens and speaks now.
    parent.tell("still there");
    parent.expect("still there");
    assert!(!free(CHILD_S));
    assert_eq!(scene.life(LIVES[1]), LifeState::Alive);
    parent.status(); // ends the child as well: it hears no more
    scene.await_mark(LIVES[1]);
    scene.await_free(CHILD_S);
}

/// Role, with the arguments directory and name: as `fork`, with no handlers.
pub(crate) fn fork_barely(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let (guard, object) = (Guard::new(), open(directory, name));
    let region = object.map(Access::ReadWrite).unwrap();
    assert!(lock::try_lock(&object, PARENT_S, Lock::Exclusive).unwrap());
    let life = Life::register(&object, LIVES[0] as u64).unwrap();
    process::fork(Fork::Bare, move || {
        assert!(guard.is_forked() && !Guard::new().is_forked());
        assert!(matches!(object.stat().unwrap_err(), Error::Forked { .. }));
        drop(life);
        assert_eq!(state(look(&region.read_word(LIVES[0]).unwrap())), LifeState::Alive);
        assert!(!open(directory, name).descriptor().as_raw_fd().is_negative());
        peer::say("the child is there");
        peer::listen();
        let number = object.as_fd().as_raw_fd();
        drop(object);
        assert_eq!(behind(number), None);
        peer::say("dropped");
        peer::stay();
    });
    loop {
        std::thread::park();
    }
}

fn a_child_of_the_bare_system_call_knows_what_it_is() {
    let scene = scene();
    let mut parent = Peer::start("fork barely", &[scene.scratch.directory(), scene.name.as_str()]);
    parent.expect("the child is there");
    parent.signal(rustix::process::Signal::KILL);
    scene.await_mark(LIVES[0]);
    // Its copy of the descriptor holds the lock until it is dropped.
    parent.tell("drop");
    parent.expect("dropped");
    scene.await_free(PARENT_S);
}

/// Role, with the arguments directory and name: forks while other threads open and close the object and register
/// life words.
pub(crate) fn fork_while_opening(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    for _ in 0..2 {
        let (directory, name) = (directory.clone(), name.clone());
        std::thread::spawn(move || {
            loop {
                drop(open(&directory, &name));
            }
        });
    }
    let object = open(directory, name);
    std::thread::spawn(move || {
        loop {
            drop(Life::register(&object, LIVES[0] as u64).unwrap());
        }
    });
    for _ in 0..500 {
        await_child(process::fork(Fork::Handled, || {
            let found = (3..64).filter_map(behind).find(|path| path.ends_with(name));
            assert_eq!(found, None);
            // Nor does it find anything locked that only its parent could unlock.
            drop(Life::register(open(directory, name), LIVES[1] as u64).unwrap());
        }));
    }
}

fn a_child_is_whole_whenever_it_is_made() {
    let scene = scene();
    Peer::start("fork while opening", &[scene.scratch.directory(), scene.name.as_str()]).finish();
}

/// Role, with the arguments directory and name: forks when not one more descriptor can be had.
pub(crate) fn fork_with_a_full_table(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let objects: Vec<Object> = (0..10).map(|_| open(directory, name)).collect();
    let limit = Rlimit { current: Some(100), maximum: Some(100) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let rest: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
    assert!(rest.len() > 50);
    await_child(process::fork(Fork::Handled, move || {
        objects.iter().for_each(is_given_up);
        drop(rest);
        // The copies' numbers stay theirs, and are closed by nobody else.
        let new: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
        objects.iter().for_each(is_given_up);
        drop(objects);
        assert!(new.iter().all(|file| behind(file.as_raw_fd()) == Some("/dev/null".into())));
    }));
}

fn a_child_of_a_full_table_has_no_strangers_files() {
    let scene = scene();
    Peer::start("fork with a full table", &[scene.scratch.directory(), scene.name.as_str()]).finish();
}
