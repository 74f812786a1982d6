//! The layout that `docs/layout.md` promises: its constants, and every byte of a small ring.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_core::{Access, header, lock};
use shm_ring::layout::{mpmc, restart, spsc};
use shm_ring::{Consumer, Producer, TypedConsumer, TypedProducer};

#[test]
fn the_page_names_the_constants_with_their_values() {
    let page = include_str!("../../../docs/layout.md");
    macro_rules! constants {
        ($($module:ident :: $name:ident),* $(,)?) => { [$((stringify!($name), $module::$name)),*] };
    }
    let constants = constants![
        spsc::PRODUCER_REGION_OFFSET,
        spsc::CONSUMER_REGION_OFFSET,
        spsc::DATA_OFFSET,
        header::MAGIC_OFFSET,
        header::VERSION_OFFSET,
        header::KIND_OFFSET,
        header::OBJECT_BYTES_OFFSET,
        header::INSTANCE_OFFSET,
        header::FINGERPRINT_OFFSET,
        header::CREATED_OFFSET,
        header::FLAGS_OFFSET,
        header::GEOMETRY_OFFSET,
        header::SPARE_OFFSET,
        spsc::TAIL_OFFSET,
        spsc::PRODUCER_WAIT_OFFSET,
        spsc::PRODUCER_SEAT_OFFSET,
        spsc::PRODUCER_STATISTICS_OFFSET,
        spsc::HEAD_OFFSET,
        spsc::CURSOR_OFFSET,
        spsc::CONSUMER_WAIT_OFFSET,
        spsc::CONSUMER_SEAT_OFFSET,
        spsc::SLEEP_OFFSET,
        spsc::WAKE_OFFSET,
        spsc::LIFE_OFFSET,
        spsc::NOTICE_OFFSET,
        spsc::TENURE_OFFSET,
        spsc::PID_OFFSET,
        spsc::DROPPED_BITS_OFFSET,
        spsc::DIED_BITS_OFFSET,
        spsc::BEGAN_OFFSET,
        spsc::TOLD_OFFSET,
        spsc::BEGAN_COUNT_OFFSET,
        mpmc::COMMON_OFFSET,
        mpmc::SEATS_OFFSET,
        mpmc::DATA_WAIT_OFFSET,
        mpmc::SPACE_WAIT_OFFSET,
        mpmc::SENDERS_OFFSET,
        mpmc::RECEIVERS_OFFSET,
        mpmc::JOINS_OFFSET,
        mpmc::LEAVES_OFFSET,
        mpmc::LAST_DROPPED_OFFSET,
        mpmc::LAST_DIED_OFFSET,
        mpmc::HAND_OFFSET,
        mpmc::SENT_OFFSET,
        mpmc::RECEIVED_OFFSET,
        mpmc::FULL_WAITS_OFFSET,
        mpmc::DROPPED_OFFSET,
        mpmc::HIGH_WATER_OFFSET,
        mpmc::LOST_OFFSET,
        restart::BOOT_OFFSET,
        restart::RECORDS_OFFSET,
        restart::FLUSH_NUMBER_OFFSET,
        restart::FIRST_OFFSET,
        restart::END_OFFSET,
        restart::COUNT_OFFSET,
        restart::DIGEST_OFFSET,
        restart::SENDING_SIDE_OFFSET,
        restart::RECEIVING_SIDE_OFFSET,
        restart::CHECKSUM_OFFSET,
    ];
    for (name, value) in constants {
        let row = page.lines().find(|line| line.ends_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/layout.md does not name {name}"));
        assert!(row.starts_with(&format!("| {value} |")), "{name} is {value}, and the page says: {row}");
    }
    assert!(page.contains(&format!("Layout version {}", header::LAYOUT_VERSION)));
}

/// Bytes of a ring's object, with a note of which were looked at.
struct Object {
    bytes: Vec<u8>,
    explained: Vec<bool>,
}

impl Object {
    fn read(name: &Scratch) -> Self {
        let bytes = name.read_all();
        Self { explained: vec![false; bytes.len()], bytes }
    }

    fn take(&mut self, offset: usize, length: usize) -> &[u8] {
        self.explained[offset..offset + length].fill(true);
        &self.bytes[offset..offset + length]
    }

    fn u64(&mut self, offset: usize) -> u64 {
        u64::from_le_bytes(self.take(offset, 8).try_into().unwrap())
    }

    fn u32(&mut self, offset: usize) -> u32 {
        u32::from_le_bytes(self.take(offset, 4).try_into().unwrap())
    }

    fn header(&mut self, kind: u32, geometry: [u64; 8]) {
        assert_eq!(self.take(0, 8), b"SHMRING\n");
        assert_eq!((self.u32(8), self.u32(12)), (1, kind));
        assert_eq!(self.u64(16), self.bytes.len() as u64);
        assert_ne!(self.take(24, 16), [0; 16]);
        assert!(self.u64(48) > 1_700_000_000_000_000_000);
        for (word, expected) in geometry.into_iter().enumerate() {
            assert_eq!(self.u64(64 + 8 * word), expected, "geometry word {word}");
        }
        self.birth();
    }

    /// A ring's birth is its first flush; the digest is written once more here, as the page tells it.
    fn birth(&mut self) {
        let step =
            |digest: u64, word: u64| (digest ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let digest =
            |words: &[u64]| words.iter().fold(0xCBF2_9CE4_8422_2325, |digest, &word| step(digest, word));
        assert_ne!(self.take(256, 16), [0; 16]);
        let mut words: Vec<u64> = (272..376).step_by(8).map(|offset| self.u64(offset)).collect();
        assert_eq!(words, [1, 0, 0, 0, digest(&[]), 0, 0, 0, 0, 0, 0, 0, 0]);
        words.splice(0..0, [self.u64(24), self.u64(32)]);
        assert_eq!(self.u64(376), digest(&words));
    }

    /// Whatever nobody looked at is zero.
    fn finish(self) {
        let wrong = |&at: &usize| !self.explained[at] && self.bytes[at] != 0;
        let wrong: Vec<usize> = (0..self.bytes.len()).filter(wrong).collect();
        assert!(wrong.is_empty(), "not zero: {wrong:?}");
    }
}

#[test]
fn every_byte_of_a_small_ring_of_bytes() {
    let name = Scratch::new("layout");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send_tagged(0x1234, b"abc").unwrap(); // 0 to 16
    producer.send(b"0123456789").unwrap(); // 16 to 40
    drop(consumer.recv().unwrap());
    drop(consumer.recv().unwrap());
    producer.send(b"ABCDEFGHIJKLMNOP").unwrap(); // 40 to 64
    drop(consumer.recv().unwrap());
    producer.send(b"x").unwrap(); // 64 to 80
    producer.send(b"0123456789").unwrap(); // 80 to 104
    drop(consumer.recv().unwrap());
    drop(consumer.recv().unwrap());
    producer.send(b"0123456789ABCDEF0123").unwrap(); // a pad from 104 to 128, then 128 to 160
    drop(consumer);
    producer.close();

    let mut object = Object::read(&name);
    object.header(1, [64, 24, 4096, 64, 0, 0, 0, 0]);
    assert_eq!(object.u64(40), 0);
    // Tail: published up to 160, six messages; the entry before it: up to 104, five.
    let tail = [512, 520, 528, 536].map(|offset| object.u64(offset));
    assert_eq!(tail, [160, 6, 104, 5]);
    let (sleep, _wakes, life, notice) = (object.u64(640), object.u32(648), object.u32(652), object.u32(656));
    assert_eq!((sleep % 2, life, notice), (0, 0, 0));
    assert_eq!(object.u64(768), 256 + 2, "tenure 1, closed");
    assert_eq!(object.u32(776), std::process::id());
    // Head and cursor.
    assert_eq!(object.u64(1024), 104);
    let cursor = [1152, 1160, 1168, 1176].map(|offset| object.u64(offset));
    assert_eq!(cursor, [80, 4, 104, 5]);
    let (sleep, _wakes) = (object.u64(1280), object.u32(1288));
    assert_eq!(sleep % 2, 0);
    assert_eq!(object.u64(1408), 256 + 3, "tenure 1, left without closing");
    assert_eq!(object.u32(1416), std::process::id());
    assert_eq!(object.u64(1024 + 528), 2, "high water");
    // Data: positions 128 to 160 at its beginning, then the zero word, and the pad at 104 modulo 64.
    assert_eq!(object.u64(4096), 20 | 1 << 40);
    assert_eq!(object.take(4104, 20), b"0123456789ABCDEF0123");
    object.take(4124, 4); // up to a multiple of 8: anything
    assert_eq!(object.u64(4096 + 32), 0);
    assert_eq!(object.u64(4096 + 40), 16 | 2 << 40);
    object.take(4096 + 48, 16); // what an older message left
    object.finish();
}

#[test]
fn the_first_message_of_a_tenure_says_so() {
    let name = Scratch::new("tenure");
    for tenure in 1..=2 {
        let mut producer = Producer::builder(&name.0).capacity(64).open_or_create().unwrap();
        producer.send_tagged(0x1234, b"abc").unwrap();
        producer.close();
        let mut object = Object::read(&name);
        assert_eq!(object.u64(4096 + 16 * (tenure - 1)), 3 | (64 + tenure as u64) << 40 | 0x1234 << 48);
    }
}

#[test]
fn every_byte_of_a_small_ring_of_values() {
    let name = Scratch::new("layout-typed");
    let mut producer = TypedProducer::<[u32; 3]>::builder(&name.0).capacity(4).create().unwrap();
    let mut consumer = TypedConsumer::<[u32; 3]>::open(&name.0).unwrap();
    for value in 1..=4 {
        producer.send(&[value, value + 1, value + 2]).unwrap();
    }
    assert_eq!(consumer.recv().unwrap(), [1, 2, 3]);
    producer.send(&[5, 6, 7]).unwrap();
    drop((producer, consumer));

    let mut object = Object::read(&name);
    object.header(2, [4, 12, 4096, 48, 0, 0, 0, 0]);
    // FNV-1a of "[u32; 3]", 12, 4 and "", each followed by 0xFF, computed apart.
    assert_eq!(object.u64(40), 0x75ED_816E_C274_4D5B);
    assert_eq!(object.u64(512), 5, "published");
    object.take(640, 20);
    assert_eq!(object.u64(768), 256 + 3);
    object.take(776, 4);
    assert_eq!(object.u64(1024), 1, "received");
    object.take(1280, 20);
    assert_eq!(object.u64(1408), 256 + 3);
    object.take(1416, 4);
    object.take(1024 + 528, 8);
    let slots: Vec<u32> = (0..12).map(|word| object.u32(4096 + 4 * word)).collect();
    assert_eq!(slots, [5, 6, 7, 2, 3, 4, 3, 4, 5, 4, 5, 6]);
    object.finish();
}

/// Constants that the page tells without naming them, or whose names it uses twice.
#[test]
fn the_other_constants_have_the_values_of_the_page() {
    let spsc = [spsc::PRODUCER_REGION_BYTES, spsc::CONSUMER_REGION_BYTES, spsc::LEDGER_BYTES];
    assert_eq!(spsc, [512, 640, 32]);
    let statistics = [spsc::FULL_WAITS_OFFSET, spsc::DROPPED_OFFSET, spsc::HIGH_WATER_OFFSET];
    assert_eq!(statistics.map(|offset| spsc::PRODUCER_STATISTICS_OFFSET + offset), [384, 392, 400]);
    assert_eq!(spsc::CONSUMER_STATISTICS_OFFSET + spsc::HIGH_WATER_OFFSET, 528);
    assert_eq!((spsc::CAPACITY_BYTES_MIN, spsc::CAPACITY_BYTES_MAX), (32, 1_099_511_627_776));
    let common = [mpmc::COMMON_BYTES, mpmc::NOTICE_OFFSET, mpmc::TOLD_OFFSET, mpmc::ROLE_BYTES];
    assert_eq!(common, [512, 384, 32, 40]);
    let seat = [mpmc::SEAT_BYTES, mpmc::TENURE_OFFSET, mpmc::PID_OFFSET, mpmc::LIFE_OFFSET];
    assert_eq!(seat, [256, 128, 136, 176]);
    let counts = [
        mpmc::FULL_WAITS_OFFSET,
        mpmc::DROPPED_OFFSET,
        mpmc::HIGH_WATER_OFFSET,
        mpmc::LOST_OFFSET,
        mpmc::SENT_OFFSET,
        mpmc::RECEIVED_OFFSET,
    ];
    assert_eq!(counts, [144, 152, 160, 168, 8, 16]);
    assert_eq!((mpmc::HAND_BLOCK_BITS, mpmc::BLOCKS_MAX), (26, 67_108_863));
    assert_eq!((mpmc::HAND_UNREAD, mpmc::MESSAGE_BYTES_MAX), (4_503_599_627_370_496, 1_099_511_627_775));
    assert_eq!([restart::RECORD_BYTES, restart::RECORDS, restart::SIDE_BYTES], [112, 2, 32]);
    assert_eq!(restart::FLUSH_LOCK_BYTE, 2);
}

/// A seat's lock lies on its first byte, where other programs look for it.
#[test]
fn seats_are_locked_where_the_page_says() {
    let name = Scratch::new("locks");
    let seats = [
        spsc::PRODUCER_REGION_OFFSET + spsc::PRODUCER_SEAT_OFFSET,
        spsc::CONSUMER_REGION_OFFSET + spsc::CONSUMER_SEAT_OFFSET,
    ];
    let producer = Producer::create(&name.0).unwrap();
    let object = name.open(Access::ReadWrite).unwrap();
    let free = || seats.map(|seat| lock::is_free(&object, seat as u64).unwrap());
    assert_eq!(free(), [false, true]);
    let _consumer = Consumer::open(&name.0).unwrap();
    assert_eq!(free(), [false, false]);
    drop(producer);
    assert_eq!(free(), [true, false]);
}
