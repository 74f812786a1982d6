//! crossbeam's ArrayQueue with many threads. It has no waiting of its own: all back off as crossbeam suggests.

use crate::words::{Ends, Message, Words, snooze};
use crossbeam_queue::ArrayQueue;
use shm_measure::crowd::{self, Part, Participant};
use shm_measure::{Other, Result, Run};
use std::sync::Arc;
use std::time::Duration;

const WORDS: usize = crowd::BYTES / 8;

struct Many(Arc<ArrayQueue<Message<WORDS>>>);

impl Ends<WORDS> for Many {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        snooze(|| self.0.push(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        snooze(|| self.0.pop())
    }
}

pub fn measure(capacity: u64, pairs: u64, time: Duration) -> Result<Run> {
    let queue = Arc::new(ArrayQueue::new(usize::try_from(capacity)?));
    let start = |part: Part, index: u64| {
        let queue = queue.clone();
        Other::thread(crowd::processor(part, index), move || Ok(Participant::new(Words(Many(queue)), part)))
    };
    let senders = (0..pairs).map(|index| start(Part::Send(index), index));
    let receivers = (0..pairs).map(|index| start(Part::Receive(pairs), index));
    crowd::conduct("ArrayQueue", senders.chain(receivers).collect::<Result<_>>()?, time)
}
