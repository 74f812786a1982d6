//! Lock-free rings between processes over shared memory, in which nothing that dies can hurt the rest.
//!
//! Two calls to the first message on either side:
//!
//! ```
//! # fn main() -> Result<(), shm_ring::Error> {
//! # let name = &format!("lib-doc-{}", std::process::id());
//! // In one process:
//! let mut producer = shm_ring::Producer::open_or_create(name)?;
//! producer.send(b"hello")?;
//!
//! // In another:
//! let mut consumer = shm_ring::Consumer::open_or_create(name)?;
//! assert_eq!(consumer.recv()?.to_vec(), b"hello");
//! # drop((producer, consumer));
//! # shm_ring::remove(name)
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | send and receive messages of any length, one to one | [`Producer`], [`Consumer`] |
//! | send and receive messages of any length, many to many | [`Sender`], [`Receiver`] |
//! | send and receive values of one plain type, one to one | [`TypedProducer`], [`TypedConsumer`] |
//! | send and receive values of one plain type, many to many | [`TypedSender`], [`TypedReceiver`] |
//! | choose capacity, rights, waiting, directory | [`Builder`] |
//! | write or read without a copy | [`Producer::reserve`], [`Message`] |
//! | pass messages on and lose none when that fails | [`Consumer::peek_batch`] |
//! | look at a ring | [`inspect()`] |
//! | remove a ring | [`remove()`], [`remove_forced`] |
//! | clean up behind the dead at once | [`repair()`] |
//!
//! # What happens when a process dies
//! A producer that is killed loses at most the message it was sending; what it sent stays, its consumer
//! receives it, is told [`End::Died`], and goes on with the next producer. A consumer that is killed
//! takes with it what its last call had handed out; the next consumer goes on behind that. Nobody waits
//! for a dead process, nobody repairs anything, and time never decides that somebody is dead.
//!
//! With many on each side it is the same: the ring goes on through the death of any of them at any instruction,
//! without a verdict, a timeout or a repair.
//!
//! # Threads
//! Handles are `Send` and their calls take `&mut self`: that there is one producer and one consumer is
//! a fact at compile time within a process, and held by a lock between processes. A [`Sender`] or [`Receiver`] is
//! [cloned](Sender::try_clone) for another thread; each clone is a participant.

#![cfg_attr(loom, allow(dead_code))] // a model uses but a part of the library

pub(crate) mod attach;
pub(crate) mod attachment;
pub(crate) mod blocking;
pub mod channel;
pub mod error;
pub(crate) mod fingerprint;
pub mod inspect;
pub mod layout;
pub(crate) mod ledger;
#[cfg(all(test, loom))]
mod model;
pub(crate) mod mpmc;
pub(crate) mod position;
pub(crate) mod record;
pub mod remove;
pub mod repair;
pub(crate) mod restart;
pub(crate) mod seat;
pub(crate) mod split;
pub(crate) mod spsc;
pub(crate) mod standing;
pub(crate) mod statistics;
pub mod wait;

pub use channel::batch::{Batch, Messages, Peeks};
pub use channel::builder::Builder;
pub use channel::consumer::{Consumer, OwnedMessage};
pub use channel::message::{Message, Peek, View};
pub use channel::producer::{Producer, Reservation};
pub use channel::receiver::{Delivery, Receiver};
pub use channel::sender::{BlockReservation, Sender};
pub use channel::typed_consumer::TypedConsumer;
pub use channel::typed_producer::TypedProducer;
pub use channel::typed_receiver::TypedReceiver;
pub use channel::typed_sender::TypedSender;
pub use error::{End, Error, Participant, Result, Role};
pub use inspect::{Status, inspect, inspect_in, inspect_memory};
pub use layout::Kind;
pub use remove::{remove, remove_forced, remove_in};
pub use repair::{Repair, repair, repair_in};
pub use shm_core::{Deadline, Directory, Owner, Removal, Unnamed};
pub use wait::{WaitCounts, WaitStrategy};
