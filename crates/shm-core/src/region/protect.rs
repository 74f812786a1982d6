//! What may be done with the pages of a region, changed after they were mapped.

#![allow(unsafe_code)] // mprotect on our own mapping

use super::{Access, Backing, Region};
use crate::error::{Error, Result};
use rustix::mm::{MprotectFlags, mprotect};
use std::sync::Arc;

/// What may be done with the pages of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: an access is an error of this library, and a fault by other means.
    Nothing,
    /// Loads.
    Read,
    /// Loads and stores.
    ReadWrite,
    /// Loads, and execution as code. There is none that allows both execution and stores.
    ReadExecute,
}

impl Region {
    /// Changes what may be done with all of the mapping (`mprotect`). The region must be the only one on it, whole,
    /// without words, events and copies: they would fault.
    ///
    /// # Errors
    /// [`Error::RegionInUse`], [`Error::Forbidden`] when the object was not opened for it, is sealed against it, or
    /// (execution) lies where nothing may be executed; [`Error::Unsupported`] for a part.
    pub fn protect(&mut self, protection: Protection) -> Result<()> {
        self.sole_and_whole("protecting")?;
        let (access, flags) = match protection {
            Protection::Nothing => (Access::Nothing, MprotectFlags::empty()),
            Protection::Read => (Access::ReadOnly, MprotectFlags::READ),
            Protection::ReadWrite => (Access::ReadWrite, MprotectFlags::READ | MprotectFlags::WRITE),
            Protection::ReadExecute => (Access::ReadOnly, MprotectFlags::READ | MprotectFlags::EXEC),
        };
        // SAFETY: all of our mapping, in whole pages, on which nothing but this region relies; and that is told.
        unsafe { mprotect(self.base.as_ptr().cast(), self.backing.mapped_bytes(), flags) }
            .map_err(|errno| self.failed("mprotect", errno))?;
        self.access = access;
        self.set_reach();
        Ok(())
    }

    /// That nothing else uses the mapping, and that this is all of it.
    pub(super) fn sole_and_whole(&mut self, what: &'static str) -> Result<()> {
        let unsupported = |reason| Err(Error::Unsupported { what, reason });
        let others = Arc::strong_count(&self.backing) - 1;
        let (base, bytes) = (self.base.as_ptr(), self.bytes);
        let Some(backing) = Arc::get_mut(&mut self.backing) else {
            return Err(Error::RegionInUse { others });
        };
        if backing.is_gone() {
            return Err(Error::Forked { object: "a region that children do not get".to_owned() });
        }
        match backing {
            backing if backing.mapped_bytes() == 0 => {
                unsupported("the region is not a mapping whose length is known here")
            }
            Backing::Mapping(mapping) if mapping.bytes() != bytes => {
                unsupported("the region is only a part of its mapping")
            }
            Backing::Held(_, all) if *all != bytes => unsupported("the region is only a part of its mapping"),
            backing if backing.base() != base => unsupported("the region is only a part of its mapping"),
            _ => Ok(()),
        }
    }
}
