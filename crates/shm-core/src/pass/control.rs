//! Control messages, as the kernel writes them.
//!
//! They are read here and not by a library because a process id among them can be 0 (a sender that our pid namespace
//! does not see), and because a descriptor that nobody asked for must be found and closed.

#![allow(unsafe_code)] // a buffer that the kernel fills with headers and descriptors

use super::{Credentials, SOCKET};
use crate::error::{Error, Result};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `SCM_PIDFD` of the kernel's `linux/socket.h`.
const SCM_PIDFD: libc::c_int = 4;

/// What one call received.
pub(super) struct Part {
    /// How many bytes; of a message that was longer than the buffer, how many it had.
    pub(super) bytes: usize,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) sender: Option<Credentials>,
    /// The kernel had more control messages than went into the buffer, and dropped those.
    pub(super) cut: bool,
}

/// Receives once, without waiting, with room for `descriptors` descriptors and what may come besides.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    payload: &mut [u8],
    descriptors: usize,
) -> core::result::Result<Part, Errno> {
    let mut buffer = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    let room =
        space(descriptors * size_of::<RawFd>()) + space(size_of::<libc::ucred>()) + space(size_of::<RawFd>());
    // Of words: the headers in it are aligned to them.
    let mut control = vec![0_u64; room.div_ceil(size_of::<u64>())];
    // SAFETY: a struct of numbers and pointers, for which zeros are a value.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut buffer;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = (control.len() * size_of::<u64>()) as _;
    // A stream does not know MSG_TRUNC; elsewhere it tells the length of what did not fit.
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let flags = if is_stream(socket) { flags & !libc::MSG_TRUNC } else { flags };
    // SAFETY: the message points to `payload` and `control`, with their lengths; both outlive the call.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let Ok(bytes) = usize::try_from(received) else {
        return Err(last_errno());
    };
    let cut = message.msg_flags & libc::MSG_CTRUNC != 0;
    let mut part = Part { bytes, descriptors: Vec::new(), sender: None, cut };
    // SAFETY: the kernel has filled `control`, as far as `msg_controllen` says now.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: `header` lies in what the kernel has filled, aligned; read once.
        let this = unsafe { header.read() };
        // SAFETY: as above; the content follows the header.
        let content = unsafe { libc::CMSG_DATA(header) };
        let length = (this.cmsg_len as usize).saturating_sub(header_bytes());
        if this.cmsg_level == libc::SOL_SOCKET {
            take(&mut part, this.cmsg_type, content, length);
        }
        // SAFETY: `header` is one of this message's.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(part)
}

/// Takes the content of one control message over: `length` bytes that the kernel wrote at `content`.
fn take(part: &mut Part, kind: libc::c_int, content: *const u8, length: usize) {
    match kind {
        libc::SCM_RIGHTS => {
            part.descriptors.extend((0..length / size_of::<RawFd>()).map(|index| descriptor(content, index)));
        }
        // Wanted by nobody here, but installed if the program asked the socket for it: closed.
        SCM_PIDFD if length >= size_of::<RawFd>() => drop(descriptor(content, 0)),
        libc::SCM_CREDENTIALS if length >= size_of::<libc::ucred>() => {
            // SAFETY: the kernel wrote a `ucred` there, of plain numbers.
            part.sender = Some(credentials(unsafe { content.cast::<libc::ucred>().read_unaligned() }));
        }
        _ => {}
    }
}

/// The descriptor at `index`, which is ours from now on. Called once for each that the kernel wrote.
fn descriptor(content: *const u8, index: usize) -> OwnedFd {
    // SAFETY: within the descriptors that the kernel wrote, as the caller counted.
    let number = unsafe { content.cast::<RawFd>().wrapping_add(index).read_unaligned() };
    // SAFETY: the kernel has just opened it for us, and told nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn credentials(found: libc::ucred) -> Credentials {
    Credentials { pid: u32::try_from(found.pid).ok().filter(|&pid| pid != 0), uid: found.uid, gid: found.gid }
}

/// Who connected to this socket, listened where it connected to, or made the pair: as of that time, whoever has the
/// other end by now.
///
/// # Errors
/// [`Error::WrongDescriptor`] when it is no Unix socket.
#[allow(clippy::cast_possible_truncation)] // a dozen bytes
pub fn peer(socket: impl AsFd) -> Result<Credentials> {
    super::kind_of(socket.as_fd())?;
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length: libc::socklen_t = size_of::<libc::ucred>() as _;
    // SAFETY: `found` has room for what `length` says, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(Error::system("getsockopt(SO_PEERCRED)", SOCKET, last_errno()));
    }
    // A socket that is not connected has nobody at its other end.
    if found.uid == u32::MAX { Err(Error::PeerClosed) } else { Ok(credentials(found)) }
}

fn is_stream(socket: BorrowedFd<'_>) -> bool {
    rustix::net::sockopt::socket_type(socket) == Ok(rustix::net::SocketType::STREAM)
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Bytes that a control message of `length` bytes takes.
#[allow(clippy::cast_possible_truncation)] // at most 253 descriptors
fn space(length: usize) -> usize {
    // SAFETY: a sum; it takes no pointers.
    unsafe { libc::CMSG_SPACE(length as u32) as usize }
}

fn header_bytes() -> usize {
    // SAFETY: a sum; it takes no pointers.
    unsafe { libc::CMSG_LEN(0) as usize }
}
