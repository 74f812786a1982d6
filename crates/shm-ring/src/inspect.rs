//! Looking at a ring without taking part: needs only the right to read, and changes nothing.

use crate::attach::{locate, notices, read};
use crate::error::{End, Participant, Result, Role};
use crate::layout::spsc::{Parts, TAIL_OFFSET};
use crate::layout::{GEOMETRY_MESSAGE_BYTES, Geometry, Kind, NOTICE_POISONED, NOTICE_REMOVED};
use crate::mpmc::overview;
use crate::restart;
use crate::seat::{Presence, Seat, Witness};
use crate::spsc::bytes::walk;
use crate::{ledger, statistics};
use shm_core::{Access, Directory, Header, Identity, Object, Owner, Region, Unnamed};

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
    /// How many may be at the ring at once.
    pub max_participants: u64,
    /// Whether what a receiver had in hand when it died is handed out again.
    pub redelivery: bool,
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
    /// Messages that were in the hand of a receiver that died, and are gone.
    pub lost: u64,
    /// Places of dead participants that nobody has cleaned up yet. They harm nobody; the next one to come, one that
    /// waits, or [`repair`](crate::repair()) does it.
    pub limbo: u64,
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
    /// The ring is in a file, and the machine was restarted since it was used last: whoever comes next finds the
    /// `depth` messages that the last flush covered, and counts begin anew.
    pub restarted: bool,
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
    let (options, name) = locate(directory, name)?;
    let object = options.owner(Owner::Anybody).open(&name, Access::ReadOnly)?;
    let (region, header, geometry) = read(&object, Access::ReadOnly)?;
    status(&object, &region, &header, &geometry)
}

/// Looks at the ring in memory without a name.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_memory(memory: &Unnamed) -> Result<Status> {
    let object = memory.open()?;
    let (region, header, geometry) = read(&object, Access::ReadOnly)?;
    status(&object, &region, &header, &geometry)
}

/// What went through a ring, and who did it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) dropped: u64,
    pub(crate) full_waits: u64,
    pub(crate) high_water: u64,
    pub(crate) lost: u64,
    pub(crate) limbo: u64,
    pub(crate) participants: Vec<Participant>,
}

fn status(object: &Object, region: &Region, header: &Header, geometry: &Geometry) -> Result<Status> {
    let stat = object.stat()?;
    let notices = notices(region, geometry)?;
    let waiting = waiting_since_restart(object, region, header, geometry)?;
    let traffic = if let Some(sent) = waiting {
        Traffic { sent, ..Traffic::default() }
    } else if geometry.kind.is_mpmc() {
        overview::traffic(object, region, geometry)?
    } else {
        spsc_traffic(object, geometry.kind, &Parts::of(region, geometry)?)?
    };
    let depth = traffic.sent.saturating_sub(traffic.received);
    Ok(Status {
        kind: geometry.kind,
        capacity: geometry.capacity,
        max_message_bytes: header.geometry[GEOMETRY_MESSAGE_BYTES],
        max_participants: if geometry.kind.is_mpmc() { geometry.participants } else { 2 },
        redelivery: geometry.redelivery,
        depth,
        sent: traffic.sent,
        received: traffic.received,
        dropped: traffic.dropped,
        full_waits: traffic.full_waits,
        high_water: traffic.high_water.max(depth),
        lost: traffic.lost,
        limbo: traffic.limbo,
        object_bytes: stat.bytes,
        mode: stat.mode,
        owner_uid: stat.owner_uid,
        participants: traffic.participants,
        poisoned: notices & NOTICE_POISONED != 0,
        removed: notices & NOTICE_REMOVED != 0,
        restarted: waiting.is_some(),
        instance: header.instance,
        created_unix_ns: header.created_unix_ns,
    })
}

/// Messages that the next one to come brings back, if the machine was restarted since the ring was used.
fn waiting_since_restart(
    object: &Object,
    region: &Region,
    header: &Header,
    geometry: &Geometry,
) -> Result<Option<u64>> {
    if !restart::is_from_another_run(object, region)? {
        return Ok(None);
    }
    let found = restart::recoverable(region, header.instance, geometry);
    // Whoever came meanwhile has brought them back, and may have written over them.
    if restart::is_from_another_run(object, region)? { found.map(Some) } else { Ok(None) }
}

fn spsc_traffic(object: &Object, kind: Kind, parts: &Parts) -> Result<Traffic> {
    let participants = participants(object, kind, parts)?;
    let received = statistics::received(&parts.consumer, kind)?;
    let sent = statistics::sent(&parts.producer, kind)?;
    let sent = sent.saturating_add(unrecorded(kind, parts, &participants)?);
    let (full_waits, dropped) = statistics::full_waits_and_dropped(parts)?;
    let high_water = statistics::high_water(parts)?;
    Ok(Traffic { sent, received, dropped, full_waits, high_water, lost: 0, limbo: 0, participants })
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
fn participants(object: &Object, kind: Kind, parts: &Parts) -> Result<Vec<Participant>> {
    let mut found = Vec::new();
    for role in [Role::Producer, Role::Consumer] {
        let seat = Seat::of(parts, role)?;
        let (tenure, alive) = match seat.presence(Some(Witness::Lock(object)))? {
            Presence::Sits(tenure) => (tenure, true),
            // Before a restart of the machine: no process of this run.
            Presence::Gone(_, End::Died) if seat.pid() == 0 => continue,
            Presence::Gone(tenure, End::Died) => (tenure, false),
            Presence::Gone(..) | Presence::NeverCame => continue,
        };
        let count = |now: u64| now.saturating_sub(seat.began_count());
        let (sent, received) = if role.sends() {
            (count(statistics::sent(&parts.producer, kind)?), 0)
        } else {
            (0, count(statistics::received(&parts.consumer, kind)?))
        };
        found.push(Participant { role, tenure, pid: seat.pid(), alive, sent, received, holding: 0 });
    }
    Ok(found)
}

/// Who sits at a ring of any kind, and who died sitting there.
pub(crate) fn who_sits(object: &Object, region: &Region, geometry: &Geometry) -> Result<Vec<Participant>> {
    if geometry.kind.is_mpmc() {
        Ok(overview::traffic(object, region, geometry)?.participants)
    } else {
        participants(object, geometry.kind, &Parts::of(region, geometry)?)
    }
}
