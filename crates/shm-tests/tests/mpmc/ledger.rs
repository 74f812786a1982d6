//! What senders have surely sent and receivers have surely got, in memory of its own that survives their kills.
//!
//! ```text
//!      0  stop u64, repeated u64, disorder u64, redelivered u64
//!     64  sent: u64 for each sender, how many messages it has surely sent
//!      …  got: a bitmap for each sender, of the messages that somebody got
//! ```

use shm_core::sync::Ordering;
use shm_core::{Access, Name, Options, Region, Word};

/// Messages of a sender, at most.
pub(crate) const MESSAGES: u64 = 1 << 16;
const HEADER_BYTES: u64 = 64;
const BITMAP_BYTES: u64 = MESSAGES / 8;

pub(crate) struct Ledger {
    region: Region,
    senders: u64,
}

/// A word of the ledger's beginning.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    /// Not 0: come to an end.
    Stop,
    /// Messages that were got twice without being marked.
    Repeated,
    /// Messages of one sender that one receiver got in the wrong order.
    Disorder,
    /// Messages that were marked as handed out before.
    Redelivered,
}

impl Ledger {
    pub(crate) fn create(options: &Options, name: &Name, senders: u64) -> Self {
        let bytes = HEADER_BYTES + senders * (8 + BITMAP_BYTES);
        Self { region: options.create(name, bytes).unwrap().map(Access::ReadWrite).unwrap(), senders }
    }

    pub(crate) fn open(name: &str, senders: u64) -> Self {
        let object = Options::new().open(&Name::new(name).unwrap(), Access::ReadWrite).unwrap();
        Self { region: object.map(Access::ReadWrite).unwrap(), senders }
    }

    fn word(&self, offset: u64) -> Word<u64> {
        self.region.word(usize::try_from(offset).unwrap()).unwrap()
    }

    fn field(&self, field: Field) -> Word<u64> {
        self.word(field as u64 * 8)
    }

    pub(crate) fn get(&self, field: Field) -> u64 {
        self.field(field).load(Ordering::Relaxed) // judged when all have ended
    }

    pub(crate) fn add(&self, field: Field) {
        self.field(field).fetch_add(1, Ordering::Relaxed); // as in `get`
    }

    /// How many messages a sender has surely sent.
    pub(crate) fn sent(&self, sender: u64) -> Word<u64> {
        assert!(sender < self.senders);
        self.word(HEADER_BYTES + sender * 8)
    }

    /// Notes that a message was got; whether it was before.
    pub(crate) fn note(&self, sender: u64, number: u64) -> bool {
        let bit = 1 << (number % 64);
        self.bits(sender, number / 64).fetch_or(bit, Ordering::Relaxed) & bit != 0 // as in `get`
    }

    /// Which messages of a sender somebody has noted. All have ended.
    pub(crate) fn got(&self, sender: u64) -> Vec<bool> {
        let offset = HEADER_BYTES + self.senders * 8 + sender * BITMAP_BYTES;
        let mut bytes = vec![0; usize::try_from(BITMAP_BYTES).unwrap()];
        self.region.copy_out(usize::try_from(offset).unwrap(), &mut bytes).unwrap();
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & 1 << bit != 0)).collect()
    }

    fn bits(&self, sender: u64, word: u64) -> Word<u64> {
        assert!(sender < self.senders && word < MESSAGES / 64);
        self.word(HEADER_BYTES + self.senders * 8 + sender * BITMAP_BYTES + word * 8)
    }
}
