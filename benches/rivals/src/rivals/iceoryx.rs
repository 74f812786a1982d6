//! iceoryx2, between processes: publish and subscribe without overwriting, its receivers spinning.

use super::{QUEUE_BYTES, pair, process, unique, with_words};
use crate::words::{Ends, Message, Words, spin};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use shm_measure::peer::Opening;
use shm_measure::{Failure, Measured, Result, Serve};

pub const NAME: &str = "iceoryx2";
/// It keeps a sample for each place in the buffer: as many as fit into what the others have.
const PLACES_MAX: usize = 8192;

struct Ports<const WORDS: usize> {
    publisher: Publisher<ipc::Service, Message<WORDS>, ()>,
    subscriber: Subscriber<ipc::Service, Message<WORDS>, ()>,
    // Last: what was made with it goes first.
    _node: Node<ipc::Service>,
}

fn said(error: impl std::fmt::Debug) -> Failure {
    format!("iceoryx2: {error:?}").into()
}

impl<const WORDS: usize> Ends<WORDS> for Ports<WORDS> {
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        let sample = self.publisher.loan_uninit().map_err(said)?;
        sample.write_payload(message).send().map_err(said)?;
        Ok(())
    }

    fn take(&mut self) -> Result<Message<WORDS>> {
        let subscriber = &self.subscriber;
        spin(|| match subscriber.receive() {
            Ok(sample) => sample.map(|sample| Ok(*sample)),
            Err(error) => Some(Err(said(error))),
        })?
    }
}

/// `name` is that of the pair: everything that its two processes make begins with it, and is found by that.
fn ports<const WORDS: usize>(name: &str, there: &str, back: &str) -> Result<Ports<WORDS>> {
    let mut config = Config::default();
    config.global.prefix = FileName::new(format!("{name}_").as_bytes()).map_err(said)?;
    let directory = std::env::temp_dir().join(name);
    let directory = directory.to_str().ok_or("a directory that is no text")?;
    config.global.set_root_path(&Path::new(directory.as_bytes()).map_err(said)?);
    let node = NodeBuilder::new().config(&config).create::<ipc::Service>().map_err(said)?;
    let service = |name: &str| {
        let name: ServiceName = name.try_into().map_err(said)?;
        let service = node.service_builder(&name).publish_subscribe::<Message<WORDS>>();
        let places = (QUEUE_BYTES / (8 * WORDS)).min(PLACES_MAX);
        let service =
            service.enable_safe_overflow(false).subscriber_max_buffer_size(places).max_subscribers(1);
        service.max_publishers(1).history_size(0).open_or_create().map_err(said)
    };
    let strategy = BackpressureStrategy::RetryUntilDelivered;
    let publisher =
        service(there)?.publisher_builder().backpressure_strategy(strategy).create().map_err(said)?;
    let subscriber = service(back)?.subscriber_builder().create().map_err(said)?;
    Ok(Ports { publisher, subscriber, _node: node })
}

pub fn start(words: usize) -> Result<Box<dyn Measured>> {
    set_log_level(LogLevel::Fatal);
    with_words!(words, start_of())
}

fn start_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let name = unique();
    let ports = ports::<WORDS>(&name, "there", "back")?;
    let other = process(NAME, vec![WORDS.to_string(), name], &[])?;
    Ok(pair(NAME, Words::<_, WORDS>(ports), other))
}

pub fn open(opening: &Opening) -> Result<Box<dyn Serve>> {
    set_log_level(LogLevel::Fatal);
    with_words!(opening.word(0)?.parse::<usize>()?, open_of(opening.word(1)?))
}

fn open_of<const WORDS: usize>(name: &str) -> Result<Box<dyn Serve>> {
    let ports = ports::<WORDS>(name, "back", "there")?;
    Ok(Box::new(Words::<_, WORDS>(ports)))
}
