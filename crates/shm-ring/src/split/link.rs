//! The socket that two sides of a sealed ring keep open: its end is the peer's.

use crate::error::Result;
use shm_core::{Descriptor, pass};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// This end of the socket. A forked child does not get it.
#[derive(Debug)]
pub(crate) struct Link(Descriptor);

impl Link {
    pub(super) fn new(socket: OwnedFd) -> Result<Self> {
        pass::is_connection(&socket)?;
        Ok(Self(Descriptor::open(|| Ok::<_, shm_core::Error>(socket))?))
    }

    /// Whether the peer has closed its end, or the kernel did when it died. What the peer sends after the greeting is
    /// left unread, and means nothing.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        Ok(pass::has_ended(&self.0)?)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_link_ends_when_the_other_end_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let link = Link::new(ours.into()).unwrap();
        assert!(!link.has_ended().unwrap());
        drop(theirs);
        assert!(link.has_ended().unwrap());
    }
}
