//! Life words of real processes, and what the kernel does to them (guarantee G7).

use rustix::process::Signal;
use shm_core::life::{look, state};
use shm_core::{Access, Deadline, Life, LifeState, Name, ReadWord, Region, Woken, wait_any};
use shm_tests::{FUSE, Peer, Scratch, Test, peer, process, scratch, tests};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_sleeper_is_woken_by_a_kill,
        a_sleeper_is_woken_by_an_exit,
        a_sleeper_is_woken_by_an_abort,
        a_sleeper_is_woken_by_an_exec,
        who_leaves_leaves_zero,
        every_other_word_is_marked_when_one_has_left,
        as_many_words_as_there_may_be_are_marked,
        life_words_leave_no_mappings_behind,
        the_helper_does_not_hinder_a_change_of_user,
        no_word_of_the_killed_says_alive,
    ]
}

const BYTES: u64 = 256 << 10;
/// Where in an object the life word is, and where a word that nobody ever signals.
const LIFE: usize = 4096 + 64;
const QUIET: usize = 0;

/// Role, with the argument directory: does what it is told.
pub(crate) fn live(arguments: &[String]) {
    let [directory] = arguments else { panic!("{arguments:?}") };
    let register = |name: &str, offset: u64| {
        let name = Name::new(name).unwrap();
        // The object is closed at once: the word does not need it.
        let object = scratch::options_in(directory).open(&name, Access::ReadWrite).unwrap();
        Life::register(&object, offset)
    };
    let mut lives = Vec::new();
    while let Some(line) = peer::listen() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["register", name, offset] => lives.push(Some(register(name, offset.parse().unwrap()).unwrap())),
            ["leave", index] => drop(lives[index.parse::<usize>().unwrap()].take()),
            ["fill", name] => {
                let life = |index: u64| register(name, index * 64);
                lives.extend((0..2040).map(|index| Some(life(index).unwrap())));
                assert!(life(2040).unwrap_err().to_string().contains("at most 2040 life words"));
            }
            ["churn", name] => churn(|offset| register(name, offset).unwrap()),
            ["group"] => process::set_group_of_all_threads(),
            ["exec"] => panic!("{}", Command::new("sleep").arg("600").exec()),
            ["exit"] => std::process::exit(0),
            ["abort"] => std::process::abort(),
            _ => panic!("{line}"),
        }
        peer::say("done");
    }
}

/// A process that lives, and its object with the words.
struct Scene {
    scratch: Scratch,
    region: Region,
    name: Name,
    peer: Peer,
}

impl Scene {
    fn new() -> Self {
        let scratch = Scratch::private();
        let name = scratch.name("object");
        let region = scratch.options().create(&name, BYTES).unwrap().map(Access::ReadWrite).unwrap();
        let peer = Peer::start("live", &[scratch.directory()]);
        Self { scratch, region, name, peer }
    }

    fn order(&mut self, line: &str) {
        self.peer.tell(line);
        self.peer.expect("done");
    }

    fn state(&self, offset: usize) -> LifeState {
        state(look(&self.region.read_word(offset).unwrap()))
    }
}

/// Sleeps on the quiet word and on the life word until that is marked. Nobody looks at the time.
struct Sleeper {
    thread: std::thread::JoinHandle<()>,
    tid: i32,
}

impl Sleeper {
    fn start(region: &Region) -> Self {
        let (tell, told) = mpsc::channel();
        let words: [ReadWord<u32>; 2] = [QUIET, LIFE].map(|offset| region.read_word(offset).unwrap());
        let thread = std::thread::spawn(move || {
            let [quiet, life] = words;
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            loop {
                let value = look(&life);
                match state(value) {
                    LifeState::Marked => return,
                    found => assert_eq!(found, LifeState::Alive),
                }
                let fuse = Deadline::after(FUSE);
                let woken = wait_any((&quiet, 0), &[(&life, value)], fuse).unwrap();
                assert_eq!(woken, Woken::LookAgain, "nobody woke the sleeper");
            }
        });
        Self { tid: told.recv().unwrap(), thread }
    }

    /// Until the kernel says that it sleeps. There is one thing it sleeps in.
    fn await_asleep(&self) {
        let fuse = Deadline::after(FUSE);
        loop {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.tid)).unwrap();
            if stat.rsplit(") ").next().unwrap().starts_with('S') {
                return;
            }
            assert!(!fuse.has_passed(), "it does not fall asleep");
            std::thread::yield_now();
        }
    }
}

fn a_sleeper_is_woken_by(end: impl FnOnce(&mut Peer)) {
    let mut scene = Scene::new();
    let name = scene.name.clone();
    scene.order(&format!("register {name} {LIFE}"));
    let sleeper = Sleeper::start(&scene.region);
    sleeper.await_asleep();
    end(&mut scene.peer);
    sleeper.thread.join().unwrap();
    assert_eq!(scene.state(LIFE), LifeState::Marked);
}

fn a_sleeper_is_woken_by_a_kill() {
    for _ in 0..20 {
        a_sleeper_is_woken_by(|peer| peer.signal(Signal::KILL));
    }
}

fn a_sleeper_is_woken_by_an_exit() {
    a_sleeper_is_woken_by(|peer| peer.tell("exit"));
}

fn a_sleeper_is_woken_by_an_abort() {
    a_sleeper_is_woken_by(|peer| peer.tell("abort"));
}

fn a_sleeper_is_woken_by_an_exec() {
    a_sleeper_is_woken_by(|peer| peer.tell("exec"));
}

fn who_leaves_leaves_zero() {
    let mut scene = Scene::new();
    let name = scene.name.clone();
    scene.order(&format!("register {name} {LIFE}"));
    assert_eq!(scene.state(LIFE), LifeState::Alive);
    scene.order("leave 0");
    let value = || scene.region.read_value::<u32>(LIFE).unwrap();
    assert_eq!(value(), 0);
    scene.peer.signal(Signal::KILL);
    scene.peer.status();
    assert_eq!(value(), 0);
}

/// Two words in one page, one in another page, and one in another object, in every order of leaving.
fn every_other_word_is_marked_when_one_has_left() {
    for leaver in 0..4 {
        let mut scene = Scene::new();
        let (name, another) = (scene.name.clone(), scene.scratch.name("another"));
        let region = scene.scratch.options().create(&another, BYTES).unwrap().map(Access::ReadOnly).unwrap();
        let own = &scene.region.clone();
        let words = [(own, &name, 4096), (&region, &another, 4096), (own, &name, 4104), (own, &name, 0)];
        for (_, name, offset) in words {
            scene.order(&format!("register {name} {offset}"));
        }
        scene.order(&format!("leave {leaver}"));
        scene.peer.signal(Signal::KILL);
        scene.peer.status();
        for (index, (region, _, offset)) in words.into_iter().enumerate() {
            let expected = if index == leaver { LifeState::Nobody } else { LifeState::Marked };
            assert_eq!(state(look(&region.read_word(offset).unwrap())), expected, "{index} of {leaver}");
        }
    }
}

fn as_many_words_as_there_may_be_are_marked() {
    let mut scene = Scene::new();
    let name = scene.name.clone();
    scene.order(&format!("fill {name}"));
    assert!((0..2040).all(|index| scene.state(index * 64) == LifeState::Alive));
    scene.peer.signal(Signal::KILL);
    scene.peer.status();
    assert_eq!((0..2040).filter(|index| scene.state(index * 64) == LifeState::Marked).count(), 2040);
    assert_eq!(scene.state(2040 * 64), LifeState::Nobody);
}

/// In the role: registers and leaves a hundred times, and looks at the process's mappings.
fn churn(register: impl Fn(u64) -> Life) {
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap();
    drop(register(0)); // makes the helper and its reservation
    let before = mappings();
    for round in 0..25 {
        let [first, second, third, fourth] = [0, 8, 4096, 8192].map(|offset| register(offset + round * 16));
        drop((second, third, first, fourth));
    }
    let after = mappings();
    assert_eq!(before.lines().count(), after.lines().count(), "before:\n{before}\nafter:\n{after}");
}

fn life_words_leave_no_mappings_behind() {
    let mut scene = Scene::new();
    let name = scene.name.clone();
    scene.order(&format!("churn {name}"));
}

fn the_helper_does_not_hinder_a_change_of_user() {
    let mut scene = Scene::new();
    let name = scene.name.clone();
    scene.order(&format!("register {name} {LIFE}"));
    scene.order("group");
    assert_eq!(scene.state(LIFE), LifeState::Alive);
}

/// Role, with the arguments directory and name: comes and goes until it is killed.
pub(crate) fn live_for_ever(arguments: &[String]) {
    let [directory, name] = arguments else { panic!("{arguments:?}") };
    let name = Name::new(name).unwrap();
    let object = scratch::options_in(directory).open(&name, Access::ReadWrite).unwrap();
    let _always = Life::register(&object, 8192).unwrap();
    peer::say("begins");
    loop {
        drop([0, 8, 4096].map(|offset| Life::register(&object, offset).unwrap()));
    }
}

fn no_word_of_the_killed_says_alive() {
    for round in 0_u64..100 {
        let scratch = Scratch::private();
        let name = scratch.name("object");
        let region = scratch.options().create(&name, BYTES).unwrap().map(Access::ReadOnly).unwrap();
        let mut peer = Peer::start("live for ever", &[scratch.directory(), name.as_str()]);
        peer.expect("begins");
        // A moment at random; which one decides nothing.
        std::thread::sleep(std::time::Duration::from_micros(round * 37 % 2000));
        peer.kill();
        let state = |offset| state(look(&region.read_word(offset).unwrap()));
        assert_eq!(state(8192), LifeState::Marked);
        assert!([0, 8, 4096].into_iter().all(|offset| state(offset) != LifeState::Alive), "round {round}");
    }
}
