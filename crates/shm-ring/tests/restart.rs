//! Rings in files after the machine stopped: what the last flush covered comes back whole, or nothing does.
//!
//! A stop of the machine is played by a file in which each page, and each sector of the first one, is as it was at some
//! moment since the flush, and which says that it is from another run of the machine.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use shm_core::lock::{self, Lock};
use shm_core::{Access, Deadline, Directory, Object, Options, Place};
use shm_ring::layout::restart::{BOOT_OFFSET, FLUSH_LOCK_BYTE, RECORDS_OFFSET};
use shm_ring::layout::spsc::{DATA_OFFSET, PRODUCER_REGION_OFFSET};
use shm_ring::{
    Consumer, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender, inspect, repair,
};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// A path for a ring, removed in the end.
struct File(PathBuf);

impl File {
    fn new(what: &str) -> Self {
        let name = format!("shm-ring-restart-{}-{what}", std::process::id());
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn place(&self) -> String {
        format!("file:{}", self.0.display())
    }

    fn object(&self) -> Object {
        let (options, name): (Options, _) =
            self.place().parse::<Place>().unwrap().locate(&Directory::posix()).unwrap();
        options.open(&name, Access::ReadWrite).unwrap()
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.0).unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    /// From now on the ring is from another run of the machine.
    fn restart(&self) {
        assert!(
            self.object().outlives_restarts().unwrap(),
            "{} is in memory; the test needs a disk",
            self.place()
        );
        self.write(BOOT_OFFSET, &[0xEE; 16]);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Numbers that look random and are the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Both sides of a ring of some kind, with numbers for messages.
trait Ring: Sized {
    const KIND: &'static str;
    fn open_or_create(place: &str) -> Result<Self, Error>;
    /// Whether there was space.
    fn send(&mut self, number: u64) -> bool;
    /// `None` when there is none, whatever became of the other side.
    fn receive(&mut self) -> Result<Option<u64>, Error>;
    fn flush(&mut self, by_sender: bool) -> Result<(), Error>;
}

/// Messages of different lengths, to tell by their bytes.
fn message(number: u64) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.resize(8 + usize::try_from(number * 37 % 200).unwrap(), number.to_le_bytes()[0]);
    message
}

fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, message(number), "a torn message was delivered");
    number
}

fn value(number: u64) -> [u64; 5] {
    [number, !number, number * 3, number, number ^ 7]
}

macro_rules! ring {
    ($ring:ident, $sender:ty, $receiver:ty, $capacity:expr, $encode:expr, $decode:expr) => {
        struct $ring($sender, $receiver);

        impl Ring for $ring {
            const KIND: &'static str = stringify!($ring);

            fn open_or_create(place: &str) -> Result<Self, Error> {
                let sender = <$sender>::builder(place).capacity($capacity).open_or_create()?;
                Ok(Self(sender, <$receiver>::open(place)?))
            }

            fn send(&mut self, number: u64) -> bool {
                match self.0.try_send(&$encode(number)) {
                    Ok(()) => true,
                    Err(Error::Full) => false,
                    Err(error) => panic!("{error}"),
                }
            }

            fn receive(&mut self) -> Result<Option<u64>, Error> {
                loop {
                    match self.1.try_recv().map($decode) {
                        Ok(number) => return Ok(Some(number)),
                        Err(Error::Empty) => return Ok(None),
                        Err(Error::Disconnected(_)) => {} // those before the restart
                        Err(error) => return Err(error),
                    }
                }
            }

            fn flush(&mut self, by_sender: bool) -> Result<(), Error> {
                if by_sender { self.0.flush() } else { self.1.flush() }
            }
        }
    };
}

ring!(SpscBytes, Producer, Consumer, 1 << 13, message, |it: shm_ring::Message<'_>| number(&it.to_vec()));
ring!(SpscTyped, TypedProducer<Value>, TypedConsumer<Value>, 32, value, plain);
ring!(MpmcBytes, Sender, Receiver, 32, message, |it: shm_ring::Delivery<'_>| number(&it.to_vec()));
ring!(MpmcTyped, TypedSender<Value>, TypedReceiver<Value>, 256, value, plain);

type Value = [u64; 5];

fn plain(found: Value) -> u64 {
    assert_eq!(found, value(found[0]), "a torn value was delivered");
    found[0]
}

fn drain<R: Ring>(ring: &mut R) -> Result<Vec<u64>, Error> {
    std::iter::from_fn(|| ring.receive().transpose()).collect()
}

macro_rules! for_each_kind {
    ($($test:ident),*) => { $(
        #[test]
        fn $test() {
            tests::$test::<SpscBytes>();
            tests::$test::<SpscTyped>();
            tests::$test::<MpmcBytes>();
            tests::$test::<MpmcTyped>();
        }
    )* };
}

for_each_kind!(
    what_was_flushed_comes_back,
    a_ring_that_was_never_flushed_is_empty,
    whatever_the_disk_has_nothing_torn_is_delivered,
    recovery_believes_nothing_but_the_record,
    a_message_that_is_not_whole_is_corrupt
);

mod tests {
    use super::*;

    pub(super) fn what_was_flushed_comes_back<R: Ring>() {
        for by_sender in [false, true] {
            let file = File::new(&format!("back-{}-{by_sender}", R::KIND));
            let mut ring = R::open_or_create(&file.place()).unwrap();
            assert!((0..20).all(|number| ring.send(number)));
            assert!((0..7).all(|number| ring.receive().unwrap() == Some(number)));
            ring.flush(by_sender).unwrap();
            assert!(ring.send(20)); // not covered
            drop(ring);
            file.restart();

            let status = inspect(&file.place()).unwrap();
            assert!(status.restarted && status.depth == 13, "{status:?}");
            let mut ring = R::open_or_create(&file.place()).unwrap();
            assert!(!inspect(&file.place()).unwrap().restarted);
            assert_eq!(drain(&mut ring).unwrap(), (7..20).collect::<Vec<_>>());
            // And it is a ring like any other, all around.
            for number in 100..1000 {
                assert!(ring.send(number));
                assert_eq!(ring.receive().unwrap(), Some(number));
            }
        }
    }

    pub(super) fn a_ring_that_was_never_flushed_is_empty<R: Ring>() {
        let file = File::new(&format!("never-{}", R::KIND));
        let mut ring = R::open_or_create(&file.place()).unwrap();
        assert!(ring.send(1));
        drop(ring);
        file.restart();
        let repaired = repair(&file.place()).unwrap();
        assert!(repaired.restarted);
        assert!(!repair(&file.place()).unwrap().restarted);
        assert_eq!(drain(&mut R::open_or_create(&file.place()).unwrap()).unwrap(), []);
    }

    /// Messages go through and flushes come in between; then the machine stops, and each page is as it was at some
    /// moment since the last flush but one was complete.
    pub(super) fn whatever_the_disk_has_nothing_torn_is_delivered<R: Ring>() {
        let mut random = Random(7);
        let (mut whole, mut corrupt) = (0, 0);
        for round in 0..120 {
            let file = File::new(&format!("disk-{}-{round}", R::KIND));
            let mut ring = R::open_or_create(&file.place()).unwrap();
            let (mut sent, mut received) = (0, 0);
            let mut covered = Vec::new();
            let mut versions = Vec::new();
            for step in 0..random.below(400) {
                match random.below(60) {
                    0..31 => sent += u64::from(ring.send(sent)),
                    31..59 => received += u64::from(ring.receive().unwrap().is_some()),
                    _ => {
                        let before = file.bytes();
                        ring.flush(step % 2 == 0).unwrap();
                        covered = vec![covered.pop().unwrap_or(0..0), received..sent];
                        versions = vec![before, file.bytes()];
                    }
                }
                if versions.is_empty() || random.below(4) == 0 {
                    versions.push(file.bytes());
                }
            }
            drop(ring);
            versions.push(file.bytes());
            let mut disk = versions[0].clone();
            let unit = |start: usize| if start < PAGE { SECTOR } else { PAGE };
            let mut start = 0;
            while start < disk.len() {
                let unit = start..start + unit(start);
                let version = usize::try_from(random.below(versions.len() as u64)).unwrap();
                disk[unit.clone()].copy_from_slice(&versions[version][unit.clone()]);
                start = unit.end;
            }
            file.write(0, &disk);
            file.restart();
            let found = R::open_or_create(&file.place()).and_then(|mut ring| drain(&mut ring));
            covered.push(0..0); // what the birth covered, if none of the others was complete
            match found {
                Err(Error::Corrupt(_)) => corrupt += 1,
                Ok(found) => {
                    let is_covered = covered.iter().any(|range| found.iter().copied().eq(range.clone()));
                    assert!(is_covered, "round {round}: {found:?} of {covered:?}");
                    whole += usize::from(!found.is_empty());
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(whole > 5 && corrupt > 0, "{}: {whole} whole, {corrupt} corrupt", R::KIND);
    }

    pub(super) fn recovery_believes_nothing_but_the_record<R: Ring>() {
        let file = File::new(&format!("believe-{}", R::KIND));
        let mut ring = R::open_or_create(&file.place()).unwrap();
        assert!((0..12).all(|number| ring.send(number)));
        assert!((0..5).all(|number| ring.receive().unwrap() == Some(number)));
        ring.flush(true).unwrap();
        drop(ring);
        // As a recovery that was killed and one after it find it: any words, and the same record and messages.
        for filling in [0xFF, 0x55, 0] {
            // In an MPMC ring, seats and slots follow at once; the common words are all that no message needs.
            let end = PRODUCER_REGION_OFFSET + 256 + 40;
            file.write(PRODUCER_REGION_OFFSET + 16, &vec![filling; end - PRODUCER_REGION_OFFSET - 16]);
            if filling != 0 && R::KIND.starts_with("Spsc") {
                file.write(1024, &[filling; 128]);
            }
            let notices = [PRODUCER_REGION_OFFSET + 128 + 16, PRODUCER_REGION_OFFSET + 384, 1024 + 256 + 16];
            for notice in notices {
                file.write(notice, &[0; 4]);
            }
            file.restart();
            assert!(repair(&file.place()).unwrap().restarted);
        }
        assert_eq!(
            drain(&mut R::open_or_create(&file.place()).unwrap()).unwrap(),
            (5..12).collect::<Vec<_>>()
        );
    }

    pub(super) fn a_message_that_is_not_whole_is_corrupt<R: Ring>() {
        let file = File::new(&format!("whole-{}", R::KIND));
        let mut ring = R::open_or_create(&file.place()).unwrap();
        assert!((0..12).all(|number| ring.send(number)));
        ring.flush(true).unwrap();
        drop(ring);
        file.restart();
        let bytes = file.bytes();
        let tag = value(9)[1].to_le_bytes();
        let nine = message(9);
        let place = bytes.windows(nine.len()).position(|window| window == nine);
        let place = place.or_else(|| bytes.windows(8).position(|window| window == tag)).unwrap();
        assert!(place >= DATA_OFFSET);
        file.write(place, &[!bytes[place]]);
        for _ in 0..2 {
            let error = inspect(&file.place()).unwrap_err();
            assert!(matches!(error, Error::Corrupt(what) if what.contains("restarted")), "{error}");
            let Err(error) = R::open_or_create(&file.place()) else {
                panic!("a ring that is not whole was opened")
            };
            assert!(matches!(error, Error::Corrupt(what) if what.contains("restarted")), "{error}");
        }
        // Without both records nothing is known.
        file.write(place, &[bytes[place]]);
        file.write(RECORDS_OFFSET, &[0; 224]);
        assert!(matches!(inspect(&file.place()), Err(Error::Corrupt(_))));
    }
}

#[test]
fn those_before_the_restart_count_as_dead() {
    let file = File::new("dead");
    let mut producer = Producer::open_or_create(&file.place()).unwrap();
    let consumer = Consumer::open(&file.place()).unwrap();
    producer.send(b"covered").unwrap();
    producer.flush().unwrap();
    drop((producer, consumer));
    file.restart();
    let mut consumer = Consumer::open(&file.place()).unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"covered");
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    let mut producer = Producer::open(&file.place()).unwrap();
    producer.send(b"next").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"next");

    let file = File::new("dead-many");
    let mut sender = Sender::open_or_create(&file.place()).unwrap();
    sender.send(b"covered").unwrap();
    sender.flush().unwrap();
    drop(sender);
    file.restart();
    let mut receiver = Receiver::open(&file.place()).unwrap();
    assert_eq!(receiver.recv().unwrap().to_vec(), b"covered");
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Died))));
}

#[test]
fn nothing_is_recovered_under_somebody_who_sits() {
    for (kind, seat) in [("spsc", PRODUCER_REGION_OFFSET as u64 + 256), ("mpmc", 1024 + 256 * 63)] {
        let file = File::new(&format!("sits-{kind}"));
        if kind == "spsc" {
            Producer::builder(&file.place()).create_ring().unwrap();
        } else {
            Sender::builder(&file.place()).create_ring().unwrap();
        }
        file.restart();
        let before = file.bytes();
        let elsewhere = file.object();
        assert!(lock::try_lock(&elsewhere, seat, Lock::Exclusive).unwrap());
        let refused = repair(&file.place()).unwrap_err();
        assert!(refused.to_string().contains("another machine"), "{refused}");
        assert!(file.bytes() == before);
        drop(elsewhere);
        assert!(repair(&file.place()).unwrap().restarted);
    }
}

/// A producer that is stopped between publishing and noting it, or was killed there.
#[test]
fn what_is_published_counts_though_it_is_not_noted_yet() {
    for received in [1, 3] {
        let file = File::new(&format!("lags-{received}"));
        let mut producer = Producer::open_or_create(&file.place()).unwrap();
        let mut consumer = Consumer::open(&file.place()).unwrap();
        (0..3).for_each(|number| producer.send(&message(number)).unwrap());
        file.write(PRODUCER_REGION_OFFSET, &[0; 32]);
        (0..received).for_each(|next| assert_eq!(number(&consumer.recv().unwrap().to_vec()), next));
        consumer.flush().unwrap();
        drop((producer, consumer));
        file.restart();
        let mut consumer = Consumer::open(&file.place()).unwrap();
        (received..3).for_each(|next| assert_eq!(number(&consumer.recv().unwrap().to_vec()), next));
        assert!(matches!(consumer.recv(), Err(Error::Disconnected(_))));
    }
}

#[test]
fn one_flush_waits_for_another() {
    let file = File::new("waits");
    let mut producer = Producer::open_or_create(&file.place()).unwrap();
    let other = file.object();
    assert!(lock::try_lock(&other, FLUSH_LOCK_BYTE, Lock::Exclusive).unwrap());
    assert!(matches!(producer.flush_until(Deadline::now()), Err(Error::TimedOut)));
    drop(other);
    producer.flush().unwrap();
    producer.send(b"and nobody else waits").unwrap();
}

#[test]
fn rings_in_memory_have_nothing_to_flush() {
    let name = format!("shm-ring-restart-{}-memory", std::process::id());
    let mut producer = Producer::create(&name).unwrap();
    let other = Consumer::open(&name).unwrap();
    std::fs::remove_file(format!("/dev/shm/{name}")).unwrap(); // nothing stays behind, whatever comes now
    producer.flush().unwrap();
    drop(other);
}

/// The lock of a flush goes with the flush, and not with the handle.
#[test]
fn a_flush_leaves_the_next_one_its_turn() {
    let file = File::new("turn");
    let mut producer = Producer::create(&file.place()).unwrap();
    let mut consumer = Consumer::open(&file.place()).unwrap();
    let soon = || Deadline::after(std::time::Duration::from_secs(300));
    producer.flush_until(soon()).unwrap();
    consumer.flush_until(soon()).unwrap();
    producer.flush_until(soon()).unwrap();
}

/// Messages that are received while a flush looks at them are no disorder.
#[test]
fn a_flush_bears_with_others_at_work() {
    let file = File::new("at-work");
    let sender = Sender::builder(&file.place()).capacity(64).create().unwrap();
    let mut receiver = Receiver::open(&file.place()).unwrap();
    std::thread::scope(|scope| {
        let mut sender = sender; // goes with a failure, which the receiver hears of
        scope.spawn(move || {
            (0..1000).for_each(|next| assert_eq!(number(&receiver.recv().unwrap().to_vec()), next))
        });
        for round in 0..20 {
            (0..50).for_each(|at| sender.send(&message(round * 50 + at)).unwrap());
            sender.flush().unwrap();
        }
    });
}
