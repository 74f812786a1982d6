//! Descriptors from process to process, over a Unix socket.
//!
//! A message is a few bytes and a few descriptors, and both sides have agreed how many of each. The receiver gets just
//! that, or an error and not one descriptor: a sender can not fill the receiver's table of open files with what it
//! did not ask for. What the descriptors *are* is not looked at here: that is for
//! [`seal::Expectation`](crate::seal::Expectation) and [`Object::from_descriptor`](crate::Object::from_descriptor).
//!
//! Who the peer is, [`peer`] says (the process that connected, or made the pair) and [`Received::sender`] (the one
//! that sent this very message, which may have got the socket from another).
//!
//! Any connected Unix socket will do; those that keep messages apart (`SOCK_SEQPACKET`) are the best choice. After an
//! error other than a deadline that passed while nothing was sent or received yet, the two sides may disagree on where
//! the next message begins: close the socket.
//!
//! ```
//! use shm_core::{Access, Deadline, Memfd, Object, pass};
//! use std::{os::unix::net::UnixStream, time::Duration};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, theirs) = UnixStream::pair()?;
//! let soon = Deadline::after(Duration::from_secs(1));
//! let object = Memfd::new("sent").create(4096)?;
//! pass::send(&ours, b"frames", &[object.descriptor()], soon)?;
//!
//! let mut payload = [0; 6];
//! let received = pass::receive(&theirs, &mut payload, 1, soon)?;
//! assert_eq!(&payload, b"frames");
//! assert_eq!(pass::peer(&theirs)?.pid, Some(std::process::id()));
//! let [descriptor] = <[_; 1]>::try_from(received.descriptors).expect("one, as asked");
//! assert!(Object::from_descriptor(descriptor, "frames")?.map(Access::ReadOnly).is_ok());
//! # Ok(())
//! # }
//! ```

mod control;
#[cfg(test)]
mod tests;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use control::Part;
pub use control::peer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, IoSlice};
use rustix::net::sockopt::{set_socket_passcred, socket_domain, socket_type};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, sendmsg};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The kernel takes no more descriptors than that in one message (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// What the socket is called in errors.
const SOCKET: &str = "a Unix socket";
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Who a process is, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its process id; `None` when it has none in our pid namespace, or is not known. For showing to people: the
    /// process may be gone, and its id another's.
    pub pid: Option<u32>,
    /// Its effective user; 65534 when it has none in our user namespace, or is not known.
    pub uid: u32,
    /// Its effective group; 65534 as above.
    pub gid: u32,
}

/// What [`receive`] got besides the payload.
#[derive(Debug)]
pub struct Received {
    /// Just as many descriptors as were asked for, in the order in which they were sent. Closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent the message, where that [was asked for](identify_senders) before it was sent.
    pub sender: Option<Credentials>,
}

/// Has the kernel tell with each message from now on who sent it. A message that is on its way already is told to
/// come from nobody: no process, user 65534.
///
/// # Errors
/// When the system refuses.
pub fn identify_senders(socket: impl AsFd) -> Result<()> {
    set_socket_passcred(socket, true).map_err(|errno| Error::system("setsockopt(SO_PASSCRED)", SOCKET, errno))
}

/// Whether a socket is one whose other end is seen to close: a stream, or one of packets in sequence.
///
/// # Errors
/// [`Error::WrongDescriptor`] for one of datagrams, which does not tell, and for anything else.
pub fn is_connection(socket: impl AsFd) -> Result<()> {
    match kind_of(socket.as_fd())? {
        SocketType::STREAM | SocketType::SEQPACKET => Ok(()),
        _ => Err(Error::WrongDescriptor {
            object: SOCKET.to_owned(),
            found: "one of datagrams, which does not tell when its other end is closed".to_owned(),
        }),
    }
}

/// Whether the other end of a [connection](is_connection) is closed, by its process or by the kernel when that died;
/// or shut down for writing. Never blocks, and takes nothing of what was sent. Bytes that came before the end do not
/// hide it.
///
/// A process that got a copy of the other end, by a fork for instance, keeps it open.
///
/// # Errors
/// When the system refuses.
pub fn has_ended(socket: impl AsFd) -> Result<bool> {
    let mut polled = [PollFd::new(&socket, PollFlags::IN | PollFlags::RDHUP)];
    while let Err(errno) = poll(&mut polled, Some(&AT_ONCE)) {
        if errno != Errno::INTR {
            return Err(Error::system("poll", SOCKET, errno));
        }
    }
    let [seen] = polled.map(|one| one.revents());
    Ok(seen.intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL))
}

/// Sends the payload, at least one byte, with the descriptors. Blocks until the socket takes all of it, at most until
/// the deadline. The descriptors stay open here.
///
/// A receiver that dies before it receives them loses nothing of ours; what it was sent is closed.
///
/// # Errors
/// [`Error::WrongMessage`] for an empty payload or more than [`DESCRIPTORS_MAX`] descriptors, [`Error::TimedOut`],
/// [`Error::PeerClosed`] (never a signal), [`Error::WrongDescriptor`] when this is no Unix socket, or what the system
/// says.
pub fn send(
    socket: impl AsFd,
    payload: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Deadline,
) -> Result<()> {
    let socket = socket.as_fd();
    kind_of(socket)?;
    some_bytes(payload)?;
    few_enough(descriptors.len())?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
    let mut rest = payload;
    while !rest.is_empty() {
        let mut control = SendAncillaryBuffer::new(&mut space);
        // They go with the first byte, and only with it.
        if rest.len() == payload.len() && !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[IoSlice::new(rest)], &mut control, flags) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                await_ready(socket, PollFlags::OUT, deadline, "the socket took the message")?
            }
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                return Err(Error::PeerClosed);
            }
            Err(errno) => return Err(Error::system("sendmsg", SOCKET, errno)),
        }
    }
    Ok(())
}

/// Receives a message of just `payload.len()` bytes, at least one, with just `descriptors` descriptors. Blocks until it
/// is there, at most until the deadline. Where it is refused, what came of it is closed.
///
/// The payload is written even where the message is refused.
///
/// # Errors
/// [`Error::WrongMessage`] when another number of bytes or descriptors came, [`Error::DescriptorsCut`],
/// [`Error::TimedOut`], [`Error::PeerClosed`] also when the peer closed it in the middle of a message,
/// [`Error::WrongDescriptor`] when this is no Unix socket, or what the system says.
pub fn receive(
    socket: impl AsFd,
    payload: &mut [u8],
    descriptors: usize,
    deadline: Deadline,
) -> Result<Received> {
    let socket = socket.as_fd();
    let is_stream = kind_of(socket)? == SocketType::STREAM;
    some_bytes(payload)?;
    few_enough(descriptors)?;
    let mut received = Received { descriptors: Vec::new(), sender: None };
    let (mut filled, wanted) = (0, payload.len());
    while filled < wanted {
        let rest = payload.get_mut(filled..).unwrap_or_default();
        let part = match control::receive(socket, rest, descriptors) {
            Ok(part) => part,
            Err(Errno::AGAIN) => {
                await_ready(socket, PollFlags::IN, deadline, "a message came")?;
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET | Errno::NOTCONN) => return Err(Error::PeerClosed),
            Err(errno) => return Err(Error::system("recvmsg", SOCKET, errno)),
        };
        let Part { bytes, descriptors: came, sender, cut } = part;
        received.descriptors.extend(came); // owned from here on: every way out closes them
        received.sender = received.sender.or(sender);
        if cut {
            return Err(Error::DescriptorsCut);
        }
        if bytes == 0 {
            return Err(Error::PeerClosed);
        }
        filled += bytes;
        if !is_stream && filled != wanted {
            return Err(Error::WrongMessage { what: "bytes", expected: wanted, found: filled });
        }
        if received.descriptors.len() > descriptors {
            break;
        }
    }
    let found = received.descriptors.len();
    if found == descriptors {
        Ok(received)
    } else {
        Err(Error::WrongMessage { what: "descriptors", expected: descriptors, found })
    }
}

/// What kind of Unix socket it is.
fn kind_of(socket: BorrowedFd<'_>) -> Result<SocketType> {
    let wrong = || Error::WrongDescriptor { object: SOCKET.to_owned(), found: "something else".to_owned() };
    if socket_domain(socket).map_err(|_| wrong())? != AddressFamily::UNIX {
        return Err(wrong());
    }
    socket_type(socket).map_err(|errno| Error::system("getsockopt(SO_TYPE)", SOCKET, errno))
}

/// A message without a byte looks like the end of the stream.
fn some_bytes(payload: &[u8]) -> Result<()> {
    if payload.is_empty() {
        Err(Error::WrongMessage { what: "bytes", expected: 1, found: 0 })
    } else {
        Ok(())
    }
}

fn few_enough(descriptors: usize) -> Result<()> {
    if descriptors > DESCRIPTORS_MAX {
        return Err(Error::WrongMessage {
            what: "descriptors",
            expected: DESCRIPTORS_MAX,
            found: descriptors,
        });
    }
    Ok(())
}

fn await_ready(
    socket: BorrowedFd<'_>,
    events: PollFlags,
    deadline: Deadline,
    awaited: &'static str,
) -> Result<()> {
    let remaining = (deadline != Deadline::NEVER).then(|| deadline.remaining().try_into().ok()).flatten();
    match poll(&mut [PollFd::from_borrowed_fd(socket, events)], remaining.as_ref()) {
        Ok(0) => Err(Error::TimedOut { awaited }),
        Ok(_) | Err(Errno::INTR) => Ok(()), // looked at again by whoever waits
        Err(errno) => Err(Error::system("poll", SOCKET, errno)),
    }
}
