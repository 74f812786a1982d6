//! What a participant does at its place: send, receive, let go of what was read, clean up behind the dead, count.

use crate::blocking::{Attached, Place};
use crate::error::{Error, Result};
use crate::mpmc::claim::{CleanUp, add_one};
use crate::mpmc::exchange::{Attempt, totals};
use crate::mpmc::hand::Hand;
use crate::mpmc::place::Seated;
use crate::mpmc::reclaim;
use crate::mpmc::seat::{lock_byte, raise};
use shm_core::sync::Ordering;
use shm_core::{Deadline, lock};

/// Messages between two samples of how many are waiting.
const SAMPLE_EVERY: u64 = 1024;

/// Seats in one look whose holders the kernel is asked about although it has marked nothing: asking costs a system
/// call, which takes the longer the more seats there are. The others' turn comes at the next looks.
const ASKED_AT_ONCE: u64 = 16;

/// A block with a message that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    pub(crate) block: u64,
    /// It was handed out before, to a receiver that died.
    pub(crate) again: bool,
}

impl Seated {
    /// Sends the block in hand, and counts it; `false` when the ring is full. Wakes nobody yet.
    #[inline]
    pub(crate) fn send(&mut self) -> Result<bool> {
        self.ready()?;
        self.watch()?;
        match self.exchange.attempt() {
            Ok(Attempt::Exchanged) => {
                self.sent();
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(self.judge(error)),
        }
    }

    /// As [`send`](Self::send), if nothing at all is to be considered but that there is space. Otherwise nothing is
    /// done, and `false`.
    #[inline(always)]
    pub(crate) fn send_plainly(&mut self) -> bool {
        let sent = self.is_ready() && self.is_calm() && self.exchange.exchange_plainly(|_| true);
        if sent {
            self.sent();
        }
        sent
    }

    /// As [`receive_up_to`](Self::receive_up_to), if nothing at all is to be considered but that there is a message.
    #[inline(always)]
    pub(crate) fn receive_plainly(&mut self, longest: usize) -> Option<Handed> {
        if !self.is_sound() || self.inherited || self.adopted.is_some() {
            return None;
        }
        let blocks = &self.blocks;
        let fits = |block| longest >= blocks.message_bytes() || blocks.is_no_longer_than(block, longest);
        if !self.exchange.exchange_plainly(fits) {
            return None;
        }
        self.received();
        Some(Handed { block: self.exchange.block(), again: false })
    }

    /// Counts a message that was just sent. Has the blocks fetched that come into the hand some messages later: their
    /// receivers have read them, and each exchange would wait until what is written into one has got its line.
    #[inline(always)]
    fn sent(&mut self) {
        add_one(&self.seat.sent);
        if self.exchange.begins_line() {
            self.exchange.look_ahead(|block| self.blocks.will_write(block));
        }
    }

    /// Counts a message that was just received, and wakes who waits for its space.
    #[inline(always)]
    fn received(&mut self) {
        self.handed_out = true;
        add_one(&self.seat.received);
        self.sample();
        self.notify();
    }

    /// Receives a block into the hand, and counts it; `None` when the ring is empty.
    #[inline]
    pub(crate) fn receive(&mut self) -> Result<Option<Handed>> {
        self.receive_up_to(usize::MAX)
    }

    /// As [`receive`](Self::receive), if the message has at most `longest` bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], which leaves it where it is.
    #[inline]
    pub(crate) fn receive_up_to(&mut self, longest: usize) -> Result<Option<Handed>> {
        self.sound()?;
        if self.handed_out {
            self.let_go(); // a view that was forgotten instead of dropped was handed out all the same
        }
        if self.inherited || self.adopted.is_some() {
            return self.hand_out_again(longest).map(Some);
        }
        let mut length = 0;
        let blocks = &self.blocks;
        let attempt = self.exchange.attempt_if(|block| {
            // What is impossible is found when the block is ours.
            length =
                if longest == usize::MAX { 0 } else { blocks.open(block).map_or(0, |placed| placed.length) };
            length <= longest
        });
        match attempt {
            Ok(Attempt::Exchanged) => {
                self.received();
                Ok(Some(Handed { block: self.exchange.block(), again: false }))
            }
            Ok(Attempt::NotNow) => Ok(None),
            Ok(Attempt::Refused) => Err(Error::BufferTooSmall { length }),
            Err(error) => Err(self.judge(error)),
        }
    }

    #[cold]
    fn hand_out_again(&mut self, longest: usize) -> Result<Handed> {
        let block = self.adopted.map_or(self.exchange.block(), |(_, block)| block);
        if longest != usize::MAX {
            let placed = self.blocks.open(block).map_err(|error| self.judge(error))?;
            if placed.length > longest {
                return Err(Error::BufferTooSmall { length: placed.length });
            }
        }
        self.handed_out = true;
        Ok(Handed { block, again: true })
    }

    /// The message that was received last is read.
    #[inline]
    pub(crate) fn let_go(&mut self) {
        if self.is_forked_copy() {
            return; // what is in hand is the parent's
        }
        self.handed_out = false;
        if self.adopted.is_some() {
            self.give_back();
        } else {
            self.inherited = false;
            self.exchange.let_go();
        }
    }

    /// The message of another seat is read: that seat is free again.
    #[cold]
    fn give_back(&mut self) {
        if let Some((seat, block)) = self.adopted.take()
            && let Ok(word) = self.claims.hand_word(seat)
        {
            word.store(Hand::spare(block).pack(), Ordering::Release); // R14 pairs with F15 F18 F19
            // If it fails, the lock stays until we leave, and with it a seat that nobody else gets.
            let _ = lock::unlock(&self.object, lock_byte(seat));
        }
    }

    /// After sending or receiving: wakes those who wait for it, if any sleeps.
    #[inline(always)]
    pub(crate) fn notify(&mut self) {
        if self.theirs.notify() {
            self.counts.wakes += 1;
        }
    }

    /// Cleans up behind everybody who died, as the kernel says: it is asked about all, or about those whose turn it is
    /// and those whose life words do not say *alive*. Whether a message is to be handed out again now.
    pub(super) fn clean_up(&mut self, all: bool) -> Result<bool> {
        let adopts = self.geometry.redelivery && !self.role.sends();
        let mut cleaned = false;
        let (first, seats) = (self.turn, self.geometry.participants);
        let asked = if all { seats } else { ASKED_AT_ONCE };
        self.turn = (first + asked) % seats;
        for seat in self.claims.roster.seats() {
            if seat == self.seat.index || self.adopted.is_some_and(|(adopted, _)| adopted == seat) {
                continue;
            }
            let wanted = adopts && !self.inherited && self.adopted.is_none();
            let message = wanted && self.claims.has_message(seat)?;
            let in_turn = (seat + seats - first) % seats < asked;
            if !message && !self.claims.is_left_behind(&self.object, seat, in_turn)? {
                continue;
            }
            if !self.claims.lock(&self.object, seat)? {
                continue;
            }
            cleaned = true;
            if self.claims.clean_up(seat)? == CleanUp::Unread && wanted {
                let hand = reclaim::read(&self.claims.parts, self.claims.format, seat)?;
                self.adopted = Some((seat, hand.block));
            } else {
                lock::unlock(&self.object, lock_byte(seat))?;
            }
        }
        if cleaned {
            // Others do not see the mark any more: they look at the seats instead.
            self.ours.announce();
            self.theirs.announce();
        }
        // Whoever is still being taken down is asked for again.
        if !self.claims.has_marks() {
            self.vigil.calm();
        }
        Ok(self.adopted.is_some())
    }

    /// Watches over all of the other role who sit, if any came or went since they were looked up.
    pub(super) fn keep_vigil(&mut self) {
        let role = self.role.peer();
        let events = self.claims.words(role).events();
        if self.watched.replace(events) != Some(events) {
            self.vigil.watch(self.claims.lives_of(role));
        }
    }

    /// See the handles' `flush`.
    pub(crate) fn flush(&mut self, deadline: Deadline) -> Result<()> {
        self.ours()?;
        self.flusher.flush(&self.object, deadline)
    }

    /// Messages waiting, found by looking at the slots.
    pub(crate) fn waiting(&self) -> Result<u64> {
        self.ours()?;
        let (sent, received) = totals(&self.claims.parts.slots, self.claims.format)?;
        Ok((sent - received).min(self.geometry.capacity))
    }

    #[inline(always)]
    fn sample(&mut self) {
        if self.exchange.cursor() >= self.next_sample {
            self.sample_now();
        }
    }

    #[cold]
    fn sample_now(&mut self) {
        self.next_sample = self.exchange.cursor().saturating_add(SAMPLE_EVERY);
        // The one just taken was waiting as well. Slots in disorder are found by the exchange, not by counting.
        let others = if self.exchange.is_possible_now() { self.waiting().unwrap_or(0) } else { 0 };
        raise(&self.seat.high_water, (others + 1).min(self.geometry.capacity));
    }

    /// A sender begins to wait for space, or goes on waiting if it has sent nothing since it began.
    pub(crate) fn count_full_wait(&mut self) {
        let sent = self.progress();
        if self.waited_at.replace(sent) != Some(sent) {
            add_one(&self.seat.full_waits);
        }
        raise(&self.seat.high_water, self.geometry.capacity);
    }

    pub(crate) fn count_dropped(&self) {
        if !self.is_forked_copy() {
            add_one(&self.seat.dropped);
        }
    }
}
