//! Rings in files that are just being recovered, after a restart of the machine.
//!
//! Who recovers is stopped after each of its instructions. Whatever the file is at one of these moments is what a
//! kill would leave there: whoever comes next has to find the same messages in it, and leave the same bytes, as if
//! nobody had died: or the same error. At some of the moments it is killed indeed.

use crate::content::{CAPACITY_BYTES, CAPACITY_SLOTS, LONGEST, Value, content, number, number_of, value};
use crate::tracer::{Tracee, allow_tracing, mark};
use crate::walk::{self, Course};
use crate::{Progress, watched};
use shm_core::system;
use shm_ring::layout::mpmc::{
    COMMON_BYTES, COMMON_OFFSET, NOTICE_OFFSET as COMMON_NOTICE, SEAT_BYTES, SEATS_OFFSET,
};
use shm_ring::layout::restart::BOOT_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, CONSUMER_WAIT_OFFSET, NOTICE_OFFSET,
    PRODUCER_REGION_BYTES, PRODUCER_REGION_OFFSET, PRODUCER_WAIT_OFFSET,
};
use shm_ring::{
    Consumer, Error, Kind, Producer, Receiver, Result, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender, repair,
};
use shm_tests::{Need, Peer, Scratch, Test};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Steps spent on the kills of one recovery at any moments, and as many on those at its stores.
const STEPS: u64 = 30_000;
const PARTICIPANTS: u64 = 3;
const CAPACITY_MANY: u64 = 4;
/// Another run of the machine.
const ANOTHER_RUN: [u8; 16] = [0xEE; 16];
/// What stands in all words that recovery writes: as if the disk had made it up.
const GARBAGE: u8 = 0xB7;
/// A disk: what lies in memory needs no recovery.
const DISK: &str = env!("CARGO_TARGET_TMPDIR");

pub(crate) fn tests() -> Vec<Test> {
    macro_rules! stepped {
        ($($test:ident($kind:ident)),* $(,)?) => {
            vec![$(Test {
                name: concat!("stepping::recovery::", stringify!($test)),
                needs: vec![Need::Trace],
                body: || killed_recovering(Kind::$kind),
            }),*]
        };
    }
    stepped![
        killed_recovering_bytes(SpscBytes),
        killed_recovering_values(SpscTyped),
        killed_recovering_bytes_of_many(MpmcBytes),
        killed_recovering_values_of_many(MpmcTyped),
    ]
}

/// Role, with the ring as its argument.
pub(crate) fn be_the_recoverer(arguments: &[String]) {
    let [place] = arguments else { panic!("{arguments:?}") };
    allow_tracing();
    mark();
    let recovered = repair(place);
    mark();
    drop(recovered);
}

/// Recovers what was flushed, and what was written over since.
fn killed_recovering(kind: Kind) {
    let scratch = Scratch::private_in(DISK);
    let disk = Disk::new(&scratch);
    let (sound, covered) = disk.left_behind(kind);
    let mut lost = sound.clone();
    // In the last message.
    let last = if kind.is_typed() { value(4)[1].to_le_bytes().to_vec() } else { content(4) };
    let place = lost.windows(last.len()).position(|bytes| bytes == last).expect("the message");
    lost[place] ^= 1;
    watched(&format!("recovering {kind:?}"), |progress| {
        at_every_moment(progress, &disk, kind, &sound, &Ok(covered));
        let error = Error::Corrupt(
            "the machine was restarted, and what was flushed before was written over or is not on the disk",
        );
        at_every_moment(progress, &disk, kind, &lost, &Err(error.to_string()));
    });
}

/// Follows a recovery once, then kills it at each moment in turn, on the same image again.
fn at_every_moment(
    progress: &Progress,
    disk: &Disk,
    kind: Kind,
    image: &[u8],
    expected: &std::result::Result<Vec<u64>, String>,
) {
    disk.put(image);
    assert_eq!(&outcome(repair(&disk.place)), &expected.as_ref().map(|_| ()).map_err(Clone::clone));
    let undisturbed = disk.bytes();
    assert_eq!(undisturbed == image, expected.is_err(), "what can not be recovered is left alone");
    assert_eq!(&disk.drain(kind), expected);

    disk.put(image);
    let begin = || {
        let peer = Peer::start("recoverer", &[&disk.place]);
        let tracee = Tracee::catch(peer.pid());
        (peer, tracee)
    };
    let mut left = Vec::new();
    let changed = || {
        let now = disk.bytes();
        let differs = left.last() != Some(&now);
        if differs {
            left.push(now);
        }
        differs
    };
    let (peer, mut tracee) = begin();
    let asleep = || panic!("it sleeps");
    let course = if walk::coarse() {
        Course::of_calls(&mut tracee, asleep)
    } else {
        Course::follow(&mut tracee, changed, asleep)
    };
    peer.kill();
    // What a kill leaves: the kernel frees the locks, and there is nothing else.
    for (store, left) in left.iter().enumerate() {
        progress.now(format!("recovering {kind:?} what store {store} left"));
        disk.put(left);
        come_next(disk, kind, &undisturbed, expected);
    }
    // And that this is so.
    let mut tries = course.sample(STEPS);
    tries.extend(course.differing(STEPS));
    print!("{} stores, ", left.len().saturating_sub(1));
    course.tell(tries.len());
    for moment in tries {
        progress.now(format!("recovering {kind:?} at {:?}", course.points[moment]));
        disk.put(image);
        let (peer, mut tracee) = begin();
        walk::go_to(&mut tracee, course.points[moment], || panic!("it sleeps"));
        peer.kill();
        come_next(disk, kind, &undisturbed, expected);
    }
}

/// Another process comes to what the dead one has left.
fn come_next(disk: &Disk, kind: Kind, undisturbed: &[u8], expected: &std::result::Result<Vec<u64>, String>) {
    if disk.is_from_another_run() {
        let recovered = outcome(repair(&disk.place));
        assert_eq!(recovered, expected.as_ref().map(|_| ()).map_err(Clone::clone));
    }
    assert!(disk.bytes() == undisturbed, "it leaves something else");
    assert_eq!(&disk.drain(kind), expected);
}

fn outcome<T>(done: Result<T>) -> std::result::Result<(), String> {
    done.map(drop).map_err(|error| error.to_string())
}

/// A ring in a file.
#[derive(Debug)]
struct Disk {
    path: PathBuf,
    place: String,
}

impl Disk {
    fn new(scratch: &Scratch) -> Self {
        let path = scratch.path(&scratch.name("ring"));
        Self { place: format!("file:{}", path.display()), path }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn put(&self, image: &[u8]) {
        let file = File::options().write(true).create(true).truncate(false).open(&self.path).unwrap();
        file.write_all_at(image, 0).unwrap();
    }

    fn is_from_another_run(&self) -> bool {
        let bytes = self.bytes();
        bytes[BOOT_OFFSET..BOOT_OFFSET + ANOTHER_RUN.len()] != system::boot_id().unwrap()
    }

    /// A ring of which messages 2 to 4 were flushed and wait, message 5 was sent later, and nothing else can be
    /// believed; and those messages.
    fn left_behind(&self, kind: Kind) -> (Vec<u8>, Vec<u64>) {
        macro_rules! live {
            ($builder:expr, $receiver:ty, $message:expr) => {{
                let mut sender = $builder.create().unwrap();
                let mut receiver = <$receiver>::open(&self.place).unwrap();
                for number in 0..5 {
                    sender.try_send(&$message(number)).unwrap();
                    if number < 2 {
                        receiver.try_recv().unwrap();
                    }
                }
                sender.flush().unwrap();
                sender.try_send(&$message(5)).unwrap();
                std::fs::read(&self.path).unwrap()
            }};
        }
        let place = &self.place;
        let mut image = match kind {
            Kind::SpscBytes => {
                live!(Producer::builder(place).capacity(CAPACITY_BYTES), Consumer, content)
            }
            Kind::SpscTyped => live!(
                TypedProducer::<Value>::builder(place).capacity(CAPACITY_SLOTS),
                TypedConsumer<Value>,
                value
            ),
            Kind::MpmcBytes => {
                let builder = Sender::builder(place).max_message(LONGEST as u64);
                live!(builder.capacity(CAPACITY_MANY).participants(PARTICIPANTS), Receiver, content)
            }
            _ => {
                let builder = TypedSender::<Value>::builder(place).capacity(CAPACITY_MANY);
                live!(builder.participants(PARTICIPANTS), TypedReceiver<Value>, value)
            }
        };
        garble(&mut image, kind);
        image[BOOT_OFFSET..BOOT_OFFSET + ANOTHER_RUN.len()].copy_from_slice(&ANOTHER_RUN);
        (image, vec![2, 3, 4])
    }

    /// What a ring that is recovered by now has in it.
    fn drain(&self, kind: Kind) -> std::result::Result<Vec<u64>, String> {
        macro_rules! drain {
            ($receiver:ty, $number:expr) => {
                <$receiver>::open(&self.place).and_then(|mut receiver| {
                    let mut numbers = Vec::new();
                    loop {
                        match receiver.try_recv().map($number) {
                            Ok(number) => numbers.push(number),
                            Err(Error::Empty) => return Ok(numbers),
                            Err(Error::Disconnected(_)) => {} // those before the restart
                            Err(error) => return Err(error),
                        }
                    }
                })
            };
        }
        let drained = match kind {
            Kind::SpscBytes => drain!(Consumer, |message| number(&message.to_vec())),
            Kind::SpscTyped => drain!(TypedConsumer<Value>, number_of),
            Kind::MpmcBytes => drain!(Receiver, |message| number(&message.to_vec())),
            _ => drain!(TypedReceiver<Value>, number_of),
        };
        drained.map_err(|error| error.to_string())
    }
}

/// Writes garbage over all words that recovery has to set, but for the notices, which stay.
fn garble(image: &mut [u8], kind: Kind) {
    let producer = PRODUCER_REGION_OFFSET..PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES;
    let consumer = CONSUMER_REGION_OFFSET..CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES;
    let (words, notices) = if kind.is_mpmc() {
        let seats = SEATS_OFFSET..SEATS_OFFSET + SEAT_BYTES * usize::try_from(PARTICIPANTS).unwrap();
        ([COMMON_OFFSET..COMMON_OFFSET + COMMON_BYTES, seats], vec![COMMON_OFFSET + COMMON_NOTICE])
    } else {
        let notices = [
            PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET + NOTICE_OFFSET,
            CONSUMER_REGION_OFFSET + CONSUMER_WAIT_OFFSET + NOTICE_OFFSET,
        ];
        ([producer, consumer], notices.to_vec())
    };
    for words in words {
        image[words].fill(GARBAGE);
    }
    for notice in notices {
        image[notice..notice + 4].fill(0);
    }
}
