//! Sealed rings: for two processes of which neither trusts the other, over a connected Unix socket.
//!
//! ```text
//!   the producer's object                     the consumer's object
//!      512  producer region                     1024  consumer region
//!     4096  data
//!   written by the producer,                  written by the consumer,
//!   mapped by the consumer for reading        mapped by the producer for reading
//! ```
//!
//! Each side makes the memory that it writes (a memfd), maps it, and seals it: it keeps its length and its pages, and
//! nobody can ever map it for writing again or write it by other means, its maker included. Then it sends the
//! descriptor. The other side believes nothing of it: it asks the kernel for the seals, the length and the pages,
//! maps it for reading, and looks all pages up, so that no later touch can fail. Offsets are those of a named ring.
//!
//! # What a hostile peer can do
//! Send garbage, claim that it has sent or read what it has not, be silent, wake for nothing, keep the memory that
//! it was sent. It can not change a byte of what is ours, make us fault, hang a call that has a deadline, or have us
//! read or write elsewhere: what it says is read once, judged, and only then used; see `docs/crash.md`.
//!
//! # Who is there
//! There are no locks: the peer could take all of them. That it is gone is told by the socket's other end, which the
//! kernel closes with the process. (A process that has a copy of that end delays the verdict.) There are no successors
//! either, as nobody else can map the memory for writing: whoever connects again has a new ring.

mod hello;
mod link;

use crate::attach::{Content, Settings};
use crate::error::{Error, Result, Role};
use crate::layout::Geometry;
use crate::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, DATA_OFFSET, PRODUCER_REGION_BYTES,
    PRODUCER_REGION_OFFSET, Parts, life_offset,
};
use crate::seat::{OwnSeat, Start};
use hello::{HELLO_BYTES, Hello};
pub(crate) use link::Link;
use shm_core::seal::{self, Expectation, Seals};
use shm_core::{Access, Deadline, Life, MapOptions, Memfd, Object, Region, Span, pass};
use std::os::fd::{AsFd, OwnedFd};

/// What errors call the memory that came.
const PEERS: &str = "the peer's memory";

/// A ring that this process has made with another one, and sits at.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) parts: Parts,
    pub(crate) geometry: Geometry,
    pub(crate) link: Link,
    pub(crate) seat: OwnSeat,
    pub(crate) life: Option<Life>,
}

/// Makes the ring with whoever is at the other end of the socket. The producer's capacity counts.
pub(crate) fn join(
    settings: &Settings,
    content: &Content,
    role: Role,
    socket: OwnedFd,
    deadline: Deadline,
) -> Result<Joined> {
    let link = Link::new(socket)?;
    let bytes = if role.sends() { content.geometry.object_bytes } else { DATA_OFFSET as u64 };
    let own = Memfd::new(&settings.name).create(bytes)?;
    let region = own.map(Access::ReadWrite)?;
    // Before the seals: the kernel's mark goes through a mapping of its own.
    let life = own.register_life(life_offset(role)).ok();
    let seat = OwnSeat::fresh(&own_region(&region, role)?, role)?;
    seat.sit(Start { position: 0, count: 0 });
    seal::apply(&own, Seals::RECEIVER_SAFE, &settings.name)?;
    Hello::of(content, role, bytes).send(link.as_fd(), &own, deadline)?;

    let mut message = [0; HELLO_BYTES];
    let mut received = pass::receive(link.as_fd(), &mut message, 1, deadline)?;
    let hello = Hello::read(&message, content, role)?;
    let geometry = if role.sends() { content.geometry } else { hello.geometry(content)? };
    let theirs = if role.sends() { DATA_OFFSET as u64 } else { geometry.object_bytes };
    let descriptor = received.descriptors.pop().ok_or(Error::Corrupt("no memory came with the greeting"))?;
    let peers = map_theirs(descriptor, theirs)?;
    let parts = parts(role, &region, &peers, &geometry)?;
    Ok(Joined { parts, geometry, link, seat, life })
}

/// Maps what came, if it is what it must be.
fn map_theirs(descriptor: OwnedFd, bytes: u64) -> Result<Region> {
    Expectation::new(bytes).verify(&descriptor, PEERS)?;
    let object = Object::from_descriptor(descriptor, PEERS)?;
    Ok(object.map_with(&MapOptions::new(Access::ReadOnly).populate(true))?)
}

fn own_region(region: &Region, role: Role) -> Result<Region> {
    let (offset, bytes) = if role.sends() {
        (PRODUCER_REGION_OFFSET, PRODUCER_REGION_BYTES)
    } else {
        (CONSUMER_REGION_OFFSET, CONSUMER_REGION_BYTES)
    };
    Ok(region.part(Span::new(offset, bytes))?)
}

fn parts(role: Role, own: &Region, peers: &Region, geometry: &Geometry) -> Result<Parts> {
    let (producer, consumer) = if role.sends() { (own, peers) } else { (peers, own) };
    let data_bytes = usize::try_from(geometry.data_bytes).unwrap_or(usize::MAX); // refused by `part` then
    Ok(Parts {
        producer: own_region(producer, Role::Producer)?,
        consumer: own_region(consumer, Role::Consumer)?,
        data: producer.part(Span::new(DATA_OFFSET, data_bytes))?,
    })
}
