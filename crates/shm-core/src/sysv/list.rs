//! All segments there are.

use super::{Stat, call};
use crate::error::{Error, Result};
use rustix::io::Errno;

/// All segments of this IPC namespace that this user may see, by their places in the kernel's table. Each as
/// it was when it was looked at; what is created meanwhile may be missing.
///
/// [`Stat::is_stale`] finds those that a killed program has left.
///
/// Asked by `shmctl(SHM_INFO)` and `shmctl(SHM_STAT_ANY)`, not by `/proc/sysvipc/shm`: that needs no `/proc`, which
/// is missing in many a container, and tells everything in the form in which
/// [`Segment::stat`](super::Segment::stat) gets it. Since Linux 4.17 both show the segments of all
/// users; where there is no `SHM_STAT_ANY`, those that this user may not read are left out.
///
/// # Errors
/// [`Error::System`] when the kernel has no System V segments, or a filter forbids the call.
///
/// ```
/// for segment in shm_core::sysv::list()?.iter().filter(|segment| segment.is_stale()) {
///     println!("{} has {} bytes, and nobody uses it", segment.id, segment.bytes);
/// }
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn list() -> Result<Vec<Stat>> {
    let failed = |call| {
        move |errno: Errno| Error::System { call, object: "all segments".to_owned(), source: errno.into() }
    };
    let (highest, _) = call::usage().map_err(failed("shmctl(SHM_INFO)"))?;
    let mut found = Vec::new();
    for index in 0..=highest {
        // A place without a segment and a kernel without the command give the same answer.
        let looked = match call::stat(index, call::SHM_STAT_ANY) {
            Err(Errno::INVAL) => call::stat(index, call::SHM_STAT),
            looked => looked,
        };
        match looked {
            Ok((id, raw)) => found.push(Stat::new(id, &raw, None)),
            // None there, removed just now, or not for this user's eyes.
            Err(Errno::INVAL | Errno::IDRM | Errno::ACCESS | Errno::PERM) => {}
            Err(errno) => return Err(failed("shmctl(SHM_STAT)")(errno)),
        }
    }
    Ok(found)
}
