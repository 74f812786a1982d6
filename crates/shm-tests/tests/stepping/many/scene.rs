//! An MPMC ring, its two survivors, which this process plays, those who have died there, and the victim.

use super::picture::{Hand, Picture, Shape};
use super::seats::only_held_ones_change;
use super::{FULL, Operation};
use crate::content::{PATIENCE, content, number};
use crate::tracer::{Step, Tracee};
use shm_core::sync::Ordering;
use shm_core::{Access, Object, Options, Region, Word};
use shm_ring::{Error, Receiver, Role, Sender, WaitStrategy};
use shm_tests::{Peer, Scratch};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest message.
pub(crate) const MESSAGE_BYTES: usize = 120;
/// The first message of the victim, and of whoever dies in preparation. Survivors count from 0.
pub(crate) const VICTIM_NUMBER: u64 = 1_000_000;
pub(crate) const DYING_NUMBER: u64 = 2_000_000;
/// Words that a victim notes.
const NOTES: usize = 8;
/// The survivors' own seats are the first.
pub(crate) const SURVIVORS: usize = 2;

/// How somebody died at the ring before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// About to exchange its block.
    Sending,
    /// Its message is sent, and its hand not settled.
    Sent,
    /// About to exchange its block for a message.
    Receiving,
    /// It has a message, and its hand is not settled.
    Received,
    /// It has a message in hand, as its hand says.
    Holding,
}

/// What the victim notes, in an object of its own.
#[derive(Debug)]
pub(crate) struct Notes {
    name: String,
    words: Vec<Word<u64>>,
}

/// A ring with its survivors.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) operation: &'static Operation,
    pub(crate) name: String,
    pub(crate) senders: Vec<Sender>,
    pub(crate) receivers: Vec<Receiver>,
    /// Numbers of the messages in the ring.
    pub(crate) queue: VecDeque<u64>,
    /// Numbers of messages in the hands of dead receivers, which are to come again.
    pub(crate) again: Vec<u64>,
    /// Numbers of messages that died in other hands than the victim's.
    gone: Vec<u64>,
    /// Messages sent and received in all.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Messages that the victim has moved; the numbers of those that it has received.
    pub(crate) moved: u64,
    pub(crate) taken: Vec<u64>,
    /// A sender has died.
    pub(crate) sender_died: bool,
    pub(crate) shape: Shape,
    pub(crate) object: Object,
    pub(crate) region: Region,
    next: u64,
    turn: usize,
    descriptors: usize,
    seen: Vec<u8>,
}

pub(crate) fn options_of_notes() -> Options {
    Options::new()
}

impl Notes {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let name = scratch.name("notes");
        let object = scratch.options().create(&name, 8 * NOTES as u64).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        let words = (0..NOTES).map(|index| region.word(8 * index).unwrap()).collect();
        Self { name: name.as_str().to_owned(), words }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Relaxed) // its writer stands still, or is gone
    }

    /// How many messages the victim knows to be sent, or was handed.
    pub(crate) fn moved(&self) -> u64 {
        self.read(0)
    }

    /// The numbers of those that it was handed, and how many of them it has let go.
    pub(crate) fn handed(&self) -> (Vec<u64>, usize) {
        let count = usize::try_from(self.read(0)).unwrap();
        ((2..2 + count).map(|index| self.read(index)).collect(), usize::try_from(self.read(1)).unwrap())
    }

    pub(crate) fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed)); // nobody else is there
    }
}

/// Descriptors of this process that are open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

impl Scene {
    /// A new ring, where the survivors sit.
    pub(crate) fn new(operation: &'static Operation, scratch: &Scratch) -> Self {
        let descriptors = descriptors();
        let name = scratch.name("ring");
        let participants = SURVIVORS + operation.seats();
        let sender = Sender::builder(name.as_str())
            .capacity(operation.capacity)
            .max_message(MESSAGE_BYTES as u64)
            .participants(participants as u64)
            .redelivery(operation.redelivery)
            .wait(WaitStrategy::Sleep)
            .create()
            .unwrap();
        let receiver = Receiver::builder(name.as_str()).wait(WaitStrategy::Sleep).open().unwrap();
        let object = Options::new().open(&name, Access::ReadOnly).unwrap();
        let region = object.map(Access::ReadOnly).unwrap();
        let capacity = usize::try_from(operation.capacity).unwrap();
        Self {
            operation,
            name: name.as_str().to_owned(),
            senders: vec![sender],
            receivers: vec![receiver],
            queue: VecDeque::new(),
            again: Vec::new(),
            gone: Vec::new(),
            sent: 0,
            received: 0,
            moved: 0,
            taken: Vec::new(),
            sender_died: false,
            shape: Shape { capacity, participants, message_bytes: MESSAGE_BYTES },
            object,
            region,
            next: 0,
            turn: 0,
            descriptors,
            seen: Vec::new(),
        }
    }

    /// Brings the ring and the victim to where its operation begins.
    pub(crate) fn begin(&mut self, notes: &Notes) -> (Peer, Tracee) {
        let operation = self.operation;
        for _ in 0..operation.before {
            assert!(self.send() && self.receive());
        }
        for &death in operation.dead {
            self.die(death, notes);
        }
        let (sends, warm) = (operation.role == Some(Role::Sender), u64::from(operation.warm));
        let wanted = operation.waiting.min(operation.capacity);
        let wanted = if sends { wanted - warm } else { wanted + warm };
        while self.queue.len() as u64 > wanted {
            assert!(self.receive());
        }
        while (self.queue.len() as u64) < wanted {
            assert!(self.send());
        }
        let begun = self.bring(operation.name, notes);
        if operation.warm && sends {
            self.queue.push_back(VICTIM_NUMBER);
            self.sent += 1;
        } else if operation.warm {
            self.queue.pop_front();
            self.received += 1;
        }
        assert!(operation.waiting != FULL || self.queue.len() == self.shape.capacity);
        notes.clear();
        begun
    }

    fn bring(&self, operation: &str, notes: &Notes) -> (Peer, Tracee) {
        let peer = Peer::start("victim of many", &[operation, &self.name, &notes.name]);
        let tracee = Tracee::catch(peer.pid());
        (peer, tracee)
    }

    /// Somebody comes and dies in the middle of an operation. It takes a seat and stays there.
    pub(crate) fn die(&mut self, death: Death, notes: &Notes) {
        let sends = matches!(death, Death::Sending | Death::Sent);
        if sends && self.queue.len() == self.shape.capacity {
            assert!(self.receive());
        } else if !sends && self.queue.is_empty() {
            assert!(self.send());
        }
        let (peer, mut tracee) = self.bring(if sends { "die_sending" } else { "die_receiving" }, notes);
        let picture = self.picture();
        let seat = picture.seats.iter().position(|seat| seat.pid == peer.pid() && seat.joined).unwrap();
        loop {
            assert_ne!(tracee.step(), Step::Ended, "{death:?} never came");
            let hand = self.shape.hand(&self.region, seat);
            let (open, exchanged) = (hand.expected.is_some(), picture.differs_in_slots(&self.region));
            let there = match death {
                Death::Sending | Death::Receiving => open && !exchanged,
                Death::Sent | Death::Received => open && exchanged,
                Death::Holding => !open && hand.unread,
            };
            if there {
                break;
            }
        }
        peer.kill();
        if death == Death::Sent {
            self.queue.push_back(DYING_NUMBER);
            self.sent += 1;
        } else if matches!(death, Death::Received | Death::Holding) {
            let number = self.queue.pop_front().unwrap();
            self.received += 1;
            if self.operation.redelivery { self.again.push(number) } else { self.gone.push(number) }
        }
        self.sender_died |= sends;
    }

    /// Sends a message, if there is space; fails unless that is so exactly if there should be.
    pub(crate) fn send(&mut self) -> bool {
        self.turn += 1;
        let index = self.turn % self.senders.len();
        let has_space = self.queue.len() < self.shape.capacity;
        match self.senders[index].try_send(&content(self.next)) {
            Ok(()) => assert!(has_space, "sent into a full ring"),
            Err(Error::Full) => assert!(!has_space, "full with {} messages", self.queue.len()),
            Err(error) => panic!("{error}"),
        }
        if has_space {
            self.queue.push_back(self.next);
            self.next += 1;
            self.sent += 1;
        }
        has_space
    }

    /// Receives the next message, if there is one; fails unless that is so exactly if there should be, and it is
    /// just that.
    pub(crate) fn receive(&mut self) -> bool {
        self.turn += 1;
        loop {
            let index = self.turn % self.receivers.len();
            let received = self.receivers[index].try_recv();
            match received.map(|message| (number(&message.to_vec()), message.is_redelivered())) {
                Ok((number, again)) => {
                    if again {
                        self.comes_again(number);
                        continue;
                    }
                    assert_eq!(Some(number), self.queue.pop_front(), "in order, each once");
                    self.received += 1;
                    return true;
                }
                Err(Error::Empty) => {
                    assert!(self.queue.is_empty(), "empty, with {:?}", self.queue);
                    return false;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn comes_again(&mut self, number: u64) {
        let found = self.again.iter().position(|&again| again == number);
        self.again.remove(found.unwrap_or_else(|| panic!("{number} came again: {:?}", self.again)));
    }

    /// Waits a moment on the side where nothing can come: who waits cleans up. Receivers hear of dead senders, and
    /// senders of dead receivers, by life words, and of others at the end of a slice.
    pub(crate) fn wait(&mut self, role: Role) {
        let moment = Duration::from_millis(2);
        if role == Role::Sender {
            while self.send() {}
            match self.senders[0].send_timeout(&content(self.next), moment) {
                Err(Error::TimedOut) => {}
                other => panic!("{other:?}"),
            }
            return;
        }
        while self.receive() {}
        let received = self.receivers[0].recv_timeout(moment);
        match received.map(|message| (number(&message.to_vec()), message.is_redelivered())) {
            Err(Error::TimedOut) => {}
            Ok((number, again)) => {
                assert!(again, "nothing else is there");
                self.comes_again(number);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Does what the victim waits for, if it waits for anything.
    pub(crate) fn wake(&mut self, notes: &Notes) {
        let dead = |picture: Picture| (0..picture.seats.len()).any(|seat| picture.is_dead(seat));
        // What it cleans up while it waits is its own to do.
        if !self.operation.waits || self.operation.tends && dead(self.picture()) {
            return std::thread::sleep(Duration::from_micros(100));
        }
        self.account(notes);
        if self.operation.role == Some(Role::Receiver) {
            self.send()
        } else {
            self.receive()
        };
    }

    /// How often survivors and newcomers woke anybody.
    pub(crate) fn wakes(&self) -> u64 {
        let senders = self.senders.iter().map(Sender::wait_counts);
        senders.chain(self.receivers.iter().map(Receiver::wait_counts)).map(|counts| counts.wakes).sum()
    }

    pub(crate) fn picture(&self) -> Picture {
        Picture::of(&self.region, &self.object, self.shape)
    }

    /// Nothing is left of anybody dead, but for messages that are to come again.
    pub(crate) fn is_clean(&self) -> bool {
        let picture = self.picture();
        let unread = picture.seats.iter().any(|seat| seat.free && seat.hand.unread);
        picture.is_clean() && (self.operation.redelivery || !unread)
    }

    /// Whether the ring, or what the victim knows, has changed since this was last asked: one instruction ago.
    pub(crate) fn has_changed(&mut self, notes: &Notes) -> bool {
        let mut now = vec![0; self.region.bytes()];
        self.region.copy_out(0, &mut now).unwrap();
        (0..NOTES).for_each(|index| now.extend(notes.read(index).to_le_bytes()));
        let changed = now != self.seen;
        if changed && !self.seen.is_empty() {
            only_held_ones_change(&self.seen, &now, self.shape.participants, &self.object);
        }
        self.seen = now;
        changed
    }

    /// Takes what the victim has done since this was last asked, as the slots say it, for granted. Fails if it
    /// is not a part of its operation, whole, or not what the victim knows.
    pub(crate) fn account(&mut self, notes: &Notes) -> Picture {
        let picture = self.picture();
        let (sent, received) = picture.totals();
        let operation = self.operation;
        let (moved, still) = match operation.role {
            Some(Role::Sender) => (sent - self.sent, received == self.received),
            Some(_) => (received - self.received, sent == self.sent),
            None => (0, (sent, received) == (self.sent, self.received)),
        };
        assert!(still, "({sent}, {received}) and not ({}, {})", self.sent, self.received);
        for _ in 0..moved {
            if operation.role == Some(Role::Sender) {
                self.queue.push_back(VICTIM_NUMBER + 1 + self.moved);
            } else {
                self.taken.push(self.queue.pop_front().unwrap());
            }
            self.moved += 1;
        }
        (self.sent, self.received) = (sent, received);
        assert!(self.moved <= operation.messages, "{} messages", self.moved);
        if operation.role == Some(Role::Receiver) {
            // What it got again did not come through a slot.
            let handed: Vec<u64> = notes.handed().0;
            let through: Vec<u64> =
                handed.iter().copied().filter(|number| !self.again.contains(number)).collect();
            assert!(self.taken.starts_with(&through), "handed {handed:?} of {:?}", self.taken);
            assert!(self.taken.len() - through.len() <= 1, "handed {handed:?} of {:?}", self.taken);
        } else {
            assert!(notes.moved() <= self.moved, "{} messages, as the victim says", notes.moved());
        }
        picture
    }

    /// The messages that come again: those in hands where nobody alive sits, if the ring is made for that.
    pub(crate) fn find_unread(&mut self, hands: &[Hand], picture: &Picture, notes: &Notes) {
        let free = hands.iter().zip(&picture.seats).filter(|(_, seat)| seat.free);
        let unread = free.filter(|(hand, _)| hand.unread).map(|(hand, _)| hand.block);
        let unread: Vec<u64> = unread.map(|block| number(&self.shape.message(&self.region, block))).collect();
        let (handed, gone) = notes.handed_by(self.operation);
        for number in &unread {
            let known = self.again.contains(number) || self.gone.contains(number);
            assert!(known || self.taken.last() == Some(number), "{number} is not lost");
            assert!(!handed[..gone].contains(number), "{number} was let go");
        }
        if self.operation.redelivery {
            for number in &self.again {
                assert!(unread.contains(number) || handed.contains(number), "{number} is lost");
            }
            if self.taken.len() > handed.len() {
                assert!(unread.contains(self.taken.last().unwrap()), "{:?} is lost", self.taken);
            }
            self.again = unread;
        }
    }

    /// Everybody leaves; nothing stays behind, and receivers are told of the end in one of these ways.
    pub(crate) fn end(self, scratch: &Scratch, ends: &[shm_ring::End]) {
        let Self { name, senders, receivers, object, region, descriptors: before, .. } = self;
        drop((object, region));
        senders.into_iter().for_each(Sender::close);
        for mut receiver in receivers {
            match receiver.try_recv() {
                Err(Error::Disconnected(end)) => assert!(ends.contains(&end), "{end:?}, not {ends:?}"),
                other => panic!("not told that all senders are gone: {:?}", other.map(|_| ())),
            }
            assert!(matches!(receiver.try_recv(), Err(Error::Empty)), "told once");
        }
        shm_ring::remove(&name).unwrap();
        let names = scratch.listing();
        assert!(names.len() == 1 && names[0].ends_with("notes"), "left: {names:?}");
        assert_eq!(descriptors(), before, "descriptors are left open");
    }

    /// A newcomer, which stays.
    pub(crate) fn come(&mut self, role: Role) {
        if role == Role::Sender {
            self.senders.push(Sender::builder(&self.name).attach_timeout(PATIENCE).open().unwrap());
        } else {
            self.receivers.push(Receiver::builder(&self.name).attach_timeout(PATIENCE).open().unwrap());
        }
    }
}

impl Notes {
    /// As [`handed`](Self::handed); nothing for those who send.
    fn handed_by(&self, operation: &Operation) -> (Vec<u64>, usize) {
        if operation.role == Some(Role::Receiver) { self.handed() } else { (Vec::new(), 0) }
    }
}
