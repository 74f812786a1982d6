//! Cleaning up behind the dead without taking part. Nobody needs it to go on: newcomers and those who wait do
//! the same. It can be killed at any instruction and started again, and two at once are harmless.

use crate::attach::{locate, notices, read, wait_words};
use crate::error::{Error, Participant, Result, Role};
use crate::inspect::who_sits;
use crate::layout::mpmc::{DATA_WAIT_OFFSET, Parts, SPACE_WAIT_OFFSET};
use crate::layout::spsc::{self, WAKE_OFFSET};
use crate::layout::{Geometry, NOTICE_POISONED, NOTICE_REMOVED};
use crate::mpmc::claim::{Claims, CleanUp};
use crate::mpmc::seat::lock_byte;
use crate::restart;
use crate::wait::crowd::Crowd;
use shm_core::{Access, Deadline, Directory, Event, Object, Owner, Region, lock};
use std::time::Duration;

/// So long another process that does the same is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a repair found, and did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repair {
    /// Who died sitting at the ring. In an SPSC ring their seats need no repair: the next one to come takes them over,
    /// and the stream goes on.
    pub dead: Vec<Participant>,
    /// Places that were cleaned up, or would be.
    pub repaired: u64,
    /// Messages that were in the hand of a dead receiver and wait to be handed out again.
    pub to_redeliver: u64,
    /// The ring is in a file, and the machine was restarted since it was used last: what was flushed before is set up
    /// again, or would be.
    pub restarted: bool,
    /// Places that could not be cleared now, because others are in the middle of their operations: try again.
    pub busy: u64,
}

/// Cleans up behind the dead in the ring `name` in `/dev/shm`, and wakes all who wait, so that they look again.
///
/// # Errors
/// When there is no such ring, it may not be written, or it is [`Corrupt`](crate::Error::Corrupt).
pub fn repair(name: &str) -> Result<Repair> {
    repair_in(&Directory::posix(), name, false)
}

/// As [`repair`], in `directory`; with `dry_run` it only looks, and needs only the right to read.
///
/// # Errors
/// As [`repair`].
pub fn repair_in(directory: &Directory, name: &str, dry_run: bool) -> Result<Repair> {
    let (options, name) = locate(directory, name)?;
    let access = if dry_run { Access::ReadOnly } else { Access::ReadWrite };
    let object = options.owner(Owner::Anybody).open(&name, access)?;
    if !dry_run {
        object.attend()?; // nobody removes it as unused meanwhile
    }
    let (region, header, geometry) = read(&object, access)?;
    let notices = notices(&region, &geometry)?;
    if restart::is_from_another_run(&object, &region)? {
        if notices & NOTICE_POISONED != 0 {
            return Err(Error::Corrupt("a participant has found it so"));
        }
        if notices & NOTICE_REMOVED != 0 {
            return Err(Error::Detached);
        }
        if dry_run {
            restart::recoverable(&region, header.instance, &geometry)?;
        } else {
            restart::recover(&object, &region, header.instance, &geometry, Deadline::after(PATIENCE))?;
        }
        return Ok(Repair { restarted: true, ..Repair::default() });
    }
    let mut found = Repair { dead: who_sits(&object, &region, &geometry)?, ..Repair::default() };
    found.dead.retain(|who| !who.alive);
    if geometry.kind.is_mpmc() {
        tidy(&object, &region, &geometry, dry_run, &mut found)?;
    } else if !dry_run {
        let parts = spsc::Parts::of(&region, &geometry)?;
        for (region, words) in wait_words(&parts, Role::Producer) {
            Event::new(region, words + WAKE_OFFSET)?.signal()?;
        }
    }
    Ok(found)
}

fn tidy(
    object: &Object,
    region: &Region,
    geometry: &Geometry,
    dry_run: bool,
    found: &mut Repair,
) -> Result<()> {
    let parts = Parts::of(region, geometry)?;
    if dry_run {
        found.repaired = found.dead.len() as u64;
        return Ok(());
    }
    let claims = Claims::new(parts.clone(), geometry)?;
    for seat in claims.roster.seats() {
        if !claims.is_left_behind(object, seat, true)? {
            found.to_redeliver += u64::from(claims.has_message(seat)?);
            continue;
        }
        if !claims.lock(object, seat)? {
            continue; // somebody else is at it
        }
        match claims.clean_up(seat)? {
            CleanUp::Ready => found.repaired += 1,
            CleanUp::Unread => {
                found.repaired += 1;
                found.to_redeliver += 1;
            }
            CleanUp::Unclear => found.busy += 1,
        }
        lock::unlock(object, lock_byte(seat))?;
    }
    for offset in [DATA_WAIT_OFFSET, SPACE_WAIT_OFFSET] {
        Crowd::new(&parts.common, offset)?.announce();
    }
    Ok(())
}
