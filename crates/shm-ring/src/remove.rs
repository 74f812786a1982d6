//! Removing a ring's name.

use crate::attach::{KNOWN_FLAGS, locate, read, wait_words};
use crate::error::{Error, Participant, Result, Role};
use crate::inspect::who_sits;
use crate::layout::mpmc;
use crate::layout::spsc::{NOTICE_OFFSET, Parts, WAKE_OFFSET};
use crate::layout::{Geometry, NOTICE_REMOVED};
use crate::wait::crowd::Crowd;
use shm_core::sync::Ordering;
use shm_core::{Access, Directory, Event, Header, Name, Object, Options, Region, Removal, Word};

/// Removes the ring `name` in `/dev/shm`, if no living process is attached.
///
/// # Errors
/// [`InUse`](Error::InUse) names those that are; [`NotARing`](Error::NotARing) and [`Memory`](Error::Memory): what
/// is not a ring is never removed.
pub fn remove(name: &str) -> Result<()> {
    remove_in(&Directory::posix(), name, Removal::IfUnused)
}

/// Removes the ring `name` in `/dev/shm` whoever uses it: marks it as removed, takes its name, and wakes all.
/// They receive what was sent, and then get [`Detached`](Error::Detached).
///
/// # Errors
/// As [`remove`], except for `InUse`.
pub fn remove_forced(name: &str) -> Result<()> {
    remove_in(&Directory::posix(), name, Removal::Always)
}

/// Removes the ring `name` in `directory`.
///
/// # Errors
/// As [`remove`] and [`remove_forced`].
pub fn remove_in(directory: &Directory, name: &str, removal: Removal) -> Result<()> {
    let (options, name) = locate(directory, name)?;
    let mut ring = None;
    let removed = options.remove::<Error>(&name, removal, |object| {
        // Marked before the name goes: whoever still finds the name is told, and helps.
        ring = mark(object, removal)?;
        Ok(())
    });
    if let Some(words) = &ring {
        if removed.is_err() {
            words.unmark(); // it keeps its name, so it is not removed
        }
        words.wake_all()?;
    }
    match removed {
        Err(Error::Memory(error)) if matches!(*error, shm_core::Error::InUse { .. }) => {
            Err(Error::InUse(who_uses(&options, &name).into()))
        }
        other => other,
    }
}

/// Checks that the object is a ring, and marks one that is in use. A ring that this version can not read,
/// because it is of another version or damaged, has nobody here who could be told.
fn mark(object: &Object, removal: Removal) -> Result<Option<Words>> {
    let (region, geometry) = match read(object, Access::ReadWrite) {
        Ok((region, _, geometry)) => (region, geometry),
        Err(error) => return if is_ours(object) { Ok(None) } else { Err(error) },
    };
    let words = Words::of(&region, &geometry)?;
    if removal == Removal::Always {
        for notice in &words.notices {
            notice.fetch_or(NOTICE_REMOVED, Ordering::Relaxed); // a hint: all are woken after it
        }
    }
    Ok(Some(words))
}

/// The words by which all participants of a ring are told and woken.
struct Words {
    notices: Vec<Word<u32>>,
    wakes: Wakes,
}

enum Wakes {
    Pair([Event; 2]),
    Crowds([Crowd; 2]),
}

impl Words {
    fn of(region: &Region, geometry: &Geometry) -> Result<Self> {
        if geometry.kind.is_mpmc() {
            let common = mpmc::Parts::of(region, geometry)?.common;
            let crowd = |offset| Crowd::new(&common, offset);
            let crowds = [crowd(mpmc::DATA_WAIT_OFFSET)?, crowd(mpmc::SPACE_WAIT_OFFSET)?];
            return Ok(Self {
                notices: vec![common.word(mpmc::NOTICE_OFFSET)?],
                wakes: Wakes::Crowds(crowds),
            });
        }
        let parts = Parts::of(region, geometry)?;
        let [first, second] = wait_words(&parts, Role::Producer);
        let notice = |(region, words): (&Region, usize)| region.word(words + NOTICE_OFFSET);
        let wake = |(region, words): (&Region, usize)| Event::new(region, words + WAKE_OFFSET);
        Ok(Self {
            notices: vec![notice(first)?, notice(second)?],
            wakes: Wakes::Pair([wake(first)?, wake(second)?]),
        })
    }

    fn unmark(&self) {
        for notice in &self.notices {
            let mut seen = notice.load(Ordering::Relaxed); // a hint, as in `mark`
            let relaxed = Ordering::Relaxed; // as above
            while let Err(now) = notice.compare_exchange(seen, seen & !NOTICE_REMOVED, relaxed, relaxed) {
                seen = now;
            }
        }
    }

    fn wake_all(&self) -> Result<()> {
        match &self.wakes {
            Wakes::Pair(events) => {
                events.iter().try_for_each(|event| event.signal().map(drop).map_err(Error::from))
            }
            Wakes::Crowds(crowds) => {
                crowds.iter().for_each(|crowd| _ = crowd.announce());
                Ok(())
            }
        }
    }
}

fn is_ours(object: &Object) -> bool {
    let mut magic = [0; shm_core::header::MAGIC.len()];
    object.read_at(0, &mut magic).is_ok_and(|read| read == magic.len()) && magic == shm_core::header::MAGIC
}

/// Who stands against a removal, as far as it can be read.
fn who_uses(options: &Options, name: &Name) -> Vec<Participant> {
    let look = || -> Result<Vec<Participant>> {
        let object = options.open(name, Access::ReadOnly)?;
        let region = object.map(Access::ReadOnly)?;
        let header = Header::read(&region, object.path(), KNOWN_FLAGS)?;
        who_sits(&object, &region, &Geometry::from_header(&header, object.path())?)
    };
    let mut found = look().unwrap_or_default();
    found.retain(|who| who.alive);
    found
}
