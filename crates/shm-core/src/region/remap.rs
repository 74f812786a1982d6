//! Another length for a region that exists.

use super::{Backing, Origin, Region};
use crate::error::{Error, Result};
use core::ptr::NonNull;
use rustix::io::Errno;
use std::sync::Arc;

impl Region {
    /// What it was made of, if it is the only region on a mapping of an object, and whole.
    pub(crate) fn sole_origin(&mut self) -> Result<Origin> {
        const WHAT: &str = "remapping";
        self.sole_and_whole(WHAT)?;
        let origin = match &*self.backing {
            Backing::Mapping(mapping) => mapping.origin().cloned(),
            Backing::Heap(_) | Backing::Held(..) => None,
        };
        origin.ok_or(Error::Unsupported { what: WHAT, reason: "the region does not map an object" })
    }

    /// Has the mapping be of `bytes` bytes, all of which the object has. Nothing has changed after an error.
    pub(crate) fn move_to(&mut self, bytes: usize) -> Result<()> {
        let origin = self.sole_origin()?;
        let others = Arc::strong_count(&self.backing) - 1;
        let Some(Backing::Mapping(mapping)) = Arc::get_mut(&mut self.backing) else {
            return Err(Error::RegionInUse { others });
        };
        let resized = mapping.resize(bytes);
        let base = mapping.base();
        if let Err(source) = resized {
            let errno = Errno::from_io_error(&source).unwrap_or(Errno::NOMEM);
            let huge = origin.page_bytes > rustix::param::page_size();
            return Err(match errno {
                Errno::INVAL if huge => {
                    let reason = "this kernel does not grow mappings of huge pages; map the object anew";
                    Error::Unsupported { what: "remapping", reason }
                }
                Errno::AGAIN => self.not_locked("mremap", errno),
                errno => self.failed("mremap", errno),
            });
        }
        self.base = NonNull::new(base).ok_or(Error::ZeroLength { object: origin.label })?;
        self.bytes = bytes;
        self.set_reach();
        Ok(())
    }
}
