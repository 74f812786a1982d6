//! The process that is killed or stopped: it comes to an MPMC ring, does its operation between two marks, and
//! is then asked to go on, so that one sees whether it can.

use super::Operation;
use super::scene::{DYING_NUMBER, MESSAGE_BYTES, VICTIM_NUMBER, options_of_notes};
use crate::content::{PATIENCE, content, number};
use crate::tracer::{allow_tracing, mark};
use shm_core::sync::Ordering;
use shm_core::{Access, Name, Word};
use shm_ring::{Deadline, Directory, Error, Receiver, Sender, WaitStrategy};
use shm_tests::peer;

/// What a victim has to do with.
#[derive(Debug)]
pub(crate) struct Part {
    ring: String,
    /// Messages that moved; of those that were received, how many were let go; their numbers.
    notes: [Word<u64>; 8],
    operation: &'static Operation,
}

/// What is left in the victim's hands behind its operation.
#[derive(Debug)]
pub(crate) enum After {
    Sends(Sender),
    Receives(Receiver),
    Nothing,
}

/// Role, with the arguments operation, ring, notes.
pub(crate) fn be_the_victim(arguments: &[String]) {
    let [operation, ring, notes] = arguments else { panic!("{arguments:?}") };
    let notes = options_of_notes().open(&Name::new(notes).unwrap(), Access::ReadWrite).unwrap();
    let notes = notes.map(Access::ReadWrite).unwrap();
    let notes = std::array::from_fn(|index| notes.word(8 * index).unwrap());
    let operation = super::named(operation);
    let mut after = (operation.act)(&Part { ring: ring.clone(), notes, operation });
    // In good standing?
    while let Some(line) = peer::listen() {
        match (&mut after, line.parse()) {
            (After::Sends(sender), Ok(next)) => {
                sender.try_send(&content(next)).unwrap();
                peer::say("sent");
            }
            (After::Receives(receiver), Err(_)) => {
                let message = receiver.try_recv().unwrap();
                peer::say(&number(&message.to_vec()).to_string());
            }
            _ => panic!("{line}"),
        }
    }
}

impl Part {
    fn begin(&self) {
        allow_tracing();
        mark();
    }

    #[inline(always)]
    fn end(&self) {
        mark();
    }

    /// So many messages are sent: from now on that is so, whatever happens.
    #[inline(always)]
    fn sent(&self, messages: u64) {
        self.notes[0].store(messages, Ordering::Relaxed); // read when this process stands still
    }

    /// One more is received.
    #[inline(always)]
    fn received(&self, number: u64) {
        let count = self.notes[0].load(Ordering::Relaxed); // own
        self.notes[2 + usize::try_from(count).unwrap()].store(number, Ordering::Relaxed); // as in `sent`
        self.notes[0].store(count + 1, Ordering::Relaxed); // as in `sent`
    }

    /// And read, so that it must not come again.
    #[inline(always)]
    fn let_go(&self) {
        let count = self.notes[1].load(Ordering::Relaxed); // own
        self.notes[1].store(count + 1, Ordering::Relaxed); // as in `sent`
    }

    fn sender(&self) -> Sender {
        let builder = Sender::builder(&self.ring).wait(WaitStrategy::Sleep).backstop(false);
        let mut sender = builder.attach_timeout(PATIENCE).open().unwrap();
        if self.operation.warm {
            sender.try_send(&content(VICTIM_NUMBER)).unwrap();
        }
        sender
    }

    fn receiver(&self) -> Receiver {
        let builder = Receiver::builder(&self.ring).wait(WaitStrategy::Sleep).backstop(false);
        let mut receiver = builder.attach_timeout(PATIENCE).open().unwrap();
        if self.operation.warm {
            number(&receiver.try_recv().unwrap().to_vec());
        }
        receiver
    }
}

/// What the victim sends, one after the other.
fn own(index: u64) -> Vec<u8> {
    content(VICTIM_NUMBER + 1 + index)
}

/// The number alone: the whole is looked at behind the operation, where instructions do not count.
#[inline(always)]
fn first(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}

/// Sends, and waits if need be.
pub(crate) fn send(part: &Part) -> After {
    let (mut sender, bytes) = (part.sender(), own(0));
    part.begin();
    sender.send(&bytes).unwrap();
    part.sent(1);
    part.end();
    After::Sends(sender)
}

pub(crate) fn try_send(part: &Part) -> After {
    let (mut sender, bytes) = (part.sender(), own(0));
    part.begin();
    let sent = sender.try_send(&bytes);
    part.sent(u64::from(sent.is_ok()));
    part.end();
    assert!(matches!(sent, Ok(()) | Err(Error::Full)));
    After::Sends(sender)
}

/// Reserves more than it commits.
pub(crate) fn reserve_and_commit(part: &Part) -> After {
    let (mut sender, bytes) = (part.sender(), own(0));
    part.begin();
    let mut space = sender.reserve(bytes.len() + 8).unwrap();
    space.write_at(0, &bytes).unwrap();
    space.commit(bytes.len()).unwrap();
    part.sent(1);
    part.end();
    After::Sends(sender)
}

pub(crate) fn reserve_and_drop(part: &Part) -> After {
    let (mut sender, bytes) = (part.sender(), own(0));
    part.begin();
    sender.reserve(bytes.len()).unwrap().write_at(0, &bytes).unwrap();
    part.end();
    After::Sends(sender)
}

/// Sends three messages, and waits if need be.
pub(crate) fn send_batch(part: &Part) -> After {
    let (mut sender, messages) = (part.sender(), [own(0), own(1), own(2)]);
    part.begin();
    assert_eq!(sender.send_batch(&messages).unwrap(), 3);
    part.sent(3);
    part.end();
    After::Sends(sender)
}

/// Receives, waits if need be, and looks at the message.
pub(crate) fn recv(part: &Part) -> After {
    let (mut receiver, mut buffer) = (part.receiver(), [0; MESSAGE_BYTES]);
    part.begin();
    let message = receiver.recv().unwrap();
    let length = message.read_at(0, &mut buffer);
    part.received(first(&buffer));
    drop(message);
    part.let_go();
    part.end();
    number(&buffer[..length]);
    After::Receives(receiver)
}

pub(crate) fn try_recv(part: &Part) -> After {
    let (mut receiver, mut buffer, mut length) = (part.receiver(), [0; MESSAGE_BYTES], 0);
    part.begin();
    match receiver.try_recv() {
        Ok(message) => {
            length = message.read_at(0, &mut buffer);
            part.received(first(&buffer));
            drop(message);
            part.let_go();
        }
        Err(Error::Empty) => {}
        Err(error) => panic!("{error}"),
    }
    part.end();
    if length > 0 {
        number(&buffer[..length]);
    }
    After::Receives(receiver)
}

/// Receives into a buffer that is too small for any message, or into one that is not.
fn recv_into_bytes<const BYTES: usize>(part: &Part) -> After {
    let (mut receiver, mut buffer) = (part.receiver(), [0; BYTES]);
    part.begin();
    let received = receiver.recv_into(&mut buffer);
    if received.is_ok() {
        part.received(first(&buffer));
        part.let_go();
    }
    part.end();
    match received {
        Ok((length, _)) => assert!(number(&buffer[..length]) > 0),
        Err(Error::BufferTooSmall { length }) => assert!(BYTES < 8 && length >= 8, "{length}"),
        Err(error) => panic!("{error}"),
    }
    After::Receives(receiver)
}

pub(crate) fn recv_into(part: &Part) -> After {
    recv_into_bytes::<MESSAGE_BYTES>(part)
}

pub(crate) fn recv_into_too_small_a_buffer(part: &Part) -> After {
    recv_into_bytes::<4>(part)
}

/// Receives up to three messages.
pub(crate) fn recv_batch(part: &Part) -> After {
    let mut receiver = part.receiver();
    part.begin();
    let mut found = 0;
    let received = receiver.recv_batch_until(3, Deadline::NEVER, |view| {
        let mut number = [0; 8];
        view.read_at(0, &mut number);
        part.received(first(&number));
        found += 1;
    });
    part.end();
    assert_eq!(received.unwrap(), found);
    After::Receives(receiver)
}

pub(crate) fn attach_sender(part: &Part) -> After {
    let builder = Sender::builder(&part.ring).backstop(false).attach_timeout(PATIENCE);
    part.begin();
    let sender = builder.open();
    part.end();
    After::Sends(sender.unwrap())
}

pub(crate) fn attach_receiver(part: &Part) -> After {
    let builder = Receiver::builder(&part.ring).backstop(false).attach_timeout(PATIENCE);
    part.begin();
    let receiver = builder.open();
    part.end();
    After::Receives(receiver.unwrap())
}

/// Comes, and receives what there is.
pub(crate) fn come_and_receive(part: &Part) -> After {
    let builder = Receiver::builder(&part.ring).backstop(false).attach_timeout(PATIENCE);
    let mut buffer = [0; MESSAGE_BYTES];
    part.begin();
    let mut receiver = builder.open().unwrap();
    let message = receiver.try_recv().unwrap();
    let length = message.read_at(0, &mut buffer);
    part.received(first(&buffer));
    drop(message);
    part.let_go();
    part.end();
    number(&buffer[..length]);
    After::Receives(receiver)
}

pub(crate) fn drop_sender(part: &Part) -> After {
    let sender = part.sender();
    part.begin();
    drop(sender);
    part.end();
    After::Nothing
}

pub(crate) fn close_sender(part: &Part) -> After {
    let sender = part.sender();
    part.begin();
    sender.close();
    part.end();
    After::Nothing
}

pub(crate) fn drop_receiver(part: &Part) -> After {
    let receiver = part.receiver();
    part.begin();
    drop(receiver);
    part.end();
    After::Nothing
}

pub(crate) fn close_receiver(part: &Part) -> After {
    let receiver = part.receiver();
    part.begin();
    receiver.close();
    part.end();
    After::Nothing
}

/// Cleans up behind the dead without taking part.
pub(crate) fn repair(part: &Part) -> After {
    let directory = Directory::posix();
    part.begin();
    let repaired = shm_ring::repair_in(&directory, &part.ring, false);
    part.end();
    repaired.unwrap();
    After::Nothing
}

/// Is killed by its scene in the middle of a send.
pub(crate) fn die_sending(part: &Part) -> After {
    let sender = Sender::builder(&part.ring).backstop(false).attach_timeout(PATIENCE).open();
    let mut sender = sender.unwrap();
    part.begin();
    sender.try_send(&content(DYING_NUMBER)).unwrap();
    part.end();
    After::Sends(sender)
}

/// Is killed by its scene in the middle of a receive.
pub(crate) fn die_receiving(part: &Part) -> After {
    let receiver = Receiver::builder(&part.ring).backstop(false).attach_timeout(PATIENCE).open();
    let mut receiver = receiver.unwrap();
    part.begin();
    drop(receiver.try_recv().unwrap());
    part.end();
    After::Receives(receiver)
}
