//! How handles come to a ring: what stands in their way, what passes, and what makes them wait.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_core::{Directory, Memfd, Options, Place, Removal};
use shm_ring::{Consumer, Error, Producer, Receiver, Sender, TypedSender, Unnamed, inspect, remove_forced};
use std::error::Error as _;
use std::sync::Barrier;
use std::time::Duration;

/// Whoever waits for that long hangs.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A copy of a handle is at the same ring, or there is none.
#[test]
fn a_handle_is_copied_only_at_its_own_ring() {
    let name = Scratch::new("attach-copy");
    let sender = Sender::builder(&name.0).participants(4).create().unwrap();
    let copy = sender.try_clone().unwrap();
    remove_forced(&name.0).unwrap();
    assert!(matches!(sender.try_clone(), Err(Error::Detached)), "there is none of that name");
    let other = Sender::builder(&name.0).participants(4).create().unwrap();
    assert!(matches!(copy.try_clone(), Err(Error::Detached)), "there is another of that name");
    drop(other);
    remove_forced(&name.0).unwrap();
    let _values = TypedSender::<u64>::builder(&name.0).create().unwrap();
    assert!(matches!(copy.try_clone(), Err(Error::WrongKind { .. })), "something else has that name");
}

#[test]
fn memory_without_a_name_is_created_once() {
    for memory in [Unnamed::anonymous("a"), Unnamed::dev_zero("z"), Unnamed::memfd("m", Memfd::new("m"))] {
        let builder = || Producer::builder("ring").memory(&memory);
        assert!(matches!(builder().open(), Err(error) if error.is_not_found()));
        let mut producer = builder().create().unwrap();
        producer.send(b"kept").unwrap();
        drop(producer);
        let again = builder().create().map(drop);
        let taken = |error: &shm_core::Error| matches!(error, shm_core::Error::AlreadyExists { .. });
        assert!(matches!(&again, Err(Error::Memory(error)) if taken(error)), "{again:?}");
        drop(builder().open_or_create().unwrap());
        let mut consumer = Consumer::builder("ring").memory(&memory).open_or_create().unwrap();
        assert_eq!(consumer.try_recv().unwrap().to_vec(), b"kept");
        let unborn = Unnamed::anonymous("unborn");
        assert!(Receiver::builder("ring").memory(&unborn).open_or_create().is_ok());
        assert!(matches!(Sender::builder("ring").memory(&memory).open(), Err(Error::WrongKind { .. })));
    }
}

/// Whoever comes while another one creates the ring finds it, with or without a name.
#[test]
fn one_of_many_creates_and_all_are_at_one_ring() {
    const THREADS: u64 = 4;
    for round in 0..100 {
        let name = Scratch::new("attach-race");
        let memory = Unnamed::anonymous("race");
        let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
        let senders: Vec<Sender> = std::thread::scope(|scope| {
            let come = || {
                let builder = Sender::builder(&name.0).capacity(8).max_message(8).participants(THREADS + 1);
                let builder = if round % 2 == 0 { builder } else { builder.memory(&memory) };
                barrier.wait();
                builder.open_or_create().unwrap()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(come)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for mut sender in senders {
            sender.try_send(b"here").unwrap();
            assert!(sender.len().unwrap() <= THREADS);
        }
        let builder = Receiver::builder(&name.0);
        let builder = if round % 2 == 0 { builder } else { builder.memory(&memory) };
        assert_eq!(builder.open().unwrap().len().unwrap(), THREADS);
    }
}

/// What will not be otherwise in a moment is said at once, however long one would wait.
#[test]
fn only_what_passes_is_waited_for() {
    let name = Scratch::new("attach-missing");
    let missing = Producer::builder(&name.0).attach_timeout(FOR_EVER).open();
    assert!(matches!(missing, Err(error) if error.is_not_found()));
    let nowhere = format!("file:{}/shm-ring-no-such-directory/ring", std::env::temp_dir().display());
    let nowhere = Producer::builder(&nowhere).attach_timeout(FOR_EVER).open_or_create();
    assert!(matches!(nowhere, Err(Error::Memory(_))), "{nowhere:?}");
    // Found missing, and not to be had.
    let never = Producer::builder("file:/proc/shm-ring").attach_timeout(FOR_EVER).open_or_create();
    assert!(matches!(never, Err(Error::Memory(_))), "{never:?}");
}

/// Who comes while the ring is just being removed as unused waits whether it is, as long as it was told to.
#[test]
fn a_removal_under_way_is_waited_for() {
    let name = Scratch::new("attach-removal");
    drop(Producer::builder(&name.0).capacity(64).create().unwrap());
    let (options, object): (Options, _) =
        name.0.parse::<Place>().unwrap().locate(&Directory::posix()).unwrap();
    std::thread::scope(|scope| {
        let mut waiting = None;
        let kept = options.remove::<Error>(&object, Removal::IfUnused, |_| {
            let now = Producer::builder(&name.0).attach_timeout(Duration::ZERO).open().map(drop);
            let busy = |error: &shm_core::Error| matches!(error, shm_core::Error::Busy { .. });
            assert!(matches!(&now, Err(Error::Memory(error)) if busy(error)), "{now:?}");
            waiting = Some(scope.spawn(|| Producer::builder(&name.0).attach_timeout(FOR_EVER).open()));
            std::thread::sleep(Duration::from_millis(20)); // likely, it has found the removal by then
            Err(Error::TimedOut)
        });
        assert!(matches!(kept, Err(Error::TimedOut)));
        assert!(waiting.unwrap().join().unwrap().is_ok(), "it was not removed");
    });
}

/// A ring's file with holes where there were messages is told from a file that was never a ring.
#[test]
fn a_ring_with_holes_is_truncated_and_any_other_file_foreign() {
    let ring = Scratch::new("attach-whole");
    drop(Producer::builder(&ring.0).capacity(1 << 16).create().unwrap());
    let whole = ring.read_all();
    let path = format!("/dev/shm/shm-ring-attach-holes-{}", std::process::id());
    let write = |beginning: &[u8]| {
        std::fs::write(&path, beginning).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(whole.len() as u64).unwrap();
        let found = inspect(&format!("file:{path}"));
        std::fs::remove_file(&path).unwrap();
        match found {
            Err(Error::Memory(error)) => *error,
            other => panic!("{other:?}"),
        }
    };
    let header = whole.get(..4096).unwrap();
    assert!(matches!(write(header), shm_core::Error::Truncated { .. }));
    assert!(matches!(write(&[b'x'; 4096]), shm_core::Error::Foreign { .. }));
}

/// Errors are what people see.
#[test]
fn errors_say_who_and_how_and_pass_on_what_the_kernel_said() {
    let name = Scratch::new("attach-errors");
    let producer = Producer::create(&name.0).unwrap();
    let second = Producer::builder(&name.0).attach_timeout(Duration::ZERO).open().unwrap_err();
    let pid = std::process::id();
    assert!(second.to_string().contains(&format!("its producer already: process {pid};")), "{second}");
    assert!(second.source().is_none());
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.close();
    assert!(consumer.try_recv().unwrap_err().to_string().contains("the other side closed;"));
    drop(Producer::open(&name.0).unwrap());
    assert!(consumer.try_recv().unwrap_err().to_string().contains("the other side left without closing;"));
    let kernel = std::io::Error::from_raw_os_error(5);
    let error = shm_core::Error::System { call: "mmap", object: "there".to_owned(), source: kernel };
    let error = Error::from(error);
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(5), "{error}");
}
