//! What whoever holds the descriptor of a sealed object can not do to it (guarantee G3). Each attack is also tried on
//! an object without seals, where it succeeds: otherwise its failure would say nothing.

use rustix::fs::{CWD, Mode, OFlags, openat};
use shm_core::seal::{self, Expectation};
use shm_core::{Access, Deadline, Memfd, Object, Region, Seals, pass};
use shm_tests::attack::{ATTACKS, adopt};
use shm_tests::{FUSE, Peer, Scratch, Test, peer, process, tests};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![a_receiver_changes_nothing, the_owner_goes_on_writing, nobody_changes_what_is_frozen]
}

const BYTES: u64 = 4 * 4096;
const LENGTH: usize = 4 * 4096;

fn soon() -> Deadline {
    Deadline::after(FUSE)
}

/// Role, with the argument path of a socket: tries one attack for each descriptor that is sent, and says how it went.
pub(crate) fn attack(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    let mut number = [0];
    while let Ok(received) = pass::receive(&socket, &mut number, 1, soon()) {
        let (_, attack, _) = ATTACKS[usize::from(number[0])];
        let file = received.descriptors.into_iter().next().unwrap();
        match attack(file) {
            Ok(()) => peer::say("done"),
            Err(reason) => peer::say(&format!("refused: {reason}")),
        }
    }
}

/// An attacker with the socket to it.
struct Attacker {
    peer: Peer,
    socket: UnixStream,
    _scratch: Scratch,
}

impl Attacker {
    fn start() -> Self {
        let scratch = Scratch::private();
        let path = scratch.path(&scratch.name("socket"));
        let listener = UnixListener::bind(&path).unwrap();
        let peer = Peer::start("attack", &[path.to_str().unwrap()]);
        let socket = listener.accept().unwrap().0;
        assert_eq!(pass::peer(&socket).unwrap().pid, Some(peer.pid()));
        Self { peer, socket, _scratch: scratch }
    }

    /// What becomes of an attack.
    fn attack(&mut self, number: usize, file: impl AsFd) -> String {
        let number = u8::try_from(number).unwrap();
        pass::send(&self.socket, &[number], &[file.as_fd()], soon()).unwrap();
        self.peer.hear()
    }

    fn finish(self) {
        drop(self.socket);
        self.peer.finish();
    }
}

fn content(region: &Region) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    region.copy_out(0, &mut bytes).unwrap();
    bytes
}

fn filled() -> (Object, Region) {
    let object = Memfd::new("attacked").create(BYTES).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    region.copy_in(0, &[7; LENGTH]).unwrap();
    (object, region)
}

/// A descriptor of the same object, for reading only, as a careful owner would send it.
fn for_reading(object: &Object) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn a_receiver_changes_nothing() {
    let mut attacker = Attacker::start();
    for (number, (name, _, succeeds)) in ATTACKS.into_iter().enumerate() {
        let (open, _region) = filled();
        let answer = attacker.attack(number, &open);
        assert_eq!(answer == "done", succeeds, "{name}, without seals: {answer}");
        for for_reading_only in [false, true] {
            let (object, region) = filled();
            seal::apply(&object, Seals::RECEIVER_SAFE, "attacked").unwrap();
            let sent = if for_reading_only {
                for_reading(&object)
            } else {
                object.as_fd().try_clone_to_owned().unwrap()
            };
            Expectation::new(BYTES).verify(&sent, "sent").unwrap();
            let answer = attacker.attack(number, &sent);
            assert!(answer.starts_with("refused: "), "{name}: {answer}");
            let stat = object.stat().unwrap();
            assert_eq!((stat.bytes, stat.allocated_bytes), (BYTES, BYTES), "{name}");
            assert_eq!(content(&region), [7; LENGTH], "{name}");
            Expectation::new(BYTES).verify(&sent, "sent").unwrap();
        }
    }
    attacker.finish();
}

fn the_owner_goes_on_writing() {
    let (object, region) = filled();
    seal::apply(&object, Seals::RECEIVER_SAFE, "owned").unwrap();
    let receiver = adopt(for_reading(&object)).map(Access::ReadOnly).unwrap();
    region.copy_in(LENGTH - 5, b"still").unwrap();
    assert_eq!(receiver.read_value::<[u8; 5]>(LENGTH - 5).unwrap(), *b"still");
    assert!(process::remove_pages(&region).is_err(), "not even its owner punches holes");
    drop(region);
    assert!(object.map(Access::ReadWrite).is_err(), "nobody maps it for writing again");
}

fn nobody_changes_what_is_frozen() {
    let mut attacker = Attacker::start();
    let (object, region) = filled();
    drop(region);
    seal::apply(&object, Seals::FROZEN, "frozen").unwrap();
    for (number, (name, ..)) in ATTACKS.into_iter().enumerate() {
        let answer = attacker.attack(number, &object);
        assert!(answer.starts_with("refused: "), "{name}: {answer}");
    }
    assert_eq!(content(&object.map(Access::ReadOnly).unwrap()), [7; LENGTH]);
    attacker.finish();
}
