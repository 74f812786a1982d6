//! Schedules of several senders and receivers.

use crate::common::Scratch;
use crate::config;
use crate::death::{Fate, dies, fate};
use proptest::prelude::*;
use shm_ring::{Error, Receiver, Sender, inspect};
use std::collections::VecDeque;

type Outcome = Result<(), TestCaseError>;

const SENDERS: usize = 2;
const RECEIVERS: usize = 2;

/// What is done by whom, and whether he dies of it.
#[derive(Clone, Debug)]
enum Operation {
    Send(usize),
    Receive(usize),
    /// Dies with a message in hand, and is not replaced at once.
    DieHolding(usize),
    SenderReturns(usize, bool),
    ReceiverReturns(usize, bool),
}

fn schedule() -> impl Strategy<Value = Vec<(Operation, Fate)>> {
    let operation = prop_oneof![
        4 => (0..SENDERS).prop_map(Operation::Send),
        4 => (0..RECEIVERS).prop_map(Operation::Receive),
        1 => (0..RECEIVERS).prop_map(Operation::DieHolding),
        1 => (0..SENDERS, any::<bool>()).prop_map(|(who, closing)| Operation::SenderReturns(who, closing)),
        1 => (0..RECEIVERS, any::<bool>()).prop_map(|(who, closing)| Operation::ReceiverReturns(who, closing)),
    ];
    prop::collection::vec((operation, fate()), 1..60)
}

/// A ring and the queue that it should be. Messages are numbers.
struct Crowd {
    name: Scratch,
    senders: [Option<Sender>; SENDERS],
    receivers: [Option<Receiver>; RECEIVERS],
    capacity: usize,
    redelivery: bool,
    queue: VecDeque<u64>,
    /// What receivers that died may have had in hand, to be handed out again.
    in_hand: Vec<u64>,
    sent: u64,
    received: u64,
}

impl Crowd {
    fn new(capacity: u64, redelivery: bool) -> Self {
        let name = Scratch::new("schedule-many");
        let new = Sender::builder(&name.0).capacity(capacity).max_message(64).redelivery(redelivery);
        let first = new.participants((SENDERS + RECEIVERS) as u64).create().unwrap();
        let second = first.try_clone().unwrap();
        let receivers = [(); RECEIVERS].map(|()| Some(Receiver::open(&name.0).unwrap()));
        Self {
            name,
            senders: [Some(first), Some(second)],
            receivers,
            capacity: usize::try_from(capacity).unwrap(),
            redelivery,
            queue: VecDeque::new(),
            in_hand: Vec::new(),
            sent: 0,
            received: 0,
        }
    }

    fn run(mut self, schedule: &[(Operation, Fate)]) -> Outcome {
        for (operation, fate) in schedule {
            match *operation {
                Operation::Send(who) => self.send(who, *fate)?,
                Operation::Receive(who) => self.receive(who, *fate)?,
                Operation::DieHolding(who) => self.die_holding(who)?,
                Operation::SenderReturns(who, closing) => self.sender_returns(who, closing, *fate),
                Operation::ReceiverReturns(who, closing) => self.receiver_returns(who, closing, *fate),
            }
            let status = inspect(&self.name.0).unwrap();
            prop_assert_eq!((status.sent, status.received), (self.sent, self.received));
        }
        // It goes on, for more than a lap, with everybody.
        for round in 0..24 {
            self.receive(round % RECEIVERS, None)?;
            self.send(round % SENDERS, None)?;
        }
        let mut rounds = 0;
        while !self.queue.is_empty() {
            self.receive(rounds % RECEIVERS, None)?;
            rounds += 1;
            prop_assert!(rounds < 100, "messages that do not come: {:?}", self.queue);
        }
        Ok(())
    }

    fn send(&mut self, who: usize, fate: Fate) -> Outcome {
        let number = self.sent;
        let mut sender = self.senders[who].take().unwrap();
        let Some(after) = fate else {
            let sent = sender.try_send(&number.to_le_bytes());
            self.senders[who] = Some(sender);
            return self.was_sent(&sent);
        };
        let done = dies(after, move || {
            let sent = sender.try_send(&number.to_le_bytes());
            (sender, sent)
        });
        match done {
            Some(sent) => self.was_sent(&sent)?,
            None => {
                let moved = inspect(&self.name.0).unwrap().sent - self.sent;
                prop_assert!(moved <= 1, "{} messages", moved);
                if moved == 1 {
                    self.was_sent(&Ok(()))?;
                }
            }
        }
        self.senders[who] = Some(Sender::open(&self.name.0).unwrap());
        Ok(())
    }

    fn was_sent(&mut self, sent: &Result<(), Error>) -> Outcome {
        match sent {
            Ok(()) => {
                prop_assert!(self.queue.len() < self.capacity, "sent into a full ring");
                self.queue.push_back(self.sent);
                self.sent += 1;
            }
            Err(Error::Full) => prop_assert_eq!(self.queue.len(), self.capacity, "full too early"),
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, fate: Fate) -> Outcome {
        let mut receiver = self.receivers[who].take().unwrap();
        let receive = |receiver: &mut Receiver| {
            receiver.try_recv().map(|delivery| (delivery.to_vec(), delivery.is_redelivered()))
        };
        let Some(after) = fate else {
            let received = receive(&mut receiver);
            self.receivers[who] = Some(receiver);
            return self.was_received(received);
        };
        let done = dies(after, move || {
            let received = receive(&mut receiver);
            (receiver, received)
        });
        match done {
            Some(received) => self.was_received(received)?,
            None => {
                // What it had in hand is gone with it, or comes again.
                let moved = inspect(&self.name.0).unwrap().received - self.received;
                prop_assert!(moved <= 1, "{} messages", moved);
                if moved == 1 {
                    self.in_hand.extend(self.queue.pop_front());
                    self.received += 1;
                }
            }
        }
        self.receivers[who] = Some(Receiver::open(&self.name.0).unwrap());
        Ok(())
    }

    /// What somebody held comes again, to whoever takes the free seat, and it is the first that he gets.
    fn die_holding(&mut self, who: usize) -> Outcome {
        let mut receiver = self.receivers[who].take().unwrap();
        // Alive until it has received. Then nothing that it does reaches the memory.
        let received = match receiver.try_recv() {
            Ok(delivery) => {
                let received = (delivery.to_vec(), delivery.is_redelivered());
                dies(0, move || (delivery, ()));
                Ok(received)
            }
            Err(error) => Err(error),
        };
        dies(0, move || (receiver, ()));
        let held = received.as_ref().ok().map(|(bytes, _)| u64::from_le_bytes(bytes[..].try_into().unwrap()));
        self.was_received(received)?;
        let mut successor = Receiver::open(&self.name.0).unwrap();
        if let Some(held) = held.filter(|_| self.redelivery) {
            let delivery = successor.try_recv().unwrap();
            prop_assert!(delivery.is_redelivered());
            prop_assert_eq!(delivery.to_vec(), held.to_le_bytes());
            drop(delivery);
        }
        self.receivers[who] = Some(successor);
        Ok(())
    }

    fn was_received(&mut self, received: Result<(Vec<u8>, bool), Error>) -> Outcome {
        match received {
            Ok((bytes, again)) => {
                let number = u64::from_le_bytes(bytes.try_into().unwrap());
                if again {
                    let held = self.in_hand.iter().position(|held| *held == number);
                    prop_assert!(self.redelivery && held.is_some(), "{} again", number);
                    // Whoever was killed with it may have been handed it for the second time.
                } else {
                    prop_assert_eq!(Some(number), self.queue.pop_front());
                    self.received += 1;
                }
            }
            Err(Error::Empty | Error::Disconnected(_)) => {
                prop_assert!(self.queue.is_empty(), "{} waiting", self.queue.len());
            }
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn sender_returns(&mut self, who: usize, closing: bool, fate: Fate) {
        match self.senders[who].take() {
            Some(sender) if closing => sender.close(),
            other => drop(other),
        }
        if let Some(after) = fate {
            let name = self.name.0.clone();
            dies(after, move || (Sender::open(&name).unwrap(), ()));
        }
        self.senders[who] = Some(Sender::open(&self.name.0).unwrap());
    }

    fn receiver_returns(&mut self, who: usize, closing: bool, fate: Fate) {
        match self.receivers[who].take() {
            Some(receiver) if closing => receiver.close(),
            other => drop(other),
        }
        if let Some(after) = fate {
            let name = self.name.0.clone();
            dies(after, move || (Receiver::open(&name).unwrap(), ()));
        }
        self.receivers[who] = Some(Receiver::open(&self.name.0).unwrap());
    }
}

/// The first that ever come may die at any store of their coming: they have the number that they were about to get.
#[test]
fn the_first_to_come_may_die_coming() {
    for after in 0..24 {
        for receives in [false, true] {
            let name = Scratch::new("schedule-first");
            Sender::builder(&name.0).capacity(2).participants(2).create_ring().unwrap();
            if receives {
                dies(after, || (Receiver::open(&name.0).unwrap(), ()));
            } else {
                dies(after, || (Sender::open(&name.0).unwrap(), ()));
            }
            let status = inspect(&name.0).unwrap();
            assert!(status.participants.iter().all(|who| !who.alive), "{:?}", status.participants);
            let mut sender = Sender::open(&name.0).unwrap();
            let mut receiver = Receiver::open(&name.0).unwrap();
            sender.try_send(b"x").unwrap();
            assert_eq!(receiver.try_recv().unwrap().to_vec(), b"x");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_ring_of_many_is_a_queue_whoever_dies(shift in 1..4_u32, schedule in schedule()) {
        Crowd::new(1 << shift, false).run(&schedule)?;
    }

    #[test]
    fn what_the_dead_had_in_hand_comes_again_where_it_is_to(shift in 1..4_u32, schedule in schedule()) {
        Crowd::new(1 << shift, true).run(&schedule)?;
    }
}
