//! System V segments that go with the processes that have them.
//!
//! A segment is created, attached, and marked for removal at once: from then on it goes with its last attachment. A
//! creator killed between the first and the last of these three calls leaves it, with no key and attached nowhere. So
//! segments made here carry a mark, and whoever makes the next one removes those that are left. The mark is the mode:
//! no other program has a reason for one that lets everybody but the owner execute and nothing else. Since to execute
//! alone attaches nothing, it gives nobody a right.

use crate::error::Result;
use crate::region::{Access, Region};
use crate::sysv::{Options, Stat, list};

/// Read and write for the owner, as usual, and two bits that mean nothing.
const MODE_MARK: u32 = 0o611;

/// A segment of `bytes` zero bytes, attached, and already marked for removal.
pub(super) fn segment(bytes: u64) -> Result<Region> {
    sweep();
    let segment = Options::new().mode(MODE_MARK).private(bytes)?;
    let attached = segment.attach(Access::ReadWrite);
    // Whether or not that worked.
    segment.remove()?;
    attached
}

/// Removes what creators killed in the middle have left. What can not be removed may be somebody else's by now, or
/// removed already: none of our business.
fn sweep() {
    for left in list().unwrap_or_default().iter().filter(|segment| is_left(segment)) {
        let _ = Options::new().from_id(left.id).remove();
    }
}

/// Whether a creator killed in the middle has left it: the creator of one that is under way lives.
fn is_left(segment: &Stat) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let is_mine = segment.owner_uid == me && segment.creator_uid == me;
    is_mine && segment.key.is_none() && segment.mode == MODE_MARK && segment.is_stale()
}
