//! A ring as it is shown to people and programs.

use crate::units::show_size;
use serde::Serialize;
use shm_core::Place;
use shm_ring::{Error, Kind, Participant, Status};

/// What is told of a ring. The names of the fields are those of the JSON object.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Its name.
    pub(crate) name: String,
    /// How many may send and receive.
    pub(crate) kind: &'static str,
    /// What the ring lives in.
    pub(crate) memory: &'static str,
    /// Whether it carries values of one type instead of messages of any length.
    typed: bool,
    /// Room for so many units.
    capacity: u64,
    /// What the capacity counts.
    capacity_unit: &'static str,
    /// The longest message in bytes.
    max_message: u64,
    /// Messages waiting.
    pub(crate) depth: u64,
    /// Messages ever sent.
    pub(crate) sent: u64,
    /// Messages ever received.
    pub(crate) received: u64,
    /// Messages that senders dropped because the ring was full.
    pub(crate) dropped: u64,
    /// How often senders waited for space.
    full_waits: u64,
    /// The most messages waiting that was seen.
    high_water: u64,
    /// Bytes in the object.
    bytes: u64,
    /// Permission bits.
    mode: String,
    /// The user who owns it.
    owner: u32,
    /// Who sits at the ring, and who died there.
    participants: Vec<Sitting>,
    /// How many may be there at once.
    max_participants: u64,
    /// Whether what a receiver had in hand when it died is handed out again.
    redelivery: bool,
    /// Messages that were in the hand of a receiver that died, and are gone.
    lost: u64,
    /// Places of dead participants that nobody has cleaned up yet.
    limbo: u64,
    /// A participant found garbage in the ring.
    poisoned: bool,
    /// It is being removed.
    removed: bool,
    /// It is in a file, and the machine was restarted since: what was flushed before waits, and counts begin anew.
    restarted: bool,
    /// Which ring this is, of all that had its name.
    instance: String,
    /// When it was created, in nanoseconds since 1970.
    created_unix_ns: u64,
}

/// Somebody at a ring.
#[derive(Debug, Serialize)]
struct Sitting {
    role: String,
    pid: u32,
    alive: bool,
    sent: u64,
    received: u64,
    holding: u64,
}

impl Report {
    /// What is told of the ring `name`.
    pub(crate) fn new(place: &Place, status: &Status) -> Self {
        let typed = status.kind.is_typed();
        let by_messages = status.kind != Kind::SpscBytes;
        let sitting = |who: &Participant| Sitting {
            role: who.role.to_string(),
            pid: who.pid,
            alive: who.alive,
            sent: who.sent,
            received: who.received,
            holding: who.holding,
        };
        Self {
            name: place.to_string(),
            kind: if status.kind.is_mpmc() { "mpmc" } else { "spsc" },
            memory: place.kind(),
            typed,
            capacity: status.capacity,
            capacity_unit: if by_messages { "messages" } else { "bytes" },
            max_message: status.max_message_bytes,
            depth: status.depth,
            sent: status.sent,
            received: status.received,
            dropped: status.dropped,
            full_waits: status.full_waits,
            high_water: status.high_water,
            bytes: status.object_bytes,
            mode: format!("{:04o}", status.mode),
            owner: status.owner_uid,
            participants: status.participants.iter().map(sitting).collect(),
            max_participants: status.max_participants,
            redelivery: status.redelivery,
            lost: status.lost,
            limbo: status.limbo,
            poisoned: status.poisoned,
            removed: status.removed,
            restarted: status.restarted,
            instance: status.instance.to_string(),
            created_unix_ns: status.created_unix_ns,
        }
    }

    /// The capacity for people.
    pub(crate) fn show_capacity(&self) -> String {
        if self.capacity_unit == "messages" {
            format!("{} messages", self.capacity)
        } else {
            show_size(self.capacity)
        }
    }

    /// The participants for people.
    pub(crate) fn show_participants(&self) -> String {
        let show =
            |who: &Sitting| format!("{} {}{}", who.role, who.pid, if who.alive { "" } else { " (died)" });
        let shown: Vec<String> = self.participants.iter().map(show).collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }

    /// Each participant for people.
    pub(crate) fn participant_rows(&self) -> Vec<[String; 6]> {
        let row = |who: &Sitting| {
            let [sent, received, holding] =
                [who.sent, who.received, who.holding].map(|count| count.to_string());
            let alive = if who.alive { "yes" } else { "no" };
            [who.role.clone(), who.pid.to_string(), alive.to_owned(), sent, received, holding]
        };
        self.participants.iter().map(row).collect()
    }

    /// Everything for people, in the order in which it is read.
    pub(crate) fn rows(&self) -> Vec<[String; 2]> {
        let content = match (self.typed, self.redelivery) {
            (true, false) => "values of one type",
            (true, true) => "values of one type, handed out again after a death",
            (false, false) => "messages of any length",
            (false, true) => "messages of any length, handed out again after a death",
        };
        let condition = match (self.poisoned, self.removed) {
            _ if self.restarted => {
                "from before a restart of the machine: whoever comes next finds what was flushed"
            }
            (true, _) => "corrupt: remove it and create it anew",
            (_, true) => "being removed",
            _ => "good",
        };
        let row = |key: &str, value: &dyn ToString| [key.to_owned(), value.to_string()];
        vec![
            row("name", &self.name),
            row("kind", &format!("{}, {content}", self.kind)),
            row("memory", &self.memory),
            row("capacity", &self.show_capacity()),
            row("longest message", &format!("{} bytes", self.max_message)),
            row("waiting", &self.depth),
            row("sent", &self.sent),
            row("received", &self.received),
            row("dropped", &self.dropped),
            row("waits for space", &self.full_waits),
            row("most waiting", &self.high_water),
            row("participants", &format!("{} of {}", self.participants.len(), self.max_participants)),
            row("lost with receivers", &self.lost),
            row("places in limbo", &self.limbo),
            row("object", &format!("{} bytes, mode {}, owner {}", self.bytes, self.mode, self.owner)),
            row("instance", &self.instance),
            row("condition", &condition),
        ]
    }
}

/// Whether the object is a ring, but one that can not be shown.
pub(crate) fn is_spoilt_ring(error: &Error) -> bool {
    let Error::Memory(error) = error else {
        return matches!(error, Error::NotARing { .. } | Error::Corrupt(_));
    };
    matches!(
        **error,
        shm_core::Error::Truncated { .. }
            | shm_core::Error::Damaged { .. }
            | shm_core::Error::OlderLayout { .. }
            | shm_core::Error::NewerLayout { .. }
    )
}
