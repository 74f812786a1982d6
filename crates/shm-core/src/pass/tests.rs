//! Both ends in one process; what concerns several is tested between several.

use super::*;
use rustix::net::{SocketFlags, socketpair};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Held by tests that open hundreds of descriptors: a process may have no more than 1,024.
static HUNDREDS: Mutex<()> = Mutex::new(());

const KINDS: [SocketType; 3] = [SocketType::STREAM, SocketType::SEQPACKET, SocketType::DGRAM];

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// A pipe of its own: whether its writing end is open anywhere can be seen at its reading end.
struct Canary {
    reader: OwnedFd,
}

impl Canary {
    /// With the writing end.
    fn new() -> (Self, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        (Self { reader }, writer)
    }

    fn is_open(&self) -> bool {
        let mut ready = [PollFd::new(&self.reader, PollFlags::IN)];
        poll(&mut ready, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        !ready[0].revents().contains(PollFlags::HUP)
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

#[test]
fn descriptors_arrive_in_order() {
    let _alone = HUNDREDS.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        for count in [0, 1, 2, 3, DESCRIPTORS_MAX] {
            let files: Vec<_> = (0..count).map(|_| Canary::new()).collect();
            let descriptors: Vec<_> = files.iter().map(|(canary, _)| canary.reader.as_fd()).collect();
            send(&ours, b"payload", &descriptors, soon()).unwrap();
            let mut payload = [0; 7];
            let received = receive(&theirs, &mut payload, count, soon()).unwrap();
            assert_eq!((&payload, received.sender), (b"payload", None));
            let inode = |file: BorrowedFd<'_>| rustix::fs::fstat(file).unwrap().st_ino;
            assert_eq!(received.descriptors.len(), count);
            for (sent, got) in descriptors.iter().zip(&received.descriptors) {
                assert_eq!(inode(*sent), inode(got.as_fd()));
                let flags = rustix::io::fcntl_getfd(got).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
        }
    }
}

#[test]
fn another_number_of_descriptors_is_refused_and_none_is_kept() {
    let _alone = HUNDREDS.lock().unwrap_or_else(PoisonError::into_inner);
    let _closed = crate::fork::alone::nobody_starts();
    for kind in KINDS {
        for (sent, expected) in [(1, 0), (2, 1), (3, 1), (20, 1), (253, 2), (0, 1), (1, 2), (2, 253)] {
            let (ours, theirs) = pair(kind);
            let (canaries, writers): (Vec<_>, Vec<_>) = (0..sent).map(|_| Canary::new()).unzip();
            let descriptors: Vec<_> = writers.iter().map(AsFd::as_fd).collect();
            send(&ours, b"x", &descriptors, soon()).unwrap();
            drop(writers);
            assert!(canaries.iter().all(Canary::is_open), "they are on their way");
            let error = receive(&theirs, &mut [0], expected, soon()).unwrap_err();
            match error {
                Error::WrongMessage { what: "descriptors", expected: told, found } => {
                    assert_eq!((told, found), (expected, sent));
                }
                // More than there was room for.
                Error::DescriptorsCut => assert!(sent > expected),
                error => panic!("{error}"),
            }
            assert!(!canaries.iter().any(Canary::is_open), "{sent} for {expected}: one was kept");
        }
    }
}

#[test]
fn descriptors_that_come_late_in_a_stream_are_counted() {
    let _closed = crate::fork::alone::nobody_starts();
    let (ours, theirs) = pair(SocketType::STREAM);
    let (canary, writer) = Canary::new();
    send(&ours, b"ab", &[], soon()).unwrap();
    send(&ours, b"cd", &[writer.as_fd()], soon()).unwrap();
    drop(writer);
    let error = receive(&theirs, &mut [0; 4], 0, soon()).unwrap_err();
    assert!(matches!(error, Error::WrongMessage { .. } | Error::DescriptorsCut), "{error}");
    assert!(!canary.is_open());
}

#[test]
fn another_length_is_refused() {
    let _closed = crate::fork::alone::nobody_starts();
    for kind in [SocketType::SEQPACKET, SocketType::DGRAM] {
        for sent in [b"a".as_slice(), b"abc"] {
            let (ours, theirs) = pair(kind);
            let (canary, writer) = Canary::new();
            send(&ours, sent, &[writer.as_fd()], soon()).unwrap();
            drop(writer);
            let error = receive(&theirs, &mut [0; 2], 1, soon()).unwrap_err();
            assert!(
                matches!(error, Error::WrongMessage { what: "bytes", expected: 2, found } if found == sent.len()),
                "{error}"
            );
            assert!(!canary.is_open());
        }
    }
    // A stream has no messages: what is there already is taken, and the rest awaited.
    let (ours, theirs) = pair(SocketType::STREAM);
    send(&ours, b"a", &[], soon()).unwrap();
    assert!(matches!(receive(&theirs, &mut [0; 2], 0, now()).unwrap_err(), Error::TimedOut { .. }));
}

#[test]
fn long_messages_fill_a_stream_and_arrive_whole() {
    let (ours, theirs) = pair(SocketType::STREAM);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|index| (index / 7).to_le_bytes()[0]).collect();
    let (canary, writer) = Canary::new();
    std::thread::scope(|threads| {
        threads.spawn(|| send(&ours, &sent, &[writer.as_fd()], soon()).unwrap());
        let mut payload = vec![0; sent.len()];
        assert_eq!(receive(&theirs, &mut payload, 1, soon()).unwrap().descriptors.len(), 1);
        assert!(payload == sent);
    });
    assert!(canary.is_open());
    let error = send(&ours, &sent, &[], now()).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
}

#[test]
fn senders_are_told_who_they_are() {
    let me = Credentials {
        pid: Some(std::process::id()),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        identify_senders(&theirs).unwrap();
        let (_canary, writer) = Canary::new();
        send(&ours, b"x", &[writer.as_fd()], soon()).unwrap();
        let received = receive(&theirs, &mut [0], 1, soon()).unwrap();
        assert_eq!((received.sender, received.descriptors.len()), (Some(me), 1));
        assert_eq!(peer(&theirs).unwrap(), me);
    }
}

#[test]
fn ends_are_told() {
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let (ours, theirs) = pair(kind);
        assert!(matches!(receive(&theirs, &mut [0], 0, now()).unwrap_err(), Error::TimedOut { .. }));
        drop(ours);
        assert!(matches!(receive(&theirs, &mut [0], 0, soon()).unwrap_err(), Error::PeerClosed));
        assert!(matches!(send(&theirs, b"x", &[], soon()).unwrap_err(), Error::PeerClosed));
    }
}

#[test]
fn what_can_not_be_sent_is_told() {
    let (ours, _theirs) = pair(SocketType::STREAM);
    let many = vec![ours.as_fd(); DESCRIPTORS_MAX + 1];
    assert!(matches!(send(&ours, b"x", &many, soon()).unwrap_err(), Error::WrongMessage { .. }));
    assert!(matches!(send(&ours, b"", &[], soon()).unwrap_err(), Error::WrongMessage { .. }));
    assert!(matches!(receive(&ours, &mut [], 0, soon()).unwrap_err(), Error::WrongMessage { .. }));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    for wrong in [listener.as_fd(), reader.as_fd()] {
        assert!(matches!(send(wrong, b"x", &[], soon()).unwrap_err(), Error::WrongDescriptor { .. }));
        assert!(matches!(peer(wrong).unwrap_err(), Error::WrongDescriptor { .. }));
    }
}
