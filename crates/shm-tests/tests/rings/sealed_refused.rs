//! What is refused when two meet over a socket to make a sealed ring.

use shm_core::{Access, Deadline, Error as MemoryError, Memfd, Object, Seals, pass, seal};
use shm_ring::layout::spsc::{
    DATA_OFFSET, PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, TAIL_OFFSET, TENURE_OFFSET,
};
use shm_ring::layout::{TENURE_JOINED, TENURE_STATE_BITS};
use shm_ring::{Consumer, Error, Producer, TypedConsumer, TypedProducer};
use shm_tests::{FUSE, Test, tests};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        what_is_no_sealed_memory_is_refused,
        what_is_no_greeting_is_refused,
        what_says_it_is_a_successor_is_refused,
        nobody_waits_for_ever
    ]
}

fn soon() -> Deadline {
    Deadline::after(FUSE)
}

/// A producer meets somebody who answers its greeting with `answer`.
fn meet(answer: impl FnOnce(&UnixStream, [u8; 56]) + Send + 'static) -> Error {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stranger = std::thread::spawn(move || {
        let mut greeting = [0; 56];
        pass::receive(&theirs, &mut greeting, 1, soon()).unwrap();
        answer(&theirs, greeting);
        theirs
    });
    let refused = Producer::builder("sealed").capacity(4096).attach_timeout(FUSE).connect(ours).unwrap_err();
    stranger.join().unwrap();
    refused
}

/// What a consumer's greeting is, made of a producer's.
fn consumers(mut greeting: [u8; 56]) -> [u8; 56] {
    greeting[12] = 2;
    greeting[24..32].copy_from_slice(&(DATA_OFFSET as u64).to_le_bytes());
    greeting[32..40].fill(0);
    greeting
}

fn meet_with(descriptor: impl AsFd + Send + 'static) -> Error {
    meet(move |socket, greeting| {
        pass::send(socket, &consumers(greeting), &[descriptor.as_fd()], soon()).unwrap();
    })
}

fn memory(bytes: u64, seals: Seals) -> Object {
    let object = Memfd::new("hostile").create(bytes).unwrap();
    if seals != Seals::NONE {
        seal::apply(&object, seals, "hostile").unwrap();
    }
    object
}

fn what_is_no_sealed_memory_is_refused() {
    let page = DATA_OFFSET as u64;
    let all = [Seals::SHRINK, Seals::GROW, Seals::FUTURE_WRITE, Seals::SEAL];
    let memory_error = |error: Error| match error {
        Error::Memory(error) => *error,
        error => panic!("{error}"),
    };
    let unsealed = memory_error(meet_with(memory(page, Seals::NONE)));
    assert!(matches!(unsealed, MemoryError::Unsealed { .. }), "{unsealed}");
    for left_out in all {
        let object = Memfd::new("hostile").create(page).unwrap();
        for seals in all.into_iter().filter(|seals| *seals != left_out) {
            seal::apply(&object, seals, "hostile").unwrap();
        }
        let half_sealed = memory_error(meet_with(object));
        assert!(matches!(half_sealed, MemoryError::Unsealed { .. }), "without {left_out}: {half_sealed}");
    }
    for bytes in [page / 2, page * 2] {
        let wrong = memory_error(meet_with(memory(bytes, Seals::RECEIVER_SAFE)));
        assert!(matches!(wrong, MemoryError::WrongSize { .. }), "{wrong}");
    }
    // With holes, whose touch may fail.
    let holes = Memfd::new("hostile").create(page).unwrap();
    let keep = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&holes, keep, 0, page).unwrap();
    seal::apply(&holes, Seals::RECEIVER_SAFE, "hostile").unwrap();
    let truncated = memory_error(meet_with(holes));
    assert!(matches!(truncated, MemoryError::Truncated { .. }), "{truncated}");
    for other in ["/dev/null", "/proc/self/exe", "/"] {
        let wrong = memory_error(meet_with(std::fs::File::open(other).unwrap()));
        assert!(matches!(wrong, MemoryError::WrongDescriptor { .. }), "{other}: {wrong}");
    }
    // A consumer's memory in which nobody sits.
    let object = memory(page, Seals::RECEIVER_SAFE);
    assert!(object.map(Access::ReadOnly).is_ok());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stranger = std::thread::spawn(move || {
        let mut greeting = [0; 56];
        pass::receive(&theirs, &mut greeting, 1, soon()).unwrap();
        pass::send(&theirs, &consumers(greeting), &[object.descriptor()], soon()).unwrap();
        theirs
    });
    let mut producer = Producer::builder("sealed").capacity(64).attach_timeout(FUSE).connect(ours).unwrap();
    let full = std::iter::repeat_with(|| producer.send(b"nobody")).find_map(Result::err).unwrap();
    assert!(matches!(full, Error::Corrupt(_)), "{full}");
    stranger.join().unwrap();
}

fn what_is_no_greeting_is_refused() {
    let good = || memory(DATA_OFFSET as u64, Seals::RECEIVER_SAFE);
    let send = |socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]| {
        let _ = pass::send(socket, bytes, descriptors, soon()); // refused meanwhile, perhaps
    };
    let garbage = meet(move |socket, _| send(socket, &[7; 56], &[good().descriptor()]));
    assert!(matches!(garbage, Error::Corrupt(_)), "{garbage}");
    let same_role = meet(move |socket, greeting| send(socket, &greeting, &[good().descriptor()]));
    assert!(matches!(same_role, Error::Corrupt(what) if what.contains("same side")), "{same_role}");
    let other_type = meet(move |socket, greeting| {
        let mut greeting = consumers(greeting);
        greeting[48] ^= 1;
        send(socket, &greeting, &[good().descriptor()]);
    });
    assert!(matches!(other_type, Error::WrongType { .. }), "{other_type}");
    let other_kind = meet(move |socket, greeting| {
        let mut greeting = consumers(greeting);
        greeting[16] = 2;
        send(socket, &greeting, &[good().descriptor()]);
    });
    assert!(matches!(other_kind, Error::WrongKind { .. }), "{other_kind}");
    for descriptors in [0, 2] {
        let wrong = meet(move |socket, greeting| {
            let object = good();
            send(socket, &consumers(greeting), &vec![object.descriptor(); descriptors]);
        });
        assert!(
            matches!(&wrong, Error::Memory(error) if matches!(**error, MemoryError::WrongMessage { .. })),
            "{wrong}"
        );
    }
    let short = meet(move |socket, greeting| {
        send(socket, &consumers(greeting)[..20], &[good().descriptor()]);
        socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert!(matches!(&short, Error::Memory(error) if matches!(**error, MemoryError::PeerClosed)), "{short}");
    // Two that want different rings.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let values =
        std::thread::spawn(|| TypedProducer::<u64>::builder("sealed").attach_timeout(FUSE).connect(theirs));
    let bytes = Consumer::builder("sealed").attach_timeout(FUSE).connect(ours);
    assert!(matches!(bytes, Err(Error::WrongKind { .. })), "{bytes:?}");
    assert!(matches!(values.join().unwrap(), Err(Error::WrongKind { .. })));
}

fn nobody_waits_for_ever() {
    let (ours, _silent) = UnixStream::pair().unwrap();
    let silent = Producer::builder("sealed").attach_timeout(Duration::from_millis(20)).connect(ours);
    assert!(matches!(&silent, Err(Error::Memory(error)) if matches!(**error, MemoryError::TimedOut { .. })));
    let (ours, gone) = UnixStream::pair().unwrap();
    drop(gone);
    let gone = Consumer::builder("sealed").attach_timeout(FUSE).connect(ours);
    assert!(matches!(&gone, Err(Error::Memory(error)) if matches!(**error, MemoryError::PeerClosed)));
    let datagrams = std::os::unix::net::UnixDatagram::pair().unwrap();
    assert!(Consumer::builder("sealed").connect(datagrams.0).is_err(), "it would not tell of an end");
    let no_socket = Consumer::builder("sealed").connect(std::fs::File::open("/dev/null").unwrap());
    assert!(no_socket.is_err());
}

/// Nobody takes a place at a sealed ring over: a producer that says it is another one's successor lies.
fn what_says_it_is_a_successor_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (attached, is_attached) = std::sync::mpsc::channel();
    let stranger = std::thread::spawn(move || {
        let object = Memfd::new("hostile").create(2 * DATA_OFFSET as u64).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        let seat = PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET + TENURE_OFFSET;
        let sits = |number: u64| number << TENURE_STATE_BITS | TENURE_JOINED;
        region.write_value(seat, &sits(1)).unwrap();
        seal::apply(&object, Seals::RECEIVER_SAFE, "hostile").unwrap();
        let mut greeting = [0; 56];
        pass::receive(&theirs, &mut greeting, 1, soon()).unwrap();
        greeting[12] = 1;
        greeting[24..32].copy_from_slice(&(2 * DATA_OFFSET as u64).to_le_bytes());
        greeting[32..40].copy_from_slice(&16_u64.to_le_bytes());
        pass::send(&theirs, &greeting, &[object.descriptor()], soon()).unwrap();
        is_attached.recv().unwrap();
        region.write_value(seat, &sits(2)).unwrap();
        region.write_value(PRODUCER_REGION_OFFSET + TAIL_OFFSET, &1_u64).unwrap();
        theirs
    });
    let builder = TypedConsumer::<u64>::builder("sealed").capacity(16).attach_timeout(FUSE);
    let mut consumer = builder.connect(ours).unwrap();
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
    attached.send(()).unwrap();
    let _socket = stranger.join().unwrap();
    let received = consumer.try_recv();
    assert!(matches!(received, Err(Error::Corrupt(_))), "{received:?}");
}
