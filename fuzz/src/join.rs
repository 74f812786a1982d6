//! A side of a sealed ring, whoever is at the other end of its socket: no peer at all, one that knows the protocol and
//! lies, or one that is honest and then writes whatever it likes over its own memory, just before it is read.
//!
//! An input is: who joins (u8); over what socket (u8), and how that is set (u8); the peer's greeting (see
//! [`Stranger::hello`]); the memory that comes with it (see [`Stranger::memory`]); what else comes, and how it
//! is cut (see [`Stranger::speak`]); what the peer changes meanwhile (see [`Shared::plan`]); and steps.
//!
//! The rules, beside those of [`stage`](crate::stage) and [`world`](crate::world):
//!
//! * joining ends, with a ring or an error that says why; with a ring if everything is as it should be;
//! * who has joined has been sent just one descriptor, of memory that nobody can shorten, write or punch holes into,
//!   and has sent the same; a consumer's ring is no larger than it accepts;
//! * no descriptor stays open, and nothing mapped, when it is over.

use crate::case::{Patch, Step};
use crate::handles::{Attach, Receives, Sends};
use crate::input::Reader;
use crate::object::Scratch;
use crate::passing::{OFFERED, open_descriptors, send_by_hand};
use crate::sealed::{self, CAPACITY_BYTES, CAPACITY_VALUES, HELLO_BYTES};
use crate::stage::{Stage, Surroundings};
use crate::world::{Enemy, PATCHES_MAX, STEPS_MAX, Shared};
use rustix::fs::{FallocateFlags, SealFlags, fallocate, fcntl_get_seals, fstat};
use rustix::net::SocketType;
use shm_core::hostile::install;
use shm_core::seal::{self, Expectation};
use shm_core::{Access, Memfd, Object, Region, Seals, pass};
use shm_ring::{Consumer, Error, Producer, Result, Role, TypedConsumer, TypedProducer};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Most bytes of memory that a peer comes with.
const MEMORY_BYTES_MAX: usize = 64 << 10;
/// Most pieces that a greeting is sent in.
const PIECES_MAX: usize = 4;
const PAGE_BYTES: u64 = 4096;

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// A handle that joins a sealed ring.
trait Joins: Attach {
    /// Joins without waiting.
    fn join(socket: OwnedFd) -> Result<Self>;
}

macro_rules! joins {
    ($($handle:ty, $capacity:expr);*) => { $(
        impl Joins for $handle {
            fn join(socket: OwnedFd) -> Result<Self> {
                let builder = Self::builder("fuzz").capacity($capacity);
                builder.attach_timeout(Duration::ZERO).connect(socket)
            }
        }
    )* };
}

joins!(
    Producer, CAPACITY_BYTES; Consumer, CAPACITY_BYTES;
    TypedProducer<u64>, CAPACITY_VALUES; TypedConsumer<u64>, CAPACITY_VALUES;
    TypedProducer<char>, CAPACITY_VALUES; TypedConsumer<char>, CAPACITY_VALUES
);

/// Plays an input.
pub fn play(input: &[u8]) {
    let mut reader = Reader::new(input);
    let who = reader.below(2 * sealed::KINDS);
    // What is made once is not to be counted.
    sealed::at(0, 0);
    OFFERED.with(|_| SCRATCH.with(|_| ()));
    let before = (open_descriptors(), mappings());
    match who {
        0 => run(&mut reader, who, |handle: Producer| (Some(handle), None::<Consumer>)),
        1 => run(&mut reader, who, |handle: Consumer| (None::<Producer>, Some(handle))),
        2 => run(&mut reader, who, |handle: TypedProducer<u64>| (Some(handle), None::<TypedConsumer<u64>>)),
        3 => run(&mut reader, who, |handle: TypedConsumer<u64>| (None::<TypedProducer<u64>>, Some(handle))),
        4 => run(&mut reader, who, |handle: TypedProducer<char>| (Some(handle), None::<TypedConsumer<char>>)),
        _ => run(&mut reader, who, |handle: TypedConsumer<char>| (None::<TypedProducer<char>>, Some(handle))),
    }
    assert_eq!((open_descriptors(), mappings()), before, "descriptors or mappings that stay");
}

/// How many memfds this process has mapped.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("a list of mappings");
    maps.lines().filter(|line| line.contains("/memfd:")).count()
}

fn run<J: Joins, P: Sends, C: Receives>(
    reader: &mut Reader<'_>,
    who: usize,
    sides: fn(J) -> (Option<P>, Option<C>),
) {
    let (ours, socket) = sockets(reader);
    let right = socket.is_some() && pass::is_connection(&ours).is_ok();
    let mut stranger = Stranger { kind: who / 2, faces: J::ROLE, right, socket };
    let hello = stranger.hello(reader);
    let memory = stranger.memory(reader);
    stranger.speak(reader, &hello, &memory);
    let mut around = Around(memory.world(who, J::ROLE));
    if let Around(Some(world)) = &around {
        stranger.right &= !world.plan(reader);
    }
    let installed = around.0.clone().map(install);
    around.attaches(J::ROLE);
    match J::join(ours) {
        Err(error) => {
            assert!(!stranger.right, "{} was refused for no reason: {error}", J::WHO);
            judge(&error);
        }
        Ok(handle) => {
            assert!(memory.is_safe(), "{} has joined with memory that is not safe", J::WHO);
            let accepted = if who / 2 == 0 { CAPACITY_BYTES } else { CAPACITY_VALUES };
            assert!(handle.capacity() <= accepted, "a larger ring than {} accepts", J::WHO);
            if let Some(own) = stranger.listen(J::ROLE) {
                around.joined(own);
            }
            around.attached(J::ROLE, handle.capacity());
            work(reader, &mut stranger, &mut around, sides(handle));
        }
    }
    drop(installed);
}

/// Goes on with the steps.
fn work<P: Sends, C: Receives>(
    reader: &mut Reader<'_>,
    stranger: &mut Stranger,
    around: &mut Around,
    (producer, consumer): (Option<P>, Option<C>),
) {
    SCRATCH.with(|scratch| {
        let mut stage = Stage::of(scratch, producer, consumer);
        for _ in 0..STEPS_MAX {
            if reader.is_empty() {
                break;
            }
            match Step::parse(reader) {
                Step::Reopen { .. } => stranger.socket = None,
                Step::Look => stranger.chatter(),
                step => stage.take(&step, around),
            }
        }
        around.calls();
        drop(stage);
        around.called();
    });
}

/// That a peer is not as it should be has its own errors.
fn judge(error: &Error) {
    assert!(!error.to_string().is_empty());
    match error {
        Error::Memory(_) | Error::Corrupt(_) | Error::WrongKind { .. } | Error::WrongType { .. } => {}
        Error::InvalidCapacity { .. } => {}
        other => panic!("joining said what it has no reason to: {other:?}"),
    }
}

/// The joining side's socket, or what it takes for one; and the peer's end of it.
fn sockets(reader: &mut Reader<'_>) -> (OwnedFd, Option<OwnedFd>) {
    let kind = match reader.below(8) {
        0..=3 => SocketType::STREAM,
        4 | 5 => SocketType::SEQPACKET,
        6 => SocketType::DGRAM,
        _ => {
            let number = usize::from(reader.u8());
            let other = OFFERED.with(|offered| offered[number % offered.len()].try_clone());
            return (other.expect("a descriptor"), None);
        }
    };
    let (ours, theirs) = sealed::sockets(kind);
    let set = reader.u8();
    if set & 1 != 0 {
        pass::identify_senders(&ours).expect("an option of the socket");
    }
    (ours, (set & 2 == 0).then_some(theirs))
}

/// Whoever is at the other end.
struct Stranger {
    /// Which kind of ring the other side wants,
    kind: usize,
    /// and as what.
    faces: Role,
    /// `None` once it has gone.
    socket: Option<OwnedFd>,
    /// Whether all is as it should be so far.
    right: bool,
}

impl Stranger {
    /// A greeting: what it is (u8), and then: any bytes (how many, and these); or a real one; or that with patches (how
    /// many, and these); or a real one of another kind or of the same side (u8).
    fn hello(&mut self, reader: &mut Reader<'_>) -> Vec<u8> {
        let meeting = sealed::at(self.kind, 0);
        let mut hello =
            if self.faces.sends() { meeting.consumer.hello.clone() } else { meeting.producer.hello.clone() };
        match reader.below(4) {
            0 => {
                let length = reader.below(2 * HELLO_BYTES);
                hello = reader.bytes(length).to_vec();
                self.right = false;
            }
            1 => {}
            2 => {
                for _ in 0..reader.below(8) {
                    Patch::parse(reader).apply(&mut hello);
                    self.right = false;
                }
            }
            _ => {
                let number = usize::from(reader.u8());
                let other = sealed::at(number / 2, 0);
                hello = if number % 2 == 0 { &other.producer } else { &other.consumer }.hello.clone();
                self.right = false;
            }
        }
        hello
    }

    /// The memory: its content at some moment (u8), patches of that (how many, and these), and its form (u8): as it
    /// should be, or of another length (u16), under other seals (u8), with a hole (u8: which page), or something else
    /// (u8).
    fn memory(&mut self, reader: &mut Reader<'_>) -> Memory {
        let moment = reader.below(sealed::MOMENTS);
        let meeting = sealed::at(self.kind, moment);
        let half = if self.faces.sends() { &meeting.consumer } else { &meeting.producer };
        let mut bytes = half.memory.clone();
        let patches = reader.below(PATCHES_MAX + 1);
        (0..patches).for_each(|_| Patch::parse(reader).apply(&mut bytes));
        // Who comes to what was received or sent before it came may be right to complain.
        let fresh = moment == 0 || moment == 1 && !self.faces.sends();
        self.right &= fresh && patches == 0;
        let (mut seals, mut hole) = (Seals::RECEIVER_SAFE, None);
        match reader.below(8) {
            0..=3 => {}
            4 => {
                bytes.resize(usize::from(reader.u16()).clamp(1, MEMORY_BYTES_MAX), 0);
                self.right = false;
            }
            5 => {
                let bits = reader.u8();
                let each = [Seals::SHRINK, Seals::GROW, Seals::FUTURE_WRITE, Seals::SEAL, Seals::EXEC];
                let chosen = (0..).zip(each).filter(|(bit, _)| bits >> bit & 1 == 1);
                seals = chosen.fold(Seals::NONE, |all, (_, seal)| all | seal);
                self.right &= seals.contains(Seals::RECEIVER_SAFE);
            }
            6 => {
                hole = Some(u64::from(reader.u8()));
                self.right = false;
            }
            _ => {
                self.right = false;
                let number = usize::from(reader.u8());
                let other = OFFERED.with(|offered| offered[number % offered.len()].try_clone());
                return Memory { descriptor: other.expect("a descriptor"), region: None };
            }
        }
        Memory::new(&bytes, half.memory.len(), seals, hole)
    }

    /// Sends the greeting: how many more descriptors come, and before or behind the memory (u8), and these (u8 each);
    /// how many pieces it is cut into (u8), how long these are (u8 each), and with which the descriptors go (u8); and
    /// how many bytes follow (u8).
    fn speak(&mut self, reader: &mut Reader<'_>, hello: &[u8], memory: &Memory) {
        OFFERED.with(|offered| {
            let more = match reader.u8() {
                others @ 0..16 => usize::from(others % 4),
                many => usize::from(many),
            };
            let others = |reader: &mut Reader<'_>| offered[reader.below(offered.len())].as_fd();
            let mut descriptors: Vec<BorrowedFd<'_>> = vec![memory.descriptor.as_fd()];
            match more {
                0 => {}
                1 => descriptors.clear(),
                _ => descriptors.extend((0..more.min(pass::DESCRIPTORS_MAX) - 1).map(|_| others(reader))),
            }
            self.right &= descriptors.len() == 1;
            let mut pieces = Vec::new();
            let mut rest = hello;
            for _ in 0..reader.below(PIECES_MAX) {
                let (piece, behind) = rest.split_at(reader.below(HELLO_BYTES).min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            pieces.push(rest);
            let carrier = reader.below(pieces.len());
            let tail = vec![0x5A; reader.below(8)];
            self.right &= pieces.len() == 1 && tail.is_empty();
            let Some(socket) = &self.socket else { return };
            for (index, piece) in pieces.iter().enumerate() {
                let piece = if index + 1 == pieces.len() { &[piece, &tail[..]].concat()[..] } else { piece };
                let with: &[_] = if index == carrier { &descriptors } else { &[] };
                send_by_hand(socket, piece, with); // what does not go does not come
            }
        });
    }

    /// What the other side said: just what it should, whoever listens.
    fn listen(&self, role: Role) -> Option<Region> {
        let (_, descriptor) = sealed::overhear(self.socket.as_ref()?);
        let meeting = sealed::at(self.kind, 0);
        let half = if role.sends() { &meeting.producer } else { &meeting.consumer };
        let bytes = half.memory.len() as u64;
        let safe = Expectation::new(bytes).verify(&descriptor, "what it sent");
        assert!(safe.is_ok(), "it sent what is not safe: {safe:?}");
        let object = Object::from_descriptor(descriptor, "what it sent").expect("memory");
        assert!(object.map(Access::ReadWrite).is_err(), "it sent memory that can be mapped for writing");
        Some(object.map(Access::ReadOnly).expect("memory"))
    }

    /// Says what nobody asked for.
    fn chatter(&self) {
        OFFERED.with(|offered| {
            let Some(socket) = &self.socket else { return };
            send_by_hand(socket, b"by the way", &[offered[0].as_fd()]);
        });
    }
}

/// What comes with a greeting.
struct Memory {
    descriptor: OwnedFd,
    /// As its owner has it mapped, where it is as long as it should be.
    region: Option<Region>,
}

impl Memory {
    fn new(bytes: &[u8], right: usize, seals: Seals, hole: Option<u64>) -> Self {
        let object = Memfd::new("fuzz").create(bytes.len() as u64).expect("memory");
        let region = object.map(Access::ReadWrite).expect("memory");
        region.copy_in(0, bytes).expect("as long as they are");
        if let Some(page) = hole {
            let pages = (bytes.len() as u64).div_ceil(PAGE_BYTES);
            let at = page % pages * PAGE_BYTES;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&object, flags, at, PAGE_BYTES).expect("a hole");
        }
        if seals != Seals::NONE {
            // The last one keeps the others.
            seal::apply(&object, seals, "fuzz").expect("seals");
        }
        let descriptor = object.descriptor().try_clone_to_owned().expect("a descriptor");
        let region = (bytes.len() == right && hole.is_none()).then_some(region);
        Self { descriptor, region }
    }

    /// Whether nobody can take it away, or change it but through mappings that are there: as the kernel says it, and
    /// not the code under test.
    fn is_safe(&self) -> bool {
        let seals = fcntl_get_seals(&self.descriptor).unwrap_or(SealFlags::empty());
        let stat = fstat(&self.descriptor).expect("a file");
        let unwritable = seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE);
        let whole = stat.st_blocks.cast_unsigned() * 512 >= stat.st_size.cast_unsigned() && stat.st_size > 0;
        unwritable && whole && seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
    }

    /// Its owner, who goes on writing.
    fn world(&self, who: usize, role: Role) -> Option<Shared> {
        let enemy = if role.sends() { Enemy::Consumer } else { Enemy::Producer };
        self.region.clone().map(|region| Shared::of_half(region, enemy, who / 2 > 0))
    }
}

/// The peer's memory, if it is any.
struct Around(Option<Shared>);

impl Around {
    fn joined(&self, own: Region) {
        if let Some(world) = &self.0 {
            world.joined(own);
        }
    }

    fn each(&mut self, what: impl FnOnce(&mut Shared)) {
        if let Some(world) = &mut self.0 {
            what(world);
        }
    }
}

impl Surroundings for Around {
    fn patch(&mut self, patch: &Patch) {
        self.each(|world| world.patch(patch));
    }

    fn attaches(&mut self, role: Role) {
        self.each(|world| world.attaches(role));
    }

    fn attached(&mut self, role: Role, capacity: u64) {
        self.each(|world| world.attached(role, capacity));
    }

    fn calls(&mut self) {
        self.each(Shared::calls);
    }

    fn called(&mut self) {
        self.each(Shared::called);
    }

    fn patience(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, Shared::patience)
    }
}
