//! Byte streams of the kernel: pipes and sockets. A message is its length in four bytes, little-endian, and its
//! bytes, written by one call.
//!
//! A process in a part finds its end on standard input and output. Sizes of buffers and everything else are as
//! the kernel gives them, but that TCP does not hold small messages back (`TCP_NODELAY`).

use super::{Link, Received, Transport};
use crate::failure::Failure;
use shm_ring::End;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What a receiver takes by one call at most.
const READ_BYTES: usize = 64 << 10;
/// Bytes of the length before each message.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The descriptors of one end.
#[derive(Debug)]
pub(crate) struct Ends {
    /// What arrives.
    pub(crate) incoming: OwnedFd,
    /// Where what is sent goes.
    pub(crate) outgoing: OwnedFd,
}

/// The two ends of a new connection; `None` for a transport that is found by name.
pub(crate) fn connect(transport: Transport) -> Result<Option<(Ends, Ends)>, Failure> {
    let connected = match transport {
        Transport::Ring => return Ok(None),
        Transport::Pipe => pipes(),
        Transport::Unix => UnixStream::pair()
            .and_then(|(left, right)| Ok((both_ways(left.into())?, both_ways(right.into())?))),
        Transport::Tcp => tcp(),
    };
    let failed = |error| Failure::error(format!("no connection by {}: {error}", transport.name()));
    connected.map(Some).map_err(failed)
}

fn pipes() -> io::Result<(Ends, Ends)> {
    let (there, back) = (io::pipe()?, io::pipe()?);
    let left = Ends { incoming: back.0.into(), outgoing: there.1.into() };
    let right = Ends { incoming: there.0.into(), outgoing: back.1.into() };
    Ok((left, right))
}

fn tcp() -> io::Result<(Ends, Ends)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let left = TcpStream::connect(listener.local_addr()?)?;
    let right = loop {
        // Any process of the machine may connect to the port; only one is the one we meant.
        let (stream, address) = listener.accept()?;
        if address == left.local_addr()? {
            break stream;
        }
    };
    left.set_nodelay(true)?;
    right.set_nodelay(true)?;
    Ok((both_ways(left.into())?, both_ways(right.into())?))
}

fn both_ways(socket: OwnedFd) -> io::Result<Ends> {
    Ok(Ends { incoming: socket.try_clone()?, outgoing: socket })
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct StreamLink<R, W> {
    incoming: BufReader<R>,
    outgoing: W,
    /// Where a message and its length come together, so that one call can write them.
    frame: Vec<u8>,
}

impl StreamLink<File, File> {
    /// The end that this process was started with.
    pub(crate) fn standard() -> Result<Self, Failure> {
        let own = |descriptor: io::Result<OwnedFd>| {
            let failed = |error| Failure::error(format!("standard input or output is not there: {error}"));
            descriptor.map(File::from).map_err(failed)
        };
        let incoming = own(io::stdin().as_fd().try_clone_to_owned())?;
        let outgoing = own(io::stdout().as_fd().try_clone_to_owned())?;
        Ok(Self::new(incoming, outgoing))
    }
}

impl<R: Read, W: Write> StreamLink<R, W> {
    fn new(incoming: R, outgoing: W) -> Self {
        Self { incoming: BufReader::with_capacity(READ_BYTES, incoming), outgoing, frame: Vec::new() }
    }

    fn receive_frame(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if self.incoming.fill_buf()?.is_empty() {
            // A stream ends alike when its sender closes it, drops it, and dies.
            return Ok(Received::Ended(End::Closed));
        }
        let mut length = [0; LENGTH_BYTES];
        self.incoming.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        let message = buffer.get_mut(..length).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes is impossible"))
        })?;
        self.incoming.read_exact(message)?;
        Ok(Received::Message(length))
    }
}

impl<R: Read, W: Write> Link for StreamLink<R, W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(message.len()).map_err(|error| Failure::error(error.to_string()))?;
        self.frame.clear();
        self.frame.extend_from_slice(&length.to_le_bytes());
        self.frame.extend_from_slice(message);
        self.outgoing.write_all(&self.frame).map_err(|error| Failure::error(format!("can not send: {error}")))
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Failure> {
        self.receive_frame(buffer).map_err(|error| Failure::error(format!("can not receive: {error}")))
    }

    fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let mut sender = StreamLink::new(io::empty(), Vec::new());
        let messages = [&b"one"[..], b"", &[7; 5000]];
        messages.iter().for_each(|message| sender.send(message).unwrap());

        let mut receiver = StreamLink::new(&sender.outgoing[..], io::sink());
        let mut buffer = [0; 5000];
        for message in messages {
            assert_eq!(receiver.receive(&mut buffer).unwrap(), Received::Message(message.len()));
            assert_eq!(&buffer[..message.len()], message);
        }
        assert_eq!(receiver.receive(&mut buffer).unwrap(), Received::Ended(End::Closed));
    }

    #[test]
    fn cut_and_impossible_frames_are_errors() {
        for stream in [&[1, 0][..], &[3, 0, 0, 0, 1], &[9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            assert!(StreamLink::new(stream, io::sink()).receive(&mut [0; 8]).is_err());
        }
    }

    #[test]
    fn every_connection_goes_both_ways() {
        for transport in [Transport::Pipe, Transport::Unix, Transport::Tcp] {
            let (left, right) = connect(transport).unwrap().unwrap();
            let link = |ends: Ends| StreamLink::new(File::from(ends.incoming), File::from(ends.outgoing));
            let (mut left, mut right) = (link(left), link(right));
            let mut buffer = [0; 8];
            left.send(b"ping").unwrap();
            assert_eq!(right.receive(&mut buffer).unwrap(), Received::Message(4));
            right.send(b"answer").unwrap();
            assert_eq!(left.receive(&mut buffer).unwrap(), Received::Message(6));
            drop(left);
            assert_eq!(right.receive(&mut buffer).unwrap(), Received::Ended(End::Closed));
        }
    }
}
