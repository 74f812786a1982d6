//! Queues that can do no more than threads of one process.

use super::{QUEUE_BYTES, apart, pair, with_words};
use crate::words::{Ends, Message, Words, spin};
use crossbeam_queue::ArrayQueue;
use shm_measure::{Measured, Other, Result};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Makes the ends of two queues, and starts a thread with two of them.
fn start<E: Ends<WORDS> + Send + 'static, const WORDS: usize>(
    name: &str,
    ours: E,
    theirs: E,
) -> Result<Box<dyn Measured>> {
    let other = Other::thread(apart()?, move || Ok(Words(theirs)))?;
    Ok(pair(name, Words(ours), other))
}

const fn slots(words: usize) -> usize {
    QUEUE_BYTES / (8 * words)
}

struct Rtrb<const WORDS: usize>(rtrb::Producer<Message<WORDS>>, rtrb::Consumer<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Rtrb<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        spin(|| self.0.push(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        spin(|| self.1.pop().ok())
    }
}

pub fn start_rtrb(words: usize) -> Result<Box<dyn Measured>> {
    fn start_it<const WORDS: usize>() -> Result<Box<dyn Measured>> {
        let ((there, there_end), (back, back_end)) =
            (rtrb::RingBuffer::new(slots(WORDS)), rtrb::RingBuffer::new(slots(WORDS)));
        start("rtrb", Rtrb::<WORDS>(there, back_end), Rtrb(back, there_end))
    }
    with_words!(words, start_it())
}

struct Nexus<const WORDS: usize>(
    nexus_queue::spsc::Producer<Message<WORDS>>,
    nexus_queue::spsc::Consumer<Message<WORDS>>,
);

impl<const WORDS: usize> Ends<WORDS> for Nexus<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        spin(|| self.0.push(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        spin(|| self.1.pop())
    }
}

pub fn start_nexus(words: usize) -> Result<Box<dyn Measured>> {
    fn start_it<const WORDS: usize>() -> Result<Box<dyn Measured>> {
        let ((there, there_end), (back, back_end)) =
            (nexus_queue::spsc::ring_buffer(slots(WORDS)), nexus_queue::spsc::ring_buffer(slots(WORDS)));
        start("nexus-queue", Nexus::<WORDS>(there, back_end), Nexus(back, there_end))
    }
    with_words!(words, start_it())
}

struct Gil<const WORDS: usize>(gil::spsc::Sender<Message<WORDS>>, gil::spsc::Receiver<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Gil<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        spin(|| self.0.try_send(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        spin(|| self.1.try_recv())
    }
}

pub fn start_gil(words: usize) -> Result<Box<dyn Measured>> {
    fn start_it<const WORDS: usize>() -> Result<Box<dyn Measured>> {
        let capacity = NonZeroUsize::new(slots(WORDS)).ok_or("no slots")?;
        let ((there, there_end), (back, back_end)) =
            (gil::spsc::channel(capacity), gil::spsc::channel(capacity));
        start("gil", Gil::<WORDS>(there, back_end), Gil(back, there_end))
    }
    with_words!(words, start_it())
}

struct Array<const WORDS: usize>(Arc<ArrayQueue<Message<WORDS>>>, Arc<ArrayQueue<Message<WORDS>>>);

impl<const WORDS: usize> Ends<WORDS> for Array<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        spin(|| self.0.push(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        spin(|| self.1.pop())
    }
}

pub fn start_array_queue(words: usize) -> Result<Box<dyn Measured>> {
    fn start_it<const WORDS: usize>() -> Result<Box<dyn Measured>> {
        let (there, back) =
            (Arc::new(ArrayQueue::new(slots(WORDS))), Arc::new(ArrayQueue::new(slots(WORDS))));
        start("ArrayQueue", Array::<WORDS>(there.clone(), back.clone()), Array(back, there))
    }
    with_words!(words, start_it())
}
