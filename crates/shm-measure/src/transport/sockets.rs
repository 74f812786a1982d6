//! Pipes and sockets. Byte streams have no messages, so a length goes before each, with it in one call; their receiver
//! reads up to 64 KiB at once, as many messages as that may be. Buffers are as large as the system makes them.

use super::{Ours, Transport, descriptors};
use crate::{Link, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the length before a message in a byte stream.
const LENGTH_BYTES: usize = size_of::<u32>();
/// Bytes that are read from a stream at once: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Up to here a message is copied behind its length; longer ones are written from where they are.
const COPY_BYTES_MAX: usize = 1024;

fn link(there: OwnedFd, back: OwnedFd) -> Streams {
    Streams { sender: StreamSender::new(there), receiver: StreamReceiver::new(back) }
}

/// Two pipes.
pub(crate) fn pipe() -> Result<Ours<Streams>> {
    let ((back_theirs, there), (back, there_theirs)) =
        (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
    Ok(Ours { link: link(there, back), words: Vec::new(), descriptors: vec![there_theirs, back_theirs] })
}

/// Two FIFOs, which lose their names as soon as they are open.
pub(crate) fn fifo() -> Result<Ours<Streams>> {
    let ((back_theirs, there), (back, there_theirs)) = (one_fifo("there")?, one_fifo("back")?);
    Ok(Ours { link: link(there, back), words: Vec::new(), descriptors: vec![there_theirs, back_theirs] })
}

/// The reading and the writing end.
fn one_fifo(suffix: &str) -> Result<(OwnedFd, OwnedFd)> {
    let path = std::env::temp_dir().join(format!("shm-measure-{}-{suffix}", std::process::id()));
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
    // Who opens for both does not wait; then neither do the others.
    let opened = open(OFlags::RDWR).and_then(|both| {
        let ends = (open(OFlags::RDONLY)?, open(OFlags::WRONLY)?);
        drop(both);
        Ok(ends)
    });
    let unlinked = rustix::fs::unlink(&path);
    let ends = opened?;
    unlinked?;
    Ok(ends)
}

/// A pair of Unix stream sockets.
pub(crate) fn unix_stream() -> Result<Ours<Streams>> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    both_ways(ours, theirs)
}

/// A connection over the loopback interface, without waiting for more to send.
pub(crate) fn tcp() -> Result<Ours<Streams>> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    ours.set_nodelay(true)?;
    theirs.set_nodelay(true)?;
    both_ways(ours.into(), theirs.into())
}

fn both_ways(ours: OwnedFd, theirs: OwnedFd) -> Result<Ours<Streams>> {
    let descriptors = vec![theirs.try_clone()?, theirs];
    Ok(Ours { link: link(ours.try_clone()?, ours), words: Vec::new(), descriptors })
}

pub(crate) fn open_stream(descriptors: Vec<OwnedFd>) -> Result<Streams> {
    let mut descriptors = descriptors.into_iter();
    let there = descriptors::next(&mut descriptors)?;
    Ok(link(there, descriptors::next(&mut descriptors)?))
}

/// Two byte streams, or one both ways.
#[derive(Debug)]
pub(crate) struct Streams {
    sender: StreamSender,
    receiver: StreamReceiver,
}

impl Link for Streams {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.receiver.receive(buffer)?.ok_or_else(|| "the other process has ended".into())
    }
}

/// The longest message of a Unix packet socket, whose buffer is as large as the system makes it.
pub(crate) fn packet_bytes_max() -> usize {
    128 << 10
}

/// A pair of sockets that keep messages apart.
#[derive(Debug)]
pub(crate) struct Packets(OwnedFd);

pub(crate) fn unix_packets(transport: Transport) -> Result<Ours<Packets>> {
    let kind = if transport == Transport::UnixDatagram { SocketType::DGRAM } else { SocketType::SEQPACKET };
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    Ok(Ours { link: Packets(ours), words: Vec::new(), descriptors: vec![theirs] })
}

pub(crate) fn open_packets(descriptors: Vec<OwnedFd>) -> Result<Packets> {
    Ok(Packets(descriptors::next(&mut descriptors.into_iter())?))
}

impl Link for Packets {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        loop {
            match rustix::net::send(&self.0, message, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match rustix::net::recv(&self.0, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err("the other process has ended".into()),
                Ok((length, _)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The sending end of a byte stream.
#[derive(Debug)]
struct StreamSender {
    stream: OwnedFd,
    /// The length and a short message, side by side for one `write`.
    frame: Vec<u8>,
}

impl StreamSender {
    fn new(stream: OwnedFd) -> Self {
        Self { stream, frame: Vec::new() }
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.frame.clear();
        self.frame.extend(u32::try_from(message.len())?.to_le_bytes());
        let mut rest = message;
        if message.len() <= COPY_BYTES_MAX {
            self.frame.extend(message);
            rest = &[];
        }
        let mut frame = self.frame.as_slice();
        while !frame.is_empty() || !rest.is_empty() {
            match rustix::io::writev(self.stream.as_fd(), &[IoSlice::new(frame), IoSlice::new(rest)]) {
                Ok(written) => {
                    let of_frame = written.min(frame.len());
                    frame = &frame[of_frame..];
                    rest = &rest[written - of_frame..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// The receiving end of a byte stream.
#[derive(Debug)]
struct StreamReceiver {
    stream: OwnedFd,
    buffer: Box<[u8]>,
    /// What was read and not yet received.
    unread: std::ops::Range<usize>,
}

impl StreamReceiver {
    fn new(stream: OwnedFd) -> Self {
        Self { stream, buffer: vec![0; READ_BYTES].into(), unread: 0..0 }
    }

    /// Fills `target`; `false` when the stream has ended before its first byte.
    fn fill(&mut self, target: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < target.len() {
            let rest = &mut target[filled..];
            if self.unread.is_empty() && rest.len() >= self.buffer.len() {
                // Past the buffer: nothing would be gained by the copy.
                match read(&self.stream, rest)? {
                    0 => break,
                    count => filled += count,
                }
                continue;
            }
            if self.unread.is_empty() {
                self.unread = 0..read(&self.stream, &mut self.buffer)?;
                if self.unread.is_empty() {
                    break;
                }
            }
            let count = rest.len().min(self.unread.len());
            rest[..count].copy_from_slice(&self.buffer[self.unread.start..][..count]);
            self.unread.start += count;
            filled += count;
        }
        match filled {
            0 if !target.is_empty() => Ok(false),
            filled if filled < target.len() => Err("the stream ended within a message".into()),
            _ => Ok(true),
        }
    }
}

impl StreamReceiver {
    /// `None` when the stream has ended.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let mut length = [0; LENGTH_BYTES];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_le_bytes(length))?;
        let target = buffer.get_mut(..length).ok_or("a message longer than the buffer")?;
        if length > 0 && !self.fill(target)? {
            return Err("the stream ended within a message".into());
        }
        Ok(Some(length))
    }
}

fn read(stream: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(stream, &mut *buffer) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
