//! Queues of values of one plain type, as links of messages of just that many bytes.

use shm_measure::watchdog::given_up;
use shm_measure::{Link, Result};

/// A message of so many words.
pub type Message<const WORDS: usize> = [u64; WORDS];

/// Looks between two at whether the case was given up.
const LOOKS: u32 = 4096;

/// One end of a queue there and one of a queue back.
pub trait Ends<const WORDS: usize> {
    /// Sends a message, waiting for space.
    fn put(&mut self, message: Message<WORDS>) -> Result<()>;

    /// Receives a message, waiting for it.
    fn take(&mut self) -> Result<Message<WORDS>>;
}

/// Such ends as a link.
#[derive(Debug)]
pub struct Words<E, const WORDS: usize>(pub E);

impl<E: Ends<WORDS>, const WORDS: usize> Link for Words<E, WORDS> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut words = [0; WORDS];
        let (bytes, _) = message.as_chunks::<8>();
        let bytes: &[[u8; 8]; WORDS] = bytes.try_into().map_err(|_| "a message of another length")?;
        for (word, bytes) in words.iter_mut().zip(bytes) {
            *word = u64::from_ne_bytes(*bytes);
        }
        self.0.put(words)
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let words = self.0.take()?;
        let (bytes, _) = buffer.as_chunks_mut::<8>();
        for (bytes, word) in bytes.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
        Ok(8 * WORDS)
    }
}

/// Spins until `look` finds something.
#[inline(always)]
pub fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return Ok(found);
            }
            std::hint::spin_loop();
        }
        if given_up() {
            return Err("the other side did not answer".into());
        }
    }
}

/// Looks, backing off as crossbeam suggests: for queues without waiting of their own whose users share processors.
#[inline(always)]
pub fn snooze<T>(mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let backoff = crossbeam_utils::Backoff::new();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        backoff.snooze();
        if backoff.is_completed() && given_up() {
            return Err("the other side did not answer".into());
        }
    }
}
