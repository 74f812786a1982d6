//! Sending and receiving at a place, now or until a deadline: the same for messages of bytes and for values.

use crate::blocking::{Attached, try_now, wait};
use crate::error::{Error, Result};
use crate::mpmc::exchange::Exchange;
use crate::mpmc::operate::Handed;
use crate::mpmc::place::Seated;
use shm_core::Deadline;
use shm_core::sync::Ordering;

impl Attached for Seated {
    type Place = Self;

    fn place(&mut self) -> &mut Self {
        self
    }

    fn progress(&self) -> u64 {
        let counter = if self.role.sends() { &self.seat.sent } else { &self.seat.received };
        counter.load(Ordering::Relaxed) // own
    }
}

impl Seated {
    /// Sends the block in hand if there is space now, and wakes who waits for it.
    ///
    /// # Errors
    /// [`Error::Full`], and what stands against it.
    #[inline(always)]
    pub(crate) fn send_now(&mut self) -> Result<()> {
        if self.send_plainly() {
            self.notify();
            return Ok(());
        }
        self.send_closely()
    }

    /// As [`send_now`](Self::send_now), waiting for space until the deadline.
    #[inline(always)]
    pub(crate) fn send_until(&mut self, deadline: Deadline) -> Result<()> {
        if self.send_plainly() {
            self.notify();
            return Ok(());
        }
        self.send_waiting(deadline)
    }

    /// Sends a message for each item, which `fill` writes into the block in hand, waiting for space as long as it
    /// takes, and wakes receivers once for all of them; how many were sent. When one can not be, those before it are,
    /// and the next call says why.
    ///
    /// # Errors
    /// What stands against the first.
    pub(crate) fn send_each<I>(
        &mut self,
        items: &[I],
        fill: impl Fn(&Self, &I) -> Result<()>,
    ) -> Result<usize> {
        let (mut sent, told) = (0, self.told);
        for item in items {
            let result = fill(self, item).and_then(|()| match self.send() {
                Ok(true) => Ok(()),
                // Before we sleep, those who could make space must know that there is something to receive.
                Ok(false) => self.send_until(Deadline::NEVER),
                Err(error) => Err(error),
            });
            match result {
                Ok(()) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => {
                    self.tell_again(told);
                    break;
                }
            }
        }
        self.notify();
        Ok(sent)
    }

    #[inline(never)]
    fn send_closely(&mut self) -> Result<()> {
        if self.attempt_to_send()?.is_some() {
            return Ok(());
        }
        Exchange::settle_view();
        try_now(self, Self::attempt_to_send)?.ok_or(Error::Full)
    }

    #[inline(never)]
    fn send_waiting(&mut self, deadline: Deadline) -> Result<()> {
        match self.attempt_to_send()? {
            Some(()) => Ok(()),
            None => self.wait_for_space(deadline),
        }
    }

    #[cold]
    fn wait_for_space(&mut self, deadline: Deadline) -> Result<()> {
        self.count_full_wait();
        self.notify(); // of what a batch has sent so far
        wait(self, deadline, Self::attempt_to_send)
    }

    /// `None` when there is no space.
    #[inline]
    fn attempt_to_send(&mut self) -> Result<Option<()>> {
        if !self.send()? {
            return Ok(None);
        }
        self.notify();
        Ok(Some(()))
    }

    /// Receives a block into the hand if there is a message of at most `longest` bytes now.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::BufferTooSmall`], and what stands against it.
    #[inline(always)]
    pub(crate) fn receive_now(&mut self, longest: usize) -> Result<Handed> {
        match self.receive_plainly(longest) {
            Some(handed) => Ok(handed),
            None => self.receive_closely(longest),
        }
    }

    /// As [`receive_now`](Self::receive_now), waiting for a message until the deadline.
    #[inline(always)]
    pub(crate) fn receive_until(&mut self, longest: usize, deadline: Deadline) -> Result<Handed> {
        match self.receive_plainly(longest) {
            Some(handed) => Ok(handed),
            None => self.receive_waiting(longest, deadline),
        }
    }

    #[inline(never)]
    fn receive_closely(&mut self, longest: usize) -> Result<Handed> {
        if let Some(handed) = self.receive_up_to(longest)? {
            return Ok(handed);
        }
        Exchange::settle_view();
        try_now(self, |place| place.receive_up_to(longest))?.ok_or(Error::Empty)
    }

    #[inline(never)]
    fn receive_waiting(&mut self, longest: usize, deadline: Deadline) -> Result<Handed> {
        wait(self, deadline, |place| place.receive_up_to(longest))
    }
}
