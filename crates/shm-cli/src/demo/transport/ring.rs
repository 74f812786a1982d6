//! Two rings, one for each direction.

use super::{Link, Received};
use crate::failure::Failure;
use rustix::rand::{GetRandomFlags, getrandom};
use shm_core::{Name, Options};
use shm_ring::{Consumer, Directory, Error, Producer, Status};
use std::time::Duration;

/// How long opening a ring tries while somebody else sits there: nobody should.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

/// Capacity of the ring for answers: so small that the round trips which nobody measures touch all its pages.
const ANSWERS_BYTES: u64 = 64 << 10;

/// The names of the rings.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    directory: Directory,
    base: String,
}

impl Names {
    /// Names that nobody else uses, with the process and a random part in them.
    pub(crate) fn unique(directory: &Directory) -> Result<Self, Failure> {
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|errno| Failure::error(format!("the kernel gives no random bytes: {errno}")))?;
        let base = format!("shmring-demo-{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
        Ok(Self::new(directory, &base))
    }

    /// The names of which [`base`](Self::base) was told.
    pub(crate) fn new(directory: &Directory, base: &str) -> Self {
        Self { directory: directory.clone(), base: base.to_owned() }
    }

    /// What all names begin with.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The ring from the producing process to the consuming one.
    fn there(&self) -> String {
        format!("{}-there", self.base)
    }

    /// The ring of many.
    pub(crate) fn crowd(&self) -> String {
        format!("{}-crowd", self.base)
    }

    /// What the many note.
    pub(crate) fn notes(&self) -> String {
        format!("{}-notes", self.base)
    }

    /// Where the names live.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The ring for answers.
    fn back(&self) -> String {
        format!("{}-back", self.base)
    }

    /// What the library says of the ring from the producing process to the consuming one.
    pub(crate) fn inspect(&self) -> Result<Status, Failure> {
        Ok(shm_ring::inspect_in(&self.directory, &self.there())?)
    }

    /// Takes the names away, if they are there. Who is attached goes on undisturbed, to the end.
    pub(crate) fn unlink(&self) {
        let options = Options::new().directory(self.directory.clone());
        for name in [self.there(), self.back(), self.crowd(), self.notes()] {
            // That it is gone is what was wanted; that somebody else is just taking it away is as good.
            let _ = Name::new(&name).and_then(|name| options.unlink(&name));
        }
    }
}

/// One end of the two rings.
#[derive(Debug)]
pub(crate) struct RingLink {
    outgoing: Producer,
    incoming: Consumer,
}

impl RingLink {
    /// The end of the consuming process, which creates the rings.
    pub(crate) fn create(names: &Names) -> Result<Self, Failure> {
        let incoming = Consumer::builder(&names.there()).directory(names.directory.clone()).create()?;
        let outgoing = Producer::builder(&names.back()).directory(names.directory.clone());
        Ok(Self { incoming, outgoing: outgoing.capacity(ANSWERS_BYTES).require_peer(true).create()? })
    }

    /// The end of the producing process, which finds the rings.
    pub(crate) fn open(names: &Names) -> Result<Self, Failure> {
        let outgoing = Producer::builder(&names.there()).directory(names.directory.clone());
        let incoming = Consumer::builder(&names.back()).directory(names.directory.clone());
        Ok(Self {
            outgoing: outgoing.require_peer(true).attach_timeout(ATTACH_TIMEOUT).open()?,
            incoming: incoming.attach_timeout(ATTACH_TIMEOUT).open()?,
        })
    }
}

impl Link for RingLink {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        Ok(self.outgoing.send(message)?)
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Failure> {
        match self.incoming.recv_into(buffer) {
            Ok((length, _)) => Ok(Received::Message(length)),
            Err(Error::Disconnected(end)) => Ok(Received::Ended(end)),
            Err(error) => Err(error.into()),
        }
    }

    fn close(self) {
        self.outgoing.close();
        self.incoming.close();
    }
}
