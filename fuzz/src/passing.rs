//! A receiver of messages with descriptors, whatever its peer sends.
//!
//! An input is: the kind of socket (u8), and what happens: somebody sends, the receiver receives, the peer goes.
//!
//! The rules: what was sent as it is awaited arrives as it was sent; whatever else comes is an error of those that
//! [`receive`](shm_core::pass::receive) says it has; no descriptor stays open; and what passes for sealed memory is.

use crate::input::Reader;
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create, open};
use rustix::io::IoSlice;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use shm_core::seal::{self, Expectation};
use shm_core::{Access, Deadline, Error, Memfd, Object, Seals, pass};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most things that happen.
const EVENTS_MAX: usize = 32;
/// Bytes of the memory that is sent.
const BYTES: u64 = 4096;
/// What stands in it.
const CONTENT: &[u8] = b"content";

thread_local! {
    /// Descriptors that a peer may send; the first is what it should.
    pub static OFFERED: Vec<OwnedFd> = offered();
}

/// What a peer may send; the first is what it should.
fn offered() -> Vec<OwnedFd> {
    let memory = |seals: Option<Seals>| {
        let object = Memfd::new("fuzz").create(BYTES).expect("memory");
        object.map(Access::ReadWrite).and_then(|region| region.copy_in(0, CONTENT)).expect("memory");
        if let Some(seals) = seals {
            seal::apply(&object, seals, "fuzz").expect("seals");
        }
        object.descriptor().try_clone_to_owned().expect("a descriptor")
    };
    let holes = memfd_create("holes", MemfdFlags::ALLOW_SEALING).expect("memory");
    ftruncate(&holes, BYTES).expect("a length");
    seal::apply(&holes, Seals::RECEIVER_SAFE, "holes").expect("seals");
    let short = memfd_create("short", MemfdFlags::ALLOW_SEALING).expect("memory");
    seal::apply(&short, Seals::RECEIVER_SAFE, "short").expect("seals");
    let special = |path: &str, flags| open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("a file");
    let (reader, _) = rustix::pipe::pipe().expect("a pipe");
    let (socket, _) = std::os::unix::net::UnixStream::pair().expect("sockets");
    vec![
        memory(Some(Seals::RECEIVER_SAFE)),
        memory(Some(Seals::FROZEN)),
        memory(None),
        memory(Some(Seals::SHRINK | Seals::GROW)),
        holes,
        short,
        special("/dev/null", OFlags::RDWR),
        special("/dev/zero", OFlags::WRONLY),
        special("/proc/self/exe", OFlags::RDONLY),
        special("/", OFlags::RDONLY),
        special("/proc/self/exe", OFlags::PATH),
        reader,
        socket.into(),
    ]
}

/// A message on its way.
#[derive(Debug)]
struct Sent {
    payload: Vec<u8>,
    /// By number, as they are offered.
    descriptors: Vec<usize>,
}

/// Plays an input.
pub fn play(input: &[u8]) {
    let mut reader = Reader::new(input);
    OFFERED.with(|offered| {
        let before = open_descriptors();
        exchange(&mut reader, offered);
        assert_eq!(open_descriptors(), before, "descriptors that stay open");
    });
}

/// How many this process has.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a list of descriptors").count()
}

/// Two ends, and what is on its way between them.
struct Pair<'a> {
    kind: SocketType,
    sender: Option<OwnedFd>,
    receiver: OwnedFd,
    offered: &'a [OwnedFd],
    on_the_way: VecDeque<Sent>,
    /// Whether the two sides still agree on where messages begin.
    in_step: bool,
}

fn exchange(reader: &mut Reader<'_>, offered: &[OwnedFd]) {
    let kind = [SocketType::SEQPACKET, SocketType::STREAM, SocketType::DGRAM][reader.below(3)];
    let ends = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let (sender, receiver) = ends.expect("two sockets");
    if reader.u8() % 2 == 1 {
        pass::identify_senders(&receiver).expect("an option of the socket");
    }
    let (on_the_way, in_step) = (VecDeque::new(), true);
    let mut pair = Pair { kind, sender: Some(sender), receiver, offered, on_the_way, in_step };
    for _ in 0..EVENTS_MAX {
        if reader.is_empty() {
            break;
        }
        match reader.below(8) {
            0..=2 => pair.send(reader, false),
            3 => pair.send(reader, true),
            4..=6 => pair.receive(reader),
            _ => pair.sender = None,
        }
    }
}

impl Pair<'_> {
    /// By the library, or as somebody does who has read about the system call.
    fn send(&mut self, reader: &mut Reader<'_>, by_hand: bool) {
        let Some(sender) = &self.sender else { return };
        let length = reader.below(40);
        let mut payload = reader.bytes(length).to_vec();
        payload.resize(length, 0x5A);
        let mut count = reader.below(8);
        if count == 7 {
            count = usize::from(reader.u8()).min(pass::DESCRIPTORS_MAX);
        }
        let descriptors: Vec<usize> = (0..count).map(|_| reader.below(self.offered.len())).collect();
        let borrowed: Vec<BorrowedFd<'_>> =
            descriptors.iter().map(|&number| self.offered[number].as_fd()).collect();
        let sent = if by_hand {
            send_by_hand(sender, &payload, &borrowed)
        } else {
            match pass::send(sender, &payload, &borrowed, Deadline::now()) {
                Ok(()) => true,
                Err(Error::WrongMessage { .. }) => {
                    assert!(payload.is_empty(), "refused for no reason");
                    false
                }
                Err(Error::TimedOut { .. }) => false,
                Err(error) => panic!("sending: {error:?}"),
            }
        };
        if sent && payload.is_empty() && self.kind == SocketType::STREAM {
            return; // a stream carries descriptors with bytes only
        }
        if sent {
            self.on_the_way.push_back(Sent { payload, descriptors });
        } else if self.kind == SocketType::STREAM {
            self.in_step = false;
        }
    }

    fn receive(&mut self, reader: &mut Reader<'_>) {
        let (length, count) = (reader.below(40), reader.below(8));
        let mut payload = vec![0; length];
        let received = pass::receive(&self.receiver, &mut payload, count, Deadline::now());
        match received {
            Ok(received) => {
                assert!(length > 0, "received nothing, and said so to nobody");
                assert_eq!(received.descriptors.len(), count);
                self.compare(&payload, &received.descriptors);
                for descriptor in received.descriptors {
                    judge(descriptor);
                }
            }
            Err(Error::WrongMessage { .. }) if length == 0 => {}
            Err(Error::TimedOut { .. }) => {
                let nothing = self.on_the_way.is_empty();
                assert!(nothing || self.kind == SocketType::STREAM || !self.in_step, "a message was there");
                self.in_step &= nothing;
            }
            Err(Error::PeerClosed) => {
                // An empty message looks like an end.
                let empty = self.on_the_way.pop_front().is_none_or(|next| next.payload.is_empty());
                let reason = empty || self.sender.is_none() || !self.in_step;
                assert!(reason || self.kind == SocketType::STREAM, "the peer is there");
                self.in_step &= self.kind != SocketType::STREAM;
            }
            Err(Error::WrongMessage { what, expected, found }) => {
                assert_ne!(expected, found, "{what}");
                self.refused(length, count);
            }
            Err(Error::DescriptorsCut) => self.refused(length, count),
            Err(error) => panic!("receiving: {error:?}"),
        }
    }

    /// A message was received: it is the next one.
    fn compare(&mut self, payload: &[u8], descriptors: &[OwnedFd]) {
        if !self.in_step {
            return;
        }
        if self.kind != SocketType::STREAM {
            let sent = self.on_the_way.pop_front().expect("a message that nobody sent");
            assert_eq!(payload, sent.payload);
            self.compare_descriptors(descriptors, &sent.descriptors);
            return;
        }
        // A stream knows no messages: bytes and descriptors of several of them, in their order.
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        while bytes.len() < payload.len() {
            let mut sent = self.on_the_way.pop_front().expect("bytes that nobody sent");
            let wanted = payload.len() - bytes.len();
            if bytes.is_empty() || !sent.descriptors.is_empty() {
                numbers.append(&mut sent.descriptors);
            }
            let rest = sent.payload.split_off(wanted.min(sent.payload.len()));
            bytes.append(&mut sent.payload);
            if !rest.is_empty() {
                self.on_the_way.push_front(Sent { payload: rest, descriptors: Vec::new() });
            }
        }
        assert_eq!(payload, bytes);
        self.compare_descriptors(descriptors, &numbers);
    }

    fn compare_descriptors(&self, received: &[OwnedFd], numbers: &[usize]) {
        assert_eq!(received.len(), numbers.len(), "another number of descriptors than were sent");
        for (received, &number) in received.iter().zip(numbers) {
            let inode = |file: BorrowedFd<'_>| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
            assert_eq!(inode(received.as_fd()), inode(self.offered[number].as_fd()));
        }
    }

    /// A message was refused, so it must differ from what was awaited.
    fn refused(&mut self, length: usize, count: usize) {
        if self.kind == SocketType::STREAM {
            self.in_step = false;
        } else if let Some(sent) = self.on_the_way.pop_front() {
            assert!(sent.payload.len() != length || sent.descriptors.len() != count, "refused for no reason");
        }
    }
}

/// Sends as somebody does who has read about the system call; whether all of it went.
pub fn send_by_hand(socket: &OwnedFd, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> bool {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &[IoSlice::new(payload)], &mut control, flags);
    sent == Ok(payload.len())
}

/// What a receiver does with what it got.
fn judge(descriptor: OwnedFd) {
    let fine = Expectation::new(BYTES).verify(&descriptor, "what came");
    let object = Object::from_descriptor(descriptor, "what came");
    match (fine, object) {
        (Ok(()), Ok(object)) => {
            let region = object.map(Access::ReadOnly).expect("sealed memory");
            let mut content = [0; CONTENT.len()];
            region.copy_out(0, &mut content).expect("as long as was verified");
            assert_eq!(content, CONTENT);
            let writable = object.map(Access::ReadWrite).is_ok();
            assert!(!writable, "mapped for writing under a seal");
        }
        (Ok(()), Err(error)) => panic!("sealed memory that is no object: {error:?}"),
        (Err(error), Ok(object)) => {
            assert!(!error.to_string().is_empty());
            // Also a file of a stranger may be looked at by whoever takes the risk.
            let _ = object.map(Access::ReadOnly).and_then(|region| region.copy_out(0, &mut [0; 1]));
        }
        (Err(_), Err(Error::WrongDescriptor { .. })) => {}
        (Err(_), Err(error)) => panic!("judging: {error:?}"),
    }
}
