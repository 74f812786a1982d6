//! Looking at a ring without taking part: needs only the right to read, and changes nothing.

use crate::attach::{notices, read};
use crate::error::{End, Participant, Result, Role};
use crate::layout::{
    GEOMETRY_MESSAGE_BYTES, Geometry, Kind, NOTICE_POISONED, NOTICE_REMOVED, Parts, TAIL_OFFSET,
};
use crate::seat::{Presence, Seat};
use crate::spsc::bytes::walk;
use crate::{ledger, statistics};
use shm_core::{Access, Directory, Header, Identity, Name, Object, Options, Owner};

/// What one look at a ring shows. While its participants work, the numbers may be some steps apart.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What the ring carries.
    pub kind: Kind,
    /// Bytes, or slots for typed values.
    pub capacity: u64,
    /// The longest message in bytes, or the size of a value.
    pub max_message_bytes: u64,
    /// Messages waiting to be received.
    pub depth: u64,
    /// Messages ever sent.
    pub sent: u64,
    /// Messages ever handed out.
    pub received: u64,
    /// Messages that producers discarded because the ring was full.
    pub dropped: u64,
    /// How often producers waited for space.
    pub full_waits: u64,
    /// The most messages waiting that was seen.
    pub high_water: u64,
    /// Bytes in the object.
    pub object_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// The user who owns it.
    pub owner_uid: u32,
    /// Who sits at the ring, and who died sitting there.
    pub participants: Vec<Participant>,
    /// A participant found garbage in the ring.
    pub poisoned: bool,
    /// The ring was marked as removed.
    pub removed: bool,
    /// Which ring this is, of all that had its name.
    pub instance: Identity,
    /// When it was created, in nanoseconds since 1970.
    pub created_unix_ns: u64,
}

/// Looks at the ring `name` in `/dev/shm`.
///
/// # Errors
/// When there is none, it can not be read, or is not a ring.
pub fn inspect(name: &str) -> Result<Status> {
    inspect_in(&Directory::posix(), name)
}

/// Looks at the ring `name` in `directory`.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_in(directory: &Directory, name: &str) -> Result<Status> {
    let options = Options::new().directory(directory.clone()).owner(Owner::Anybody);
    let object = options.open(&Name::new(name)?, Access::ReadOnly)?;
    let (region, header, geometry) = read(&object, Access::ReadOnly)?;
    status(&object, &header, &geometry, &Parts::of(&region, &geometry)?)
}

fn status(object: &Object, header: &Header, geometry: &Geometry, parts: &Parts) -> Result<Status> {
    let stat = object.stat()?;
    let notices = notices(parts)?;
    let participants = participants(object, parts)?;
    let received = statistics::received(&parts.consumer, geometry.kind)?;
    let sent = statistics::sent(&parts.producer, geometry.kind)?;
    let sent = sent.saturating_add(unrecorded(geometry.kind, parts, &participants)?);
    let depth = sent.saturating_sub(received);
    let (full_waits, dropped) = statistics::full_waits_and_dropped(parts)?;
    Ok(Status {
        kind: geometry.kind,
        capacity: geometry.capacity,
        max_message_bytes: header.geometry[GEOMETRY_MESSAGE_BYTES],
        depth,
        sent,
        received,
        dropped,
        full_waits,
        high_water: statistics::high_water(parts)?.max(depth),
        object_bytes: stat.bytes,
        mode: stat.mode,
        owner_uid: stat.owner_uid,
        participants,
        poisoned: notices & NOTICE_POISONED != 0,
        removed: notices & NOTICE_REMOVED != 0,
        instance: header.instance,
        created_unix_ns: header.created_unix_ns,
    })
}

/// Messages that a producer published and was killed before it counted them: its successor will count them.
fn unrecorded(kind: Kind, parts: &Parts, participants: &[Participant]) -> Result<u64> {
    let dead = participants.iter().find(|who| who.role == Role::Producer && !who.alive);
    let (Kind::SpscBytes, Some(dead)) = (kind, dead) else {
        return Ok(0);
    };
    let tail = ledger::read(&parts.producer, TAIL_OFFSET)?;
    let walked = walk(&parts.data.words()?, tail.position, parts.data.bytes() as u64);
    // A successor that came meanwhile counts them itself, and may have written over them.
    if Seat::of(parts, Role::Producer)?.tenure()?.number != dead.tenure {
        return Ok(0);
    }
    walked.map(|(_, messages)| messages)
}

/// Who sits at the ring, and who died sitting there.
pub(crate) fn participants(object: &Object, parts: &Parts) -> Result<Vec<Participant>> {
    let mut found = Vec::new();
    for role in [Role::Producer, Role::Consumer] {
        let seat = Seat::of(parts, role)?;
        let pid = seat.pid();
        match seat.presence(Some(object))? {
            Presence::Sits(tenure) => found.push(Participant { role, tenure, pid, alive: true }),
            Presence::Gone(tenure, End::Died) => found.push(Participant { role, tenure, pid, alive: false }),
            Presence::Gone(..) | Presence::NeverCame => {}
        }
    }
    Ok(found)
}
