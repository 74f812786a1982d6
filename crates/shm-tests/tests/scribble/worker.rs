//! Who works at a ring, whatever happens there, and says what became of it.

use crate::Value;
use shm_ring::{
    Consumer, Deadline, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender,
};
use shm_tests::{FUSE, peer};
use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(2);
const ATTACH: Duration = Duration::from_millis(50);

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Role, with the arguments kind and side: works at each ring that it is told of.
pub(crate) fn work(arguments: &[String]) {
    let (kind, sends) = (arguments[0].as_str(), arguments[1] == "send");
    while let Some(ring) = peer::listen() {
        let ring = ring.as_str();
        let end = match (kind, sends) {
            ("spsc bytes", true) => Producer::builder(ring).attach_timeout(ATTACH).open().and_then(produce),
            ("spsc bytes", false) => Consumer::builder(ring).attach_timeout(ATTACH).open().and_then(consume),
            ("spsc values", true) => {
                let opened = TypedProducer::<Value>::builder(ring).attach_timeout(ATTACH).open();
                opened.and_then(|mut one| each(|number| one.send_until(&value(number), soon())))
            }
            ("spsc values", false) => {
                let opened = TypedConsumer::<Value>::builder(ring).attach_timeout(ATTACH).open();
                opened.and_then(|mut one| each(|_| one.recv_until(soon()).map(drop)))
            }
            ("mpmc bytes", true) => Sender::builder(ring).attach_timeout(ATTACH).open().and_then(send),
            ("mpmc bytes", false) => Receiver::builder(ring).attach_timeout(ATTACH).open().and_then(receive),
            ("mpmc values", true) => {
                let opened = TypedSender::<Value>::builder(ring).attach_timeout(ATTACH).open();
                opened.and_then(|mut one| each(|number| one.send_until(&value(number), soon())))
            }
            ("mpmc values", false) => {
                let opened = TypedReceiver::<Value>::builder(ring).attach_timeout(ATTACH).open();
                opened.and_then(|mut one| each(|_| one.recv_until(soon()).map(drop)))
            }
            other => panic!("{other:?}"),
        };
        say(end);
    }
}

/// Role, with the arguments path of a socket and side: works at a sealed ring with whoever comes.
pub(crate) fn work_at_a_sealed_ring(arguments: &[String]) {
    let listener = UnixListener::bind(&arguments[0]).unwrap();
    peer::say("listening");
    while peer::listen().is_some() {
        let socket = listener.accept().unwrap().0;
        say(if arguments[1] == "send" {
            let builder = Producer::builder("sealed").capacity(4096).attach_timeout(FUSE);
            builder.connect(socket).and_then(produce)
        } else {
            Consumer::builder("sealed").attach_timeout(FUSE).connect(socket).and_then(consume)
        });
    }
}

fn say(end: Result<Infallible, Error>) {
    match end {
        Err(Error::Corrupt(what)) => peer::say(&format!("corrupt: {what}")),
        // With the path left out.
        Err(Error::Memory(error)) => {
            let error = format!("{error:?}");
            peer::say(&format!("memory: {}", error.split([' ', '{', '(']).next().unwrap_or_default()));
        }
        Err(error @ (Error::Disconnected(_) | Error::Detached)) => peer::say(&error.to_string()),
        Err(error) => {
            peer::say(&format!("{error:?}").split([' ', '{', '(']).next().unwrap_or_default().to_lowercase())
        }
    }
}

fn value(number: u32) -> Value {
    [u64::from(number); 5]
}

fn message(number: u32) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; usize::try_from(number % 180).unwrap()]
}

/// Does it again and again, until something else is wrong than that there is no space or message: whoever scribbles
/// goes on as long, so that the words that matter are hit in the end, however fast either of them is.
fn each(mut operation: impl FnMut(u32) -> Result<(), Error>) -> Result<Infallible, Error> {
    let mut number = 0_u32;
    loop {
        match operation(number) {
            Ok(()) | Err(Error::Full | Error::Empty | Error::TimedOut | Error::BufferTooSmall { .. }) => {}
            Err(error) => return Err(error),
        }
        number = number.wrapping_add(1);
    }
}

fn produce(mut producer: Producer) -> Result<Infallible, Error> {
    each(|number| match number % 5 {
        0 => {
            let mut space = producer.try_reserve(100)?;
            space.write_at(0, &[7; 50][..(number % 50) as usize])?;
            if number % 2 == 0 { space.commit(50) } else { Ok(()) }
        }
        1 => {
            let mut batch = producer.batch();
            for more in 0..number % 7 {
                batch.push(&message(number + more))?;
            }
            batch.send().map(drop)
        }
        2 => {
            producer.check()?;
            producer.len().map(drop)
        }
        _ => producer.send_until(7, &message(number), soon()),
    })
}

fn consume(mut consumer: Consumer) -> Result<Infallible, Error> {
    each(|number| match number % 5 {
        0 => consumer.try_peek().map(|peek| {
            if number % 2 == 0 {
                peek.take()
            }
        }),
        1 => {
            let messages = consumer.recv_batch_until(5, soon())?;
            messages.iter().for_each(|message| drop(message.to_vec()));
            Ok(())
        }
        2 => consumer.try_recv_into(&mut [0; 150]).map(drop),
        3 => {
            consumer.is_closed()?;
            consumer.len().map(drop)
        }
        _ => consumer.recv_until(soon()).map(|message| drop(message.to_vec())),
    })
}

fn send(mut sender: Sender) -> Result<Infallible, Error> {
    each(|number| match number % 4 {
        0 => {
            let mut space = sender.reserve(100)?;
            space.write_at(0, &[7; 50][..(number % 50) as usize])?;
            if number % 2 == 0 { space.try_commit(50).map_err(|(_, error)| error) } else { Ok(()) }
        }
        1 => {
            sender.check()?;
            sender.len().map(drop)
        }
        _ => sender.send_until(7, &message(number), soon()),
    })
}

fn receive(mut receiver: Receiver) -> Result<Infallible, Error> {
    each(|number| match number % 4 {
        0 => receiver.try_recv_into(&mut [0; 150]).map(drop),
        1 => {
            receiver.is_closed()?;
            receiver.len().map(drop)
        }
        2 => receiver.try_clone().map(drop),
        _ => receiver.recv_until(soon()).map(|message| drop(message.to_vec())),
    })
}
