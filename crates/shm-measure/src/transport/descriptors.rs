//! Descriptors that were handed over, one by one.

use crate::Result;
use std::os::fd::OwnedFd;

/// The next of them.
///
/// # Errors
/// When there are fewer.
pub(crate) fn next(descriptors: &mut impl Iterator<Item = OwnedFd>) -> Result<OwnedFd> {
    descriptors.next().ok_or_else(|| "too few descriptors were handed over".into())
}
