//! Messages that say who sent them and which they are, and receivers that check it.

pub const BYTES: usize = 56;
pub type Message = [u8; BYTES];

/// Message `number` of `sender`.
pub fn message(sender: u64, number: u64) -> Message {
    let mut message = [sender as u8; BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message[8..16].copy_from_slice(&(number ^ sender).to_le_bytes());
    message
}

/// What one receiver has seen.
pub struct Check {
    next: Vec<u64>,
    pub received: u64,
    /// Of all numbers, which is known beforehand for all receivers together.
    pub sum: u64,
}

impl Check {
    pub fn new(senders: u64) -> Self {
        Self { next: vec![0; senders as usize], received: 0, sum: 0 }
    }

    /// Verifies every byte, and that each sender's messages come in order.
    pub fn take(&mut self, bytes: &[u8]) {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (number, sender) = (word(0), word(0) ^ word(8));
        assert_eq!(bytes, message(sender, number), "a message is torn");
        let next = &mut self.next[sender as usize];
        assert!(number >= *next, "sender {sender}: {number} after {next}");
        *next = number + 1;
        self.received += 1;
        self.sum = self.sum.wrapping_add(number);
    }
}

/// The sum of all numbers that `senders` send, `each` of them.
pub fn sum(senders: u64, each: u64) -> u64 {
    senders.wrapping_mul(each * (each - 1) / 2)
}
