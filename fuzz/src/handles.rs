//! The handles under test behind two traits, so that one list of steps fits all of them.

use crate::object::{NAME, Scratch};
use shm_core::Deadline;
use shm_ring::{
    Consumer, Error, Owner, Producer, Receiver, Result, Role, Sender, TypedConsumer, TypedProducer,
    TypedReceiver, TypedSender,
};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Bytes that are sent; longer messages are cut.
const PAYLOAD: [u8; 256] = [0xA5; 256];

/// Something that attaches to the object under test.
pub trait Attach: Sized {
    /// For people.
    const WHO: &'static str;
    /// What it attaches as.
    const ROLE: Role;
    /// Attaches without waiting.
    fn attach(scratch: &Scratch) -> Result<Self>;
    /// Leaves by `close`.
    fn close(self);
    /// The ring's capacity.
    fn capacity(&self) -> u64;
    /// The questions that change nothing.
    fn ask(&mut self) -> Result<()>;
    /// Sends or receives, and waits at most so long for it.
    fn wait(&mut self, patience: Duration) -> Result<()>;
}

/// A handle that can be replaced by its successor.
#[derive(Debug)]
pub struct Held<H>(Option<H>);

impl<H: Attach> Held<H> {
    /// Holds it.
    pub fn new(handle: H) -> Self {
        Self(Some(handle))
    }

    /// It leaves, by `close` or without a word, and the next one comes.
    pub fn replace(&mut self, scratch: &Scratch, closing: bool) {
        let handle = self.0.take();
        match handle {
            Some(handle) if closing => handle.close(),
            other => drop(other),
        }
        self.0 = Some(H::attach(scratch).expect("a seat that is free"));
    }
}

impl<H> Deref for Held<H> {
    type Target = H;

    fn deref(&self) -> &H {
        self.0.as_ref().expect("only empty while it is replaced")
    }
}

impl<H> DerefMut for Held<H> {
    fn deref_mut(&mut self) -> &mut H {
        self.0.as_mut().expect("only empty while it is replaced")
    }
}

/// A sending handle.
pub trait Sends: Attach {
    /// Sends one message of about this length, if there is space.
    fn send(&mut self, length: u8) -> Result<()>;
    /// Reserves, and commits or forgets.
    fn reserve(&mut self, length: u8, commit: Option<u8>) -> Result<()>;
    /// Sends several at once.
    fn batch(&mut self, count: u8) -> Result<()>;
}

/// A receiving handle. Each call answers whether it received something.
pub trait Receives: Attach {
    /// Receives one message, if there is one.
    fn receive(&mut self) -> Result<bool>;
    /// Receives one message into a buffer of this length.
    fn receive_into(&mut self, bytes: u8) -> Result<bool>;
    /// Receives up to `count`.
    fn receive_batch(&mut self, count: u8) -> Result<bool>;
    /// Looks at one.
    fn peek(&mut self, take: bool) -> Result<bool>;
    /// Looks at `count`, takes `take`.
    fn peek_batch(&mut self, count: u8, take: u8) -> Result<bool>;
}

macro_rules! attach {
    ($handle:ty, $role:ident, $who:literal, $wait:expr) => {
        impl Attach for $handle {
            const WHO: &'static str = $who;
            const ROLE: Role = Role::$role;

            fn attach(scratch: &Scratch) -> Result<Self> {
                let builder = Self::builder(NAME).directory(scratch.directory()).owner(Owner::Anybody);
                builder.attach_timeout(Duration::ZERO).open()
            }

            fn close(self) {
                Self::close(self);
            }

            fn capacity(&self) -> u64 {
                Self::capacity(self)
            }

            fn ask(&mut self) -> Result<()> {
                assert!(Self::capacity(self) > 0, "a ring without capacity");
                self.is_closed()?;
                self.is_empty()?;
                self.len()?;
                Ok(())
            }

            fn wait(&mut self, patience: Duration) -> Result<()> {
                let wait: fn(&mut Self, Duration) -> Result<()> = $wait;
                wait(self, patience)
            }
        }
    };
}

attach!(Producer, Producer, "a producer", |p, patience| p.send_timeout(b"waited", patience));
attach!(Consumer, Consumer, "a consumer", |c, patience| c.recv_timeout(patience).map(drop));
attach!(TypedProducer<u64>, Producer, "a typed producer", |p, patience| p.send_timeout(&9, patience));
attach!(TypedConsumer<u64>, Consumer, "a typed consumer", |c, patience| c.recv_timeout(patience).map(drop));
attach!(TypedProducer<char>, Producer, "a producer of characters", |p, patience| p
    .send_timeout(&'w', patience));
attach!(TypedConsumer<char>, Consumer, "a consumer of characters", |c, patience| c
    .recv_timeout(patience)
    .map(drop));

attach!(Sender, Sender, "a sender", |s, patience| s.send_timeout(b"waited", patience));
attach!(Receiver, Receiver, "a receiver", |r, patience| r.recv_timeout(patience).map(drop));
attach!(TypedSender<u64>, Sender, "a sender of values", |s, patience| s.send_timeout(&9, patience));
attach!(TypedReceiver<u64>, Receiver, "a receiver of values", |r, patience| r
    .recv_timeout(patience)
    .map(drop));

impl Sends for Producer {
    fn send(&mut self, length: u8) -> Result<()> {
        self.try_send_tagged(u16::from(length), &PAYLOAD[..usize::from(length)])
    }

    fn reserve(&mut self, length: u8, commit: Option<u8>) -> Result<()> {
        let mut space = self.try_reserve(usize::from(length))?;
        let half = usize::from(length / 2);
        space.write_at(half, &PAYLOAD[half..usize::from(length)])?;
        assert!(space.write_at(half, &PAYLOAD).is_err(), "wrote beyond a reservation");
        match commit {
            Some(commit) => space.commit(usize::from(commit)),
            None => Ok(()),
        }
    }

    fn batch(&mut self, count: u8) -> Result<()> {
        let mut batch = self.batch();
        for length in 0..count % 8 {
            match batch.push(&PAYLOAD[..usize::from(length)]) {
                Err(Error::Full) => break,
                other => other?,
            }
        }
        if count >= 128 { Ok(()) } else { batch.send() }
    }
}

impl Receives for Consumer {
    fn receive(&mut self) -> Result<bool> {
        let max = self.max_message();
        let message = self.try_recv()?;
        assert!(message.len() <= max, "a message longer than the ring's limit");
        assert_eq!(message.to_vec().len(), message.len(), "a copy of another length");
        Ok(true)
    }

    fn receive_into(&mut self, bytes: u8) -> Result<bool> {
        let (length, _) = self.try_recv_into(&mut vec![0; usize::from(bytes)])?;
        assert!(length <= usize::from(bytes), "received more than the buffer holds");
        Ok(true)
    }

    fn receive_batch(&mut self, count: u8) -> Result<bool> {
        let messages = self.try_recv_batch(usize::from(count))?;
        for message in messages.iter() {
            assert_eq!(message.to_vec().len(), message.len(), "a copy of another length");
        }
        Ok(!messages.is_empty())
    }

    fn peek(&mut self, take: bool) -> Result<bool> {
        let message = self.try_peek()?;
        assert_eq!(message.to_vec().len(), message.len(), "a copy of another length");
        if take {
            message.take();
        }
        Ok(true)
    }

    fn peek_batch(&mut self, count: u8, take: u8) -> Result<bool> {
        let mut peeks = self.peek_batch();
        for _ in 0..count % 16 {
            match peeks.next_until(Deadline::now()) {
                Ok(view) => assert_eq!(view.to_vec().len(), view.len(), "a copy of another length"),
                Err(Error::Empty | Error::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
        let some = !peeks.is_empty();
        peeks.take(usize::from(take));
        Ok(some)
    }
}

macro_rules! typed {
    ($value:ty, $one:expr) => {
        impl Sends for TypedProducer<$value> {
            fn send(&mut self, _: u8) -> Result<()> {
                self.try_send(&$one)
            }

            fn reserve(&mut self, length: u8, _: Option<u8>) -> Result<()> {
                self.batch(length)
            }

            fn batch(&mut self, count: u8) -> Result<()> {
                self.try_send_slice(&vec![$one; usize::from(count)]).map(drop)
            }
        }

        impl Receives for TypedConsumer<$value> {
            fn receive(&mut self) -> Result<bool> {
                self.try_recv().map(|_| true)
            }

            fn receive_into(&mut self, bytes: u8) -> Result<bool> {
                self.receive_batch(bytes)
            }

            fn receive_batch(&mut self, count: u8) -> Result<bool> {
                Ok(self.try_recv_slice(&mut vec![$one; usize::from(count)])? > 0)
            }

            fn peek(&mut self, _: bool) -> Result<bool> {
                self.receive()
            }

            fn peek_batch(&mut self, count: u8, _: u8) -> Result<bool> {
                let now = Deadline::now();
                Ok(self.recv_slice_until(&mut vec![$one; usize::from(count)], now)? > 0)
            }
        }
    };
}

typed!(u64, 7_u64);
typed!(char, 'z');

impl Sends for Sender {
    fn send(&mut self, length: u8) -> Result<()> {
        self.try_send_tagged(u16::from(length), &PAYLOAD[..usize::from(length)])
    }

    fn reserve(&mut self, length: u8, commit: Option<u8>) -> Result<()> {
        let mut space = Self::reserve(self, usize::from(length))?;
        let half = usize::from(length / 2);
        space.write_at(half, &PAYLOAD[half..usize::from(length)])?;
        assert!(space.write_at(half, &PAYLOAD).is_err(), "wrote beyond a reservation");
        match commit {
            Some(commit) => space.try_commit(usize::from(commit)).map_err(|(_, error)| error),
            None => Ok(()),
        }
    }

    fn batch(&mut self, count: u8) -> Result<()> {
        for length in 0..count % 8 {
            match self.try_send(&PAYLOAD[..usize::from(length)]) {
                Err(Error::Full) => break,
                other => other?,
            }
        }
        Ok(())
    }
}

impl Receives for Receiver {
    fn receive(&mut self) -> Result<bool> {
        let max = self.max_message();
        let message = self.try_recv()?;
        assert!(message.len() <= max, "a message longer than the ring's limit");
        assert_eq!(message.to_vec().len(), message.len(), "a copy of another length");
        Ok(true)
    }

    fn receive_into(&mut self, bytes: u8) -> Result<bool> {
        let (length, _) = self.try_recv_into(&mut vec![0; usize::from(bytes)])?;
        assert!(length <= usize::from(bytes), "received more than the buffer holds");
        Ok(true)
    }

    fn receive_batch(&mut self, count: u8) -> Result<bool> {
        let each = |view: shm_ring::View<'_>| {
            assert_eq!(view.to_vec().len(), view.len(), "a copy of another length")
        };
        Ok(self.recv_batch_until(usize::from(count), Deadline::now(), each)? > 0)
    }

    /// There is no looking without receiving.
    fn peek(&mut self, _: bool) -> Result<bool> {
        self.receive()
    }

    fn peek_batch(&mut self, count: u8, _: u8) -> Result<bool> {
        self.receive_batch(count)
    }
}

impl Sends for TypedSender<u64> {
    fn send(&mut self, length: u8) -> Result<()> {
        self.try_send(&u64::from(length))
    }

    fn reserve(&mut self, length: u8, _: Option<u8>) -> Result<()> {
        Sends::send(self, length)
    }

    fn batch(&mut self, count: u8) -> Result<()> {
        (0..count % 8).try_for_each(|value| Sends::send(self, value))
    }
}

impl Receives for TypedReceiver<u64> {
    fn receive(&mut self) -> Result<bool> {
        self.try_recv().map(|_| true)
    }

    fn receive_into(&mut self, bytes: u8) -> Result<bool> {
        self.receive_batch(bytes)
    }

    fn receive_batch(&mut self, count: u8) -> Result<bool> {
        Ok(self.recv_slice_until(&mut vec![0; usize::from(count)], Deadline::now())? > 0)
    }

    fn peek(&mut self, _: bool) -> Result<bool> {
        self.receive()
    }

    fn peek_batch(&mut self, count: u8, _: u8) -> Result<bool> {
        self.receive_batch(count)
    }
}
