//! What whoever holds the descriptor of a sealed object can not do to it (guarantee G3). Each attack is also tried on
//! an object without seals, where it succeeds: otherwise its failure would say nothing.

use rustix::fs::{
    CWD, FallocateFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, openat,
};
use shm_core::seal::{self, Expectation};
use shm_core::{Access, Deadline, MapOptions, Memfd, Object, Protection, Region, Seals, pass};
use shm_tests::{FUSE, Peer, Scratch, Test, peer, process, tests};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![a_receiver_changes_nothing, the_owner_goes_on_writing, nobody_changes_what_is_frozen]
}

const BYTES: u64 = 4 * 4096;
const LENGTH: usize = 4 * 4096;

/// `Err` when it was refused.
type Attack = fn(OwnedFd) -> Result<(), String>;

/// With whether an object without seals is a victim of it.
const ATTACKS: [(&str, Attack, bool); 13] = [
    ("map it for writing", map_for_writing, true),
    ("open it anew and map that for writing", open_anew, true),
    ("write", |file| told(rustix::io::pwrite(&file, b"attack", 0).map(drop)), true),
    ("splice", splice, true),
    ("shrink", |file| told(ftruncate(&file, 100)), true),
    ("truncate", |file| told(ftruncate(&file, 0)), true),
    ("grow", |file| told(ftruncate(&file, 2 * BYTES)), true),
    ("grow by allocating", |file| told(fallocate(&file, FallocateFlags::empty(), BYTES, 4096)), true),
    ("punch a hole", punch_a_hole, true),
    ("remove pages of a mapping", remove_pages, true),
    ("make a mapping writable", make_writable, true),
    ("write a mapping by way of /proc", write_by_proc, false),
    ("add a seal", |file| told(fcntl_add_seals(&file, SealFlags::SHRINK)), true),
];

fn told<T, E: ToString>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn adopt(file: OwnedFd) -> Object {
    Object::from_descriptor(file, "what was sent").unwrap()
}

fn map_for_writing(file: OwnedFd) -> Result<(), String> {
    told(told(adopt(file).map(Access::ReadWrite))?.copy_in(0, b"attack"))
}

fn open_anew(file: OwnedFd) -> Result<(), String> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    map_for_writing(told(openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))?)
}

fn splice(file: OwnedFd) -> Result<(), String> {
    use rustix::pipe::{SpliceFlags, splice};
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::write(&writer, b"attack").unwrap();
    told(splice(&reader, None, &file, Some(&mut 0), 6, SpliceFlags::empty()).map(drop))
}

fn punch_a_hole(file: OwnedFd) -> Result<(), String> {
    told(fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, BYTES))
}

fn remove_pages(file: OwnedFd) -> Result<(), String> {
    let object = adopt(file);
    let region = object.map(Access::ReadWrite).or_else(|_| object.map(Access::ReadOnly)).unwrap();
    told(process::remove_pages(&region))
}

/// A mapping with all rights of the descriptor, whatever it may use of them now.
fn idle_mapping(file: OwnedFd) -> Region {
    adopt(file).map_with(&MapOptions::new(Access::Nothing)).unwrap()
}

fn make_writable(file: OwnedFd) -> Result<(), String> {
    let mut region = idle_mapping(file);
    told(region.protect(Protection::ReadWrite))?;
    told(region.copy_in(0, b"attack"))
}

fn write_by_proc(file: OwnedFd) -> Result<(), String> {
    let mut region = idle_mapping(file);
    told(region.protect(Protection::Read))?;
    let memory = std::fs::File::options().write(true).open("/proc/self/mem").unwrap();
    told(memory.write_all_at(b"attack", region.address() as u64))
}

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
