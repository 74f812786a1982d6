//! Descriptors that go from process to process, and what their receiver makes of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shm_core::seal::{self, Expectation};
use shm_core::{Access, Deadline, Error, Memfd, Object, Seals, lock, pass};
use shm_tests::{FUSE, Peer, Scratch, Test, peer, tests};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_receiver_refuses_what_it_can_not_trust,
        a_receiver_shares_memory_and_has_locks_of_its_own,
        a_receiver_without_room_keeps_nothing,
    ]
}

const BYTES: u64 = 1 << 17; // two pages or more
const LAST: usize = (1 << 17) - 1;

fn soon() -> Deadline {
    Deadline::after(FUSE)
}

/// A peer in a role whose argument is the path of a socket, with the socket to it.
fn meet(role: &str) -> (Scratch, Peer, UnixStream) {
    let scratch = Scratch::private();
    let path = scratch.path(&scratch.name("socket"));
    let listener = UnixListener::bind(&path).unwrap();
    let peer = Peer::start(role, &[path.to_str().unwrap()]);
    let socket = listener.accept().unwrap().0;
    (scratch, peer, socket)
}

/// Role, with the argument path of a socket: takes one descriptor for each byte that it hears, as long as each is what
/// was agreed, and says what it makes of it.
pub(crate) fn judge_descriptors(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    pass::identify_senders(&socket).unwrap();
    peer::say("ready");
    loop {
        let received = match pass::receive(&socket, &mut [0], 1, soon()) {
            Ok(received) => received,
            Err(Error::PeerClosed) => return,
            Err(error) => {
                peer::say(&format!("refused: {error}"));
                continue;
            }
        };
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        assert_eq!(received.sender.unwrap().pid, parent);
        let descriptor = received.descriptors.into_iter().next().unwrap();
        if let Err(error) = Expectation::new(BYTES).verify(&descriptor, "what came") {
            peer::say(&format!("refused: {error}"));
            continue;
        }
        let object = Object::from_descriptor(descriptor, "what came").unwrap();
        let region = object.map(Access::ReadOnly).unwrap();
        assert!(lock::try_lock(&object, 7, lock::Lock::Shared).unwrap());
        peer::say(&format!("taken: {}", region.read_value::<u8>(LAST).unwrap()));
        assert_eq!(peer::listen().as_deref(), Some("on"));
    }
}

fn a_receiver_refuses_what_it_can_not_trust() {
    let (scratch, mut judge, socket) = meet("judge descriptors");
    judge.expect("ready");
    let mut refused = |descriptors: &[BorrowedFd<'_>], reason: &str| {
        pass::send(&socket, b"x", descriptors, soon()).unwrap();
        let answer = judge.hear();
        assert!(answer.starts_with("refused: ") && answer.contains(reason), "{answer}, not {reason}");
    };
    let memfd = |bytes, seals| {
        let object = Memfd::new("sent").create(bytes).unwrap();
        if seals != Seals::NONE {
            seal::apply(&object, seals, "sent").unwrap();
        }
        object
    };
    let safe = Seals::RECEIVER_SAFE;
    refused(&[memfd(BYTES, Seals::NONE).as_fd()], "lacks the seals SHRINK|GROW|FUTURE_WRITE|SEAL");
    let half = Seals::SHRINK | Seals::GROW;
    refused(&[memfd(BYTES, half).as_fd()], "lacks the seals FUTURE_WRITE|SEAL");
    refused(&[memfd(BYTES, half | Seals::SEAL).as_fd()], "lacks the seals FUTURE_WRITE");
    refused(&[memfd(BYTES, half | Seals::FUTURE_WRITE).as_fd()], "lacks the seals SEAL");
    refused(&[memfd(BYTES - 1, safe).as_fd()], &format!("has {} bytes where {BYTES} were agreed", BYTES - 1));
    refused(&[memfd(BYTES + 1, safe).as_fd()], &format!("has {} bytes where {BYTES} were agreed", BYTES + 1));
    let holes = Memfd::new("holes").create(1).unwrap();
    rustix::fs::ftruncate(&holes, BYTES).unwrap();
    seal::apply(&holes, safe, "holes").unwrap();
    refused(&[holes.as_fd()], &format!("{} of {BYTES} bytes are there", crate::page()));
    let named = scratch.options().create(&scratch.name("named"), BYTES).unwrap();
    refused(&[named.as_fd()], "lacks the seals SHRINK|GROW|FUTURE_WRITE");
    let file = std::fs::File::open("/proc/self/status").unwrap();
    refused(&[file.as_fd()], "not a memfd");
    refused(&[socket.as_fd()], "not a memfd");
    let good = memfd(BYTES, safe);
    refused(&[], "0 descriptors where 1 were agreed");
    refused(&[good.as_fd(), good.as_fd()], "2 descriptors where 1 were agreed");
    pass::send(&socket, b"x", &[good.as_fd()], soon()).unwrap();
    judge.expect("taken: 0");
    judge.tell("on");
    drop(socket);
    judge.finish();
}

fn a_receiver_shares_memory_and_has_locks_of_its_own() {
    let (_scratch, mut judge, socket) = meet("judge descriptors");
    judge.expect("ready");
    let object = Memfd::new("shared").create(BYTES).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    region.copy_in(LAST, &[42]).unwrap();
    seal::apply(&object, Seals::RECEIVER_SAFE, "shared").unwrap();
    pass::send(&socket, b"x", &[object.as_fd()], soon()).unwrap();
    judge.expect("taken: 42");
    // It locked its copy, and the sender sees another's lock: not its own.
    assert!(!lock::is_free(&object, 7).unwrap());
    assert!(!lock::try_lock(&object, 7, lock::Lock::Exclusive).unwrap());
    judge.kill();
    assert!(lock::is_free(&object, 7).unwrap());
    assert!(matches!(pass::send(&socket, b"x", &[], soon()).unwrap_err(), Error::PeerClosed));
}

/// Role, with the argument path of a socket: has no number left for a descriptor.
pub(crate) fn receive_without_room(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, old) = (open(), getrlimit(Resource::Nofile));
    let next = socket.as_fd().try_clone_to_owned().unwrap().as_raw_fd(); // the number that is free
    setrlimit(Resource::Nofile, Rlimit { current: Some(next.try_into().unwrap()), ..old }).unwrap();
    let error = pass::receive(&socket, &mut [0], 2, soon()).unwrap_err();
    setrlimit(Resource::Nofile, old).unwrap();
    assert!(matches!(error, Error::DescriptorsCut), "{error}");
    assert_eq!(open(), before);
    assert_eq!(pass::receive(&socket, &mut [0], 2, soon()).unwrap().descriptors.len(), 2);
}

fn a_receiver_without_room_keeps_nothing() {
    let (_scratch, receiver, socket) = meet("receive without room");
    let object = Memfd::new("many").create(1).unwrap();
    for _ in 0..2 {
        pass::send(&socket, b"x", &[object.as_fd(), object.as_fd()], soon()).unwrap();
    }
    receiver.finish();
}
