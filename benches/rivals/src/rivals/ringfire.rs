//! ringfire, between processes, so that nothing is overwritten: its lossless flow control.

use super::{QUEUE_BYTES, pair, process, unique, with_words};
use crate::words::{Ends, Message, Words, spin};
use ringfire::{FlowControl, RecvStatus, RingConsumer, RingProducer, RingProducerBuilder};
use shm_measure::peer::Opening;
use shm_measure::{Measured, Result, Serve};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const NAME: &str = "ringfire";
/// How long the other process has to make its ring.
const START: Duration = Duration::from_secs(10);

struct Rings<const WORDS: usize>(RingProducer<Message<WORDS>>, RingConsumer<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Rings<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        self.0.push(&message);
        Ok(())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        let consumer = &mut self.1;
        spin(|| match consumer.recv_status() {
            RecvStatus::Ok(message) => Some(Ok(message)),
            RecvStatus::Empty => None,
            RecvStatus::Lapped { skipped, .. } => {
                Some(Err(format!("{skipped} messages were overwritten").into()))
            }
        })?
    }
}

fn path(name: &str, suffix: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}-{suffix}"))
}

fn produce<const WORDS: usize>(path: PathBuf) -> Result<RingProducer<Message<WORDS>>> {
    let ring = RingProducerBuilder::new((QUEUE_BYTES / (8 * WORDS)) as u64);
    Ok(ring.flow_control(FlowControl::LosslessBackpressure).build(path)?)
}

/// Waits until the other process has made it. It is read from its beginning.
fn consume<const WORDS: usize>(path: PathBuf) -> Result<RingConsumer<Message<WORDS>>> {
    let began = Instant::now();
    loop {
        match RingConsumer::builder().start_from_oldest().attach(&path) {
            Ok(consumer) => return Ok(consumer),
            Err(error) if began.elapsed() > START => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

pub fn start(words: usize) -> Result<Box<dyn Measured>> {
    with_words!(words, start_of())
}

fn start_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let name = unique();
    let there = produce::<WORDS>(path(&name, "there"))?;
    let other = process(NAME, vec![WORDS.to_string(), name.clone()], &[])?;
    let back = consume(path(&name, "back"))?;
    Ok(pair(NAME, Words::<_, WORDS>(Rings(there, back)), other))
}

pub fn open(opening: &Opening) -> Result<Box<dyn Serve>> {
    with_words!(opening.word(0)?.parse::<usize>()?, open_of(opening.word(1)?))
}

fn open_of<const WORDS: usize>(name: &str) -> Result<Box<dyn Serve>> {
    let back = produce::<WORDS>(path(name, "back"))?;
    let there = consume(path(name, "there"))?;
    Ok(Box::new(Words::<_, WORDS>(Rings(back, there))))
}
