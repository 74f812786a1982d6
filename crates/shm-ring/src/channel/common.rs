//! What all handles have in common, written once.

/// The ways to a handle, and what every handle can be asked.
macro_rules! common_methods {
    ($peer:literal) => {
        /// Options for this side of the ring `name`.
        pub fn builder(name: &str) -> Builder<Self> {
            Builder::new(name)
        }

        /// Creates the ring with default options. See [`Builder::create`].
        ///
        /// # Errors
        /// As [`Builder::create`].
        pub fn create(name: &str) -> Result<Self> {
            Self::builder(name).create()
        }

        /// Opens the ring. See [`Builder::open`].
        ///
        /// # Errors
        /// As [`Builder::open`].
        pub fn open(name: &str) -> Result<Self> {
            Self::builder(name).open()
        }

        /// Opens or creates the ring with default options. See [`Builder::open_or_create`].
        ///
        /// # Errors
        /// As [`Builder::open_or_create`].
        pub fn open_or_create(name: &str) -> Result<Self> {
            Self::builder(name).open_or_create()
        }

        /// Of a ring of byte messages with one producer: its bytes, where each message takes 8 more than its
        /// length, rounded up to 8. Of all others: how many messages or values it holds.
        pub fn capacity(&self) -> u64 {
            self.place.geometry().capacity
        }

        #[doc = concat!("Whether a ", $peer, " was there and is gone: closed, dropped or, as the kernel says, dead.")]
        /// A successor may come at any time. Makes a system call.
        ///
        /// # Errors
        /// When the kernel can not be asked.
        pub fn is_closed(&self) -> Result<bool> {
            self.place.peers_have_gone()
        }

        /// Sees to it that what is in the ring now is there after the machine was switched off; returns when it is on
        /// the disk. Does nothing for rings in memory, which are gone then in any case.
        ///
        /// After an unclean stop of the machine a ring in a file brings back what the last completed flush covered,
        /// in order and whole, or is [`Corrupt`](crate::Error::Corrupt): when its space was used again since. What was
        /// received since comes again, and what was sent since is gone. (A kill of every process loses nothing: what
        /// was sent is in the ring without this.) In a ring of many, messages in hands are not covered, and one that is
        /// received ends what the flush covers: flush when it stands still.
        ///
        /// Others send and receive meanwhile. Only another flush is waited for, as long as it takes.
        ///
        /// # Errors
        /// The disk's; nothing is known then of what is on it. [`Corrupt`](crate::Error::Corrupt).
        pub fn flush(&mut self) -> Result<()> {
            self.flush_until(Deadline::NEVER)
        }

        /// As [`flush`](Self::flush), waiting for another flush until the deadline only.
        ///
        /// # Errors
        /// [`TimedOut`](crate::Error::TimedOut), and as [`flush`](Self::flush).
        pub fn flush_until(&mut self, deadline: Deadline) -> Result<()> {
            self.place.flush(deadline)
        }

        /// System calls made for waiting and waking.
        pub fn wait_counts(&self) -> WaitCounts {
            self.place.counts()
        }
    };
}

pub(crate) use common_methods;
