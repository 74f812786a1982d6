//! cloudtoid-interprocess, between processes, its receivers spinning.

use super::{QUEUE_BYTES, pair, process, unique};
use crate::words::spin;
use cloudtoid_interprocess::{Options, Publisher, Subscriber};
use shm_measure::peer::Opening;
use shm_measure::{Failure, Link, Measured, Result, Serve};

pub const NAME: &str = "cloudtoid-interprocess";

struct Queues(Publisher, Subscriber);

impl Queues {
    fn open(name: &str, there: &str, back: &str) -> Result<Self> {
        let options = |end: &str| {
            Options::new(format!("{name}-{end}"), QUEUE_BYTES).with_path(format!("/dev/shm/{name}"))
        };
        Ok(Self(Publisher::open(&options(there))?, Subscriber::open(&options(back))?))
    }
}

impl Link for Queues {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        spin(|| match self.0.try_send(message) {
            Ok(()) => Some(Ok(())),
            Err(error) if error.is_full() => None,
            Err(error) => Some(Err(Failure::from(error))),
        })?
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        spin(|| self.1.try_recv_into(buffer).map_err(Failure::from).transpose())?
    }
}

pub fn start(_words: usize) -> Result<Box<dyn Measured>> {
    let name = unique();
    std::fs::create_dir(format!("/dev/shm/{name}"))?;
    let queues = Queues::open(&name, "t", "b")?;
    let other = process(NAME, vec![name], &[])?;
    Ok(pair(NAME, queues, other))
}

pub fn open(opening: &Opening) -> Result<Box<dyn Serve>> {
    let name = opening.word(0)?;
    Ok(Box::new(Queues::open(name, "b", "t")?))
}
