//! Messages as they lie in the ring.

#![allow(unsafe_code)] // `as_slice`, for those who trust the other side

use crate::channel::consumer::Consumer;
use crate::record::Record;
use shm_core::{Region, Span};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

/// A look at a message in the ring. Its safe methods copy: whatever another process does meanwhile, what was
/// copied stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a Region,
    offset: usize,
    length: usize,
    tag: u16,
}

impl<'a> View<'a> {
    /// A look at a span of `data` that was checked.
    #[inline]
    pub(crate) fn new(data: &'a Region, offset: usize, length: usize, tag: u16) -> Self {
        Self { data, offset, length, tag }
    }

    /// The number that the sender attached to the message; 0 unless it said otherwise.
    #[inline]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// Bytes in the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the message has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A copy of the message.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        bytes
    }

    /// Appends a copy of the message to `bytes`.
    #[inline]
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        // The span was checked when the record was found, so this can not fail.
        let _ = self.data.copy_out_to(self.offset, self.length, bytes);
    }

    /// Copies bytes of the message from `from` on; how many there were, at most as many as fit.
    #[inline(always)]
    pub fn read_at(&self, from: usize, bytes: &mut [u8]) -> usize {
        let count = self.length.saturating_sub(from).min(bytes.len());
        let target = bytes.get_mut(..count).unwrap_or_default();
        match self.data.copy_out(self.offset + from.min(self.length), target) {
            Ok(()) => count,
            Err(_) => 0, // can not be: the span was checked when the record was found
        }
    }

    /// Writes bytes of the message to a file, a pipe or a socket straight from the ring, by one `write(2)`: how many
    /// were written, which may be fewer than asked for. Of `range`, only what lies within the message is written.
    /// Blocks while there is no room, unless the descriptor is set not to.
    ///
    /// # Errors
    /// What the call says, as [`Region::write_to`]: among others [`Interrupted`](io::ErrorKind::Interrupted),
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) and [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = &format!("write-to-doc-{}", std::process::id());
    /// # shm_ring::Producer::create(name)?.send(b"hello")?;
    /// # let mut consumer = shm_ring::Consumer::open(name)?;
    /// # let (reader, file) = std::io::pipe()?;
    /// let message = consumer.recv()?;
    /// let mut written = 0;
    /// while written < message.len() {
    ///     written += message.write_to(written..message.len(), &file)?;
    /// }
    /// # drop((message, file));
    /// # assert_eq!(std::io::read_to_string(reader)?, "hello");
    /// # drop(consumer);
    /// # Ok(shm_ring::remove(name)?)
    /// # }
    /// ```
    pub fn write_to(&self, range: Range<usize>, descriptor: impl AsFd) -> io::Result<usize> {
        match self.span(&range) {
            Some(span) => self.data.write_to(&[span], descriptor),
            None => Ok(0),
        }
    }

    /// Where in the data the part of the message lies that `range` says, if there is any.
    pub(crate) fn span(&self, range: &Range<usize>) -> Option<Span> {
        let (from, to) = (range.start.min(self.length), range.end.min(self.length));
        (from < to).then(|| Span::new(self.offset + from, to - from))
    }

    /// The message without a copy.
    ///
    /// # Safety
    /// For as long as the slice lives no process writes these bytes. The producer's library does not, while
    /// the message is looked at; a producer that is buggy or hostile may, and then this is undefined
    /// behaviour here.
    #[inline]
    pub unsafe fn as_slice(&self) -> &'a [u8] {
        match self.data.pointer(Span::new(self.offset, self.length)) {
            // SAFETY: the span lies in the mapping, which outlives 'a; that nobody writes it meanwhile is the
            // caller's promise.
            Ok(start) => unsafe { core::slice::from_raw_parts(start.as_ptr(), self.length) },
            Err(_) => &[], // can not be: the span was checked when the record was found
        }
    }
}

/// A message that was received: nobody receives it again. Dropping it gives its space back.
///
/// Killed while it holds a message, a consumer takes just that message with it.
#[derive(Debug)]
pub struct Message<'a> {
    consumer: &'a mut Consumer,
    record: Record,
}

/// A message that is looked at, but not received: unless it is [taken](Peek::take), the next call of its
/// consumer, or the next consumer if this one dies, sees it again.
#[derive(Debug)]
pub struct Peek<'a> {
    consumer: &'a mut Consumer,
    record: Record,
}

macro_rules! looks {
    ($type:ident) => {
        impl<'a> $type<'a> {
            #[inline]
            pub(crate) fn new(consumer: &'a mut Consumer, record: Record) -> Self {
                Self { consumer, record }
            }

            /// A look at the message, with everything one can do with it.
            #[inline]
            pub fn view(&self) -> View<'_> {
                self.consumer.view(&self.record)
            }

            /// The number that the sender attached to the message; 0 unless it said otherwise.
            #[inline]
            pub fn tag(&self) -> u16 {
                self.view().tag()
            }

            /// Bytes in the message.
            #[inline]
            pub fn len(&self) -> usize {
                self.view().len()
            }

            /// Whether the message has no bytes.
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.view().is_empty()
            }

            /// A copy of the message.
            pub fn to_vec(&self) -> Vec<u8> {
                self.view().to_vec()
            }

            /// Copies bytes of the message from `from` on; how many there were, at most as many as fit.
            #[inline]
            pub fn read_at(&self, from: usize, bytes: &mut [u8]) -> usize {
                self.view().read_at(from, bytes)
            }

            /// Writes bytes of the message to a file, a pipe or a socket straight from the ring, as [`View::write_to`].
            ///
            /// # Errors
            /// As there.
            pub fn write_to(&self, range: Range<usize>, descriptor: impl AsFd) -> io::Result<usize> {
                self.view().write_to(range, descriptor)
            }
        }
    };
}

looks!(Message);
looks!(Peek);

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        self.consumer.give_back();
    }
}

impl Peek<'_> {
    /// Receives the message: from here on nobody sees it again.
    pub fn take(self) {
        self.consumer.take(self.record.end(), 1);
    }
}

impl Drop for Peek<'_> {
    fn drop(&mut self) {
        self.consumer.look_back();
    }
}
