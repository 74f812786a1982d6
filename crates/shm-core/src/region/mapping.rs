//! A mapping that the kernel made, and what it was made of.

#![allow(unsafe_code)] // taking over, and letting go of, address space

use super::{Access, MapOptions};
use crate::fork::{Guard, Reservation};
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;

/// A mapping. Unmapped when dropped.
pub(crate) struct Mapping {
    raw: ManuallyDrop<MmapRaw>,
    /// How many of its bytes are the region's; the rest fills the last page.
    bytes: usize,
    origin: Option<Origin>,
    /// Set where children do not get it.
    kept: Option<Kept>,
}

/// What a mapping was made of.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// For showing to people.
    pub(crate) label: String,
    /// Which object.
    pub(crate) inode: (u64, u64),
    /// From where in it.
    pub(crate) offset: u64,
    /// Bytes in one of its pages.
    pub(crate) page_bytes: usize,
    pub(crate) options: MapOptions,
}

/// That children do not get a mapping.
struct Kept {
    guard: Guard,
    /// Keeps the addresses free of anything else in children.
    reservation: Reservation,
}

impl From<MmapRaw> for Mapping {
    fn from(raw: MmapRaw) -> Self {
        let bytes = raw.len();
        Self { raw: ManuallyDrop::new(raw), bytes, origin: None, kept: None }
    }
}

impl Mapping {
    /// Maps `bytes` bytes of a file from where `origin` says, in whole pages.
    pub(crate) fn of_file(file: BorrowedFd<'_>, bytes: usize, origin: Origin) -> io::Result<Self> {
        let whole = bytes.checked_next_multiple_of(origin.page_bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        // Only huge pages are counted by whoever unmaps; of ordinary ones the kernel rounds up itself.
        let length = if origin.page_bytes > rustix::param::page_size() { whole } else { bytes };
        let mut how = MmapOptions::new();
        how.offset(origin.offset).len(length);
        if origin.options.populate {
            how.populate();
        }
        let raw = match (origin.options.private, origin.options.access) {
            (false, Access::ReadWrite) => how.map_raw(&file)?,
            (false, _) => how.map_raw_read_only(&file)?,
            // SAFETY: what these return is taken apart at once, so that no reference to the bytes is ever made,
            // which others may change.
            (true, Access::ReadWrite) => MmapRaw::from(unsafe { how.map_copy(&file) }?),
            // SAFETY: as above.
            (true, _) => MmapRaw::from(unsafe { how.map_copy_read_only(&file) }?),
        };
        Ok(Self { raw: ManuallyDrop::new(raw), bytes, origin: Some(origin), kept: None })
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.raw.as_mut_ptr()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// With the rest of the last page, where that counts.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref() // of an option, not of a mapping
    }

    /// Has the kernel keep it from children made from now on.
    pub(crate) fn keep_from_children(&mut self) -> rustix::io::Result<()> {
        if self.kept.is_none() {
            let reservation = Reservation::keep(self.base(), self.mapped_bytes())?;
            self.kept = Some(Kept { guard: Guard::new(), reservation });
        }
        Ok(())
    }

    pub(crate) fn is_kept_from_children(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether this is a copy in a child that did not get it.
    pub(crate) fn is_gone(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.guard.is_forked()) // as above
    }

    /// Has it be of `bytes` bytes, somewhere else if need be. The object must have as many behind it.
    pub(super) fn resize(&mut self, bytes: usize) -> io::Result<()> {
        let page_bytes = self.origin().map_or(rustix::param::page_size(), |origin| origin.page_bytes);
        let whole = bytes.checked_next_multiple_of(page_bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        let length = if page_bytes > rustix::param::page_size() { whole } else { bytes };
        let how = memmap2::RemapOptions::new().may_move(true);
        let raw = &mut self.raw;
        // SAFETY: whoever calls this has the only region on the mapping, without words and parts, and derives
        // its addresses anew; all bytes are inside of the object, as the caller has seen.
        let mut remap = || unsafe { raw.remap(length, how) }.map(|()| (raw.as_mut_ptr(), raw.len()));
        match self.kept.as_mut() {
            None => _ = remap()?,
            Some(kept) => kept.reservation.moved(remap)?,
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a child that did not get it, the addresses are not this mapping's any more.
        if self.is_gone() {
            return;
        }
        let raw = &mut self.raw;
        // SAFETY: dropped once, here, and not used afterwards.
        let mut unmap = || unsafe { ManuallyDrop::drop(raw) };
        match self.kept.take() {
            None => unmap(),
            Some(kept) => kept.reservation.end(unmap),
        }
    }
}

impl core::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mapping")
            .field("bytes", &self.bytes)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Access, Error, Memfd, Object, Remap, Span};

    /// What is stored behind a region's end, in its last page.
    fn store_behind(region: &crate::Region, value: u8) {
        let end = region.pointer(Span::new(region.bytes(), 0)).unwrap();
        assert!(
            !region.bytes().is_multiple_of(rustix::param::page_size()),
            "there would be nothing behind it"
        );
        // SAFETY: the page goes on behind the end, is mapped for writing, and belongs to this test.
        unsafe { end.as_ptr().write_volatile(value) };
    }

    fn byte_behind(region: &crate::Region) -> u8 {
        let end = region.pointer(Span::new(region.bytes(), 0)).unwrap();
        // SAFETY: the page goes on behind the end, and is mapped.
        unsafe { end.as_ptr().read_volatile() }
    }

    fn object(bytes: u64) -> Object {
        Memfd::new("mapping").create(bytes).unwrap()
    }

    #[test]
    fn the_rest_of_the_last_page_reads_zero_and_stays_out_of_the_file() {
        let object = object(5000);
        let region = object.map(Access::ReadWrite).unwrap();
        region.copy_in(4999, b"x").unwrap();
        assert_eq!((region.bytes(), byte_behind(&region)), (5000, 0));
        assert!(matches!(region.copy_in(4999, b"xy").unwrap_err(), Error::OutOfBounds { .. }));
        store_behind(&region, 7);
        assert_eq!(object.stat().unwrap().bytes, 5000);
        let mut bytes = [0; 100];
        assert_eq!(object.read_at(4999, &mut bytes).unwrap(), 1);
    }

    #[test]
    fn grown_bytes_are_zero_whatever_was_stored_behind_the_end() {
        for how in [Remap::Move, Remap::Anew] {
            let object = object(5000);
            let mut region = object.map(Access::ReadWrite).unwrap();
            region.copy_in(0, &[1; 5000]).unwrap();
            store_behind(&region, 7);
            object.resize(20_000).unwrap();
            object.remap(&mut region, 20_000, how).unwrap();
            let mut bytes = [9; 20_000];
            region.copy_out(0, &mut bytes).unwrap();
            assert!(bytes[..5000].iter().all(|&byte| byte == 1));
            assert!(bytes[5000..].iter().all(|&byte| byte == 0));
            object.remap(&mut region, 100, how).unwrap();
            assert_eq!((region.bytes(), region.read_value::<u8>(99).unwrap()), (100, 1));
            assert!(region.copy_in(100, b"x").is_err());
        }
    }
}
