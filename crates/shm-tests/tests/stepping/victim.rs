//! The process that is killed: it comes to a ring, brings it to where the operation is to begin, and does the
//! operation between two marks.

use crate::content::{LONGEST, PATIENCE, Value, content, number, number_of, value};
use crate::spsc::{FULL, Operation};
use crate::tracer::{allow_tracing, mark};
use shm_core::sync::Ordering;
use shm_core::{Access, Name, Options, Word};
use shm_ring::{Consumer, Deadline, Error, Producer, TypedConsumer, TypedProducer, WaitStrategy};
use std::hint::black_box;

/// What a victim has to do with.
#[derive(Debug)]
pub(crate) struct Part {
    ring: String,
    notes: Word<u64>,
    operation: &'static Operation,
}

/// Role, with the arguments operation, ring, notes.
pub(crate) fn be_the_victim(arguments: &[String]) {
    let [operation, ring, notes] = arguments else { panic!("{arguments:?}") };
    let notes = Options::new().open(&Name::new(notes).unwrap(), Access::ReadWrite).unwrap();
    let notes = notes.map(Access::ReadWrite).unwrap().word(0).unwrap();
    let operation = crate::spsc::named(operation);
    (operation.act)(&Part { ring: ring.clone(), notes, operation });
}

impl Part {
    /// The operation begins.
    fn begin(&self) {
        allow_tracing();
        mark();
    }

    /// The operation has ended.
    #[inline(always)]
    fn end(&self) {
        mark();
    }

    /// So many messages are sent, or handed out: from now on that is so, whatever happens.
    #[inline(always)]
    fn note(&self, messages: u64) {
        self.notes.store(messages, Ordering::Relaxed); // read when this process stands still
    }

    /// A producer that has sent what the operation wants sent before, with the number of the next message.
    fn producer(&self) -> (Producer, u64) {
        let builder = Producer::builder(&self.ring).wait(WaitStrategy::Sleep).attach_timeout(PATIENCE);
        let mut producer = builder.open().unwrap();
        for next in 0..self.operation.before.saturating_add(self.operation.waiting) {
            match producer.try_send(&content(next)) {
                Err(Error::Full) if self.operation.waiting == FULL => return (producer, next),
                sent => sent.unwrap(),
            }
        }
        (producer, self.operation.before + self.operation.waiting)
    }

    /// A consumer that has received what the operation wants received before.
    fn consumer(&self) -> Consumer {
        let builder = Consumer::builder(&self.ring).wait(WaitStrategy::Sleep).attach_timeout(PATIENCE);
        let mut consumer = builder.open().unwrap();
        for next in 0..self.operation.before {
            assert_eq!(number(&consumer.recv().unwrap().to_vec()), next);
        }
        consumer
    }

    fn typed_producer(&self) -> (TypedProducer<Value>, u64) {
        let builder = TypedProducer::builder(&self.ring).wait(WaitStrategy::Sleep).attach_timeout(PATIENCE);
        let mut producer = builder.open().unwrap();
        for next in 0..self.operation.before.saturating_add(self.operation.waiting) {
            match producer.try_send(&value(next)) {
                Err(Error::Full) if self.operation.waiting == FULL => return (producer, next),
                sent => sent.unwrap(),
            }
        }
        (producer, self.operation.before + self.operation.waiting)
    }

    fn typed_consumer(&self) -> TypedConsumer<Value> {
        let builder = TypedConsumer::builder(&self.ring).wait(WaitStrategy::Sleep).attach_timeout(PATIENCE);
        let mut consumer = builder.open().unwrap();
        for next in 0..self.operation.before {
            assert_eq!(number_of(consumer.recv().unwrap()), next);
        }
        consumer
    }
}

/// Sends, and waits if need be.
pub(crate) fn send(part: &Part) {
    let (mut producer, next) = part.producer();
    let bytes = content(next);
    part.begin();
    producer.send(&bytes).unwrap();
    part.note(1);
    part.end();
}

pub(crate) fn try_send_to_a_full_ring(part: &Part) {
    let (mut producer, next) = part.producer();
    let bytes = content(next);
    part.begin();
    let sent = producer.try_send(&bytes);
    part.note(u64::from(sent.is_ok()));
    part.end();
    assert!(matches!(sent, Ok(()) | Err(Error::Full)));
}

/// Reserves more than it commits.
pub(crate) fn reserve_and_commit(part: &Part) {
    let (mut producer, next) = part.producer();
    let bytes = content(next);
    part.begin();
    let mut space = producer.reserve(bytes.len() + 8).unwrap();
    space.write_at(0, &bytes).unwrap();
    space.commit(bytes.len()).unwrap();
    part.note(1);
    part.end();
}

pub(crate) fn reserve_and_drop(part: &Part) {
    let (mut producer, next) = part.producer();
    let bytes = content(next);
    part.begin();
    producer.reserve(bytes.len()).unwrap().write_at(0, &bytes).unwrap();
    part.end();
}

pub(crate) fn send_batch(part: &Part) {
    let (mut producer, next) = part.producer();
    let messages = [content(next), content(next + 1), content(next + 2)];
    part.begin();
    let mut batch = producer.batch();
    messages.iter().for_each(|message| batch.push(message).unwrap());
    batch.send().unwrap();
    part.note(3);
    part.end();
}

/// Receives, waits if need be, and looks at the message.
pub(crate) fn recv(part: &Part) {
    let mut consumer = part.consumer();
    let mut buffer = [0; LONGEST];
    part.begin();
    let message = consumer.recv().unwrap();
    part.note(1);
    let length = message.read_at(0, &mut buffer);
    drop(message);
    part.end();
    assert_eq!(number(&buffer[..length]), part.operation.before);
}

pub(crate) fn recv_into(part: &Part) {
    let mut consumer = part.consumer();
    let mut buffer = [0; LONGEST];
    part.begin();
    let (length, _) = consumer.recv_into(&mut buffer).unwrap();
    part.note(1);
    part.end();
    assert_eq!(number(&buffer[..length]), part.operation.before);
}

pub(crate) fn try_recv_from_an_empty_ring(part: &Part) {
    let mut consumer = part.consumer();
    part.begin();
    let received = consumer.try_recv().map(drop);
    part.note(u64::from(received.is_ok()));
    part.end();
    assert!(matches!(received, Ok(()) | Err(Error::Empty)));
}

/// Looks at a message and passes it on before it takes it.
pub(crate) fn peek_and_take(part: &Part) {
    let mut consumer = part.consumer();
    let mut buffer = [0; LONGEST];
    part.begin();
    let message = consumer.try_peek().unwrap();
    let length = message.read_at(0, &mut buffer);
    message.take();
    part.note(1);
    part.end();
    assert_eq!(number(&buffer[..length]), part.operation.before);
}

/// Looks at three messages and takes two of them.
pub(crate) fn peek_three_and_take_two(part: &Part) {
    let mut consumer = part.consumer();
    part.begin();
    let mut peeks = consumer.peek_batch();
    for _ in 0..3 {
        black_box(peeks.try_next().unwrap().len());
    }
    peeks.take(2);
    part.note(2);
    drop(peeks);
    part.end();
}

pub(crate) fn recv_batch(part: &Part) {
    let mut consumer = part.consumer();
    let mut buffer = [0; 3 * LONGEST];
    let mut ends = [0; 3];
    part.begin();
    let batch = consumer.recv_batch_until(3, Deadline::NEVER).unwrap();
    part.note(3);
    let mut end = 0;
    for (message, noted) in batch.iter().zip(&mut ends) {
        end += message.read_at(0, &mut buffer[end..]);
        *noted = end;
    }
    drop(batch);
    part.end();
    let mut start = 0;
    for (end, expected) in ends.into_iter().zip(part.operation.before..) {
        assert_eq!(number(&buffer[start..end]), expected);
        start = end;
    }
}

pub(crate) fn attach_producer(part: &Part) {
    let builder = Producer::builder(&part.ring).attach_timeout(PATIENCE);
    part.begin();
    let producer = builder.open();
    part.end();
    producer.unwrap();
}

pub(crate) fn attach_consumer(part: &Part) {
    let builder = Consumer::builder(&part.ring).attach_timeout(PATIENCE);
    part.begin();
    let consumer = builder.open();
    part.end();
    consumer.unwrap();
}

pub(crate) fn close_producer(part: &Part) {
    let (producer, _) = part.producer();
    part.begin();
    producer.close();
    part.end();
}

pub(crate) fn drop_producer(part: &Part) {
    let (producer, _) = part.producer();
    part.begin();
    drop(producer);
    part.end();
}

pub(crate) fn close_consumer(part: &Part) {
    let consumer = part.consumer();
    part.begin();
    consumer.close();
    part.end();
}

pub(crate) fn drop_consumer(part: &Part) {
    let consumer = part.consumer();
    part.begin();
    drop(consumer);
    part.end();
}

/// Sends a value, and waits if need be.
pub(crate) fn send_value(part: &Part) {
    let (mut producer, next) = part.typed_producer();
    let sent = value(next);
    part.begin();
    producer.send(&sent).unwrap();
    part.note(1);
    part.end();
}

pub(crate) fn send_values(part: &Part) {
    let (mut producer, next) = part.typed_producer();
    let values = [value(next), value(next + 1), value(next + 2)];
    part.begin();
    producer.send_slice(&values).unwrap();
    part.note(3);
    part.end();
}

/// Receives a value, and waits if need be.
pub(crate) fn recv_value(part: &Part) {
    let mut consumer = part.typed_consumer();
    part.begin();
    let received = consumer.recv().unwrap();
    part.note(1);
    part.end();
    assert_eq!(number_of(received), part.operation.before);
}

pub(crate) fn recv_values(part: &Part) {
    let mut consumer = part.typed_consumer();
    let mut values = [Value::default(); 3];
    part.begin();
    let count = consumer.try_recv_slice(&mut values).unwrap();
    part.note(3);
    part.end();
    assert_eq!(count, 3);
    values
        .into_iter()
        .zip(part.operation.before..)
        .for_each(|(found, next)| assert_eq!(number_of(found), next));
}

pub(crate) fn attach_typed_producer(part: &Part) {
    let builder = TypedProducer::<Value>::builder(&part.ring).attach_timeout(PATIENCE);
    part.begin();
    let producer = builder.open();
    part.end();
    producer.unwrap();
}

pub(crate) fn attach_typed_consumer(part: &Part) {
    let builder = TypedConsumer::<Value>::builder(&part.ring).attach_timeout(PATIENCE);
    part.begin();
    let consumer = builder.open();
    part.end();
    consumer.unwrap();
}
