//! What a new ring is to be like, as the command line says.

use crate::failure::{Failure, Status, note};
use crate::units;
use shm_ring::channel::builder::{DEFAULT_CAPACITY_BYTES, DEFAULT_CAPACITY_MESSAGES};
use shm_ring::{Builder, Producer, Sender};

/// How many may send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum RingKind {
    /// One sender, one receiver
    Spsc,
    /// Many senders, many receivers
    Mpmc,
}

/// What a new ring is to be like.
#[derive(clap::Args, Debug)]
pub(crate) struct Shape {
    /// One sender and one receiver at a time, or many
    #[arg(long, default_value = "spsc")]
    pub(crate) kind: RingKind,
    /// Room in a new ring: for spsc its bytes, such as 64KiB or 1MiB; for mpmc a number of messages; rounded up to a
    /// power of two
    #[arg(long, value_name = "SIZE")]
    capacity: Option<String>,
    /// mpmc: the longest message [default: 1KiB]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    max_message: Option<u64>,
    /// mpmc: how many may send and receive at once, together [default: 64]
    #[arg(long, value_name = "N")]
    participants: Option<u64>,
    /// mpmc: hand out again what a receiver had in hand when it died
    #[arg(long)]
    redelivery: bool,
}

/// The builder of a new ring.
pub(crate) enum Plan {
    One(Builder<Producer>),
    Many(Builder<Sender>),
}

impl Shape {
    /// Whether the command line says anything of a new ring.
    pub(crate) fn is_given(&self) -> bool {
        self.kind != RingKind::Spsc
            || self.capacity.is_some()
            || self.max_message.is_some()
            || self.participants.is_some()
            || self.redelivery
    }

    /// For those to whom the capacity of an spsc ring matters enough to say it.
    pub(crate) fn require_capacity(&self) -> Result<(), Failure> {
        if self.kind == RingKind::Spsc && self.capacity.is_none() {
            let message = "how much room? say --capacity SIZE, such as 1MiB; see shmring create --help";
            return Err(Failure::new(Status::Usage, message));
        }
        Ok(())
    }

    /// The capacity that was asked for, in the unit of the kind.
    pub(crate) fn asked_capacity(&self) -> Result<Option<u64>, Failure> {
        let Some(text) = &self.capacity else { return Ok(None) };
        let parsed = match self.kind {
            RingKind::Spsc => units::parse_capacity(text),
            RingKind::Mpmc => text.parse().map_err(|_| {
                "the capacity of an mpmc ring is a number of messages, such as 1024; how long they may be is said by \
                 --max-message"
                    .to_owned()
            }),
        };
        let usage = |error| Failure::new(Status::Usage, format!("--capacity {text}: {error}"));
        parsed.map(Some).map_err(usage)
    }

    /// A builder for the ring `name`; says what is rounded.
    pub(crate) fn plan(&self, name: &str) -> Result<Plan, Failure> {
        let many_only = self.max_message.is_some() || self.participants.is_some() || self.redelivery;
        if self.kind == RingKind::Spsc && many_only {
            let message = "--max-message, --participants and --redelivery are for --kind mpmc";
            return Err(Failure::new(Status::Usage, message));
        }
        let asked = self.asked_capacity()?;
        Ok(match self.kind {
            RingKind::Spsc => {
                let capacity = asked.unwrap_or(DEFAULT_CAPACITY_BYTES);
                Plan::One(Producer::builder(name).capacity(rounded(
                    asked,
                    units::ring_capacity(capacity)?,
                    "bytes",
                )))
            }
            RingKind::Mpmc => {
                let capacity = asked.unwrap_or(DEFAULT_CAPACITY_MESSAGES);
                let room = capacity.max(2).checked_next_power_of_two().unwrap_or(capacity);
                let mut builder = Sender::builder(name).redelivery(self.redelivery);
                if let Some(bytes) = self.max_message {
                    builder = builder.max_message(bytes);
                }
                if let Some(participants) = self.participants {
                    builder = builder.participants(participants);
                }
                // Nothing is rounded to nothing: the ring refuses a capacity of 0.
                Plan::Many(builder.capacity(if capacity == 0 { 0 } else { rounded(asked, room, "messages") }))
            }
        })
    }
}

fn rounded(asked: Option<u64>, capacity: u64, unit: &str) -> u64 {
    if let Some(asked) = asked.filter(|&asked| asked != capacity) {
        note(&format!("capacity {asked} rounded up to {capacity} {unit}"));
    }
    capacity
}
