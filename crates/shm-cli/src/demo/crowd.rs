//! Many send and many receive by one ring, while a random one of them is killed and replaced every few moments. Every
//! message is accounted for.
//!
//! What receivers got they note in shared memory before they let go of it, so that the note survives their death;
//! senders note what they have surely sent. So of each message it is known whether it arrived, and whether twice.

use super::children::{Ear, Order, Process};
use super::roles::{Load, Part};
use super::transport::Transport;
use super::transport::ring::Names;
use crate::failure::Failure;
use indicatif::ProgressBar;
use serde::Serialize;
use shm_core::sync::Ordering;
use shm_core::{Access, Name, Options, Region, Word};
use shm_ring::{Error, Receiver, Sender, inspect_in};
use std::time::Duration;

/// So many of each at a time.
const SENDERS: usize = 4;
const RECEIVERS: usize = 4;
/// Between two kills.
const MOMENT: Duration = Duration::from_millis(50);
/// Between two looks at whether it is time to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a message: its sender, its number, and the number again and again.
const MESSAGE_BYTES: usize = 64;
/// Messages of one sender, at most. Who has sent them waits to be killed.
const NUMBERS: u64 = 1 << 20;

/// What became of the messages.
#[derive(Debug, Serialize)]
pub(crate) struct Crowd {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    /// Processes that were killed, and how many of them were receivers.
    pub(crate) killed: u64,
    pub(crate) killed_receivers: u64,
    /// Messages that went into the ring, as the library says.
    pub(crate) sent: u64,
    /// Messages that receivers noted.
    pub(crate) received: u64,
    /// Messages that a killed receiver had in hand.
    pub(crate) lost: u64,
    /// Messages that were noted twice.
    pub(crate) repeated: u64,
    /// Messages that were surely sent, and neither noted nor in the hand of a killed receiver.
    pub(crate) missing: u64,
}

/// The notes: a word to stop all, a count of repetitions, and for each sender what it has sent and who got what.
struct Notes {
    region: Region,
    senders: u64,
}

impl Notes {
    const BITMAP_BYTES: u64 = NUMBERS / 8;

    fn bytes(senders: u64) -> u64 {
        16 + senders * (8 + Self::BITMAP_BYTES)
    }

    fn open(names: &Names, senders: u64) -> Result<Self, Failure> {
        let options = Options::new().directory(names.directory().clone());
        let object = options.open(&Name::new(&names.notes())?, Access::ReadWrite)?;
        Ok(Self { region: object.map(Access::ReadWrite)?, senders })
    }

    fn word(&self, offset: u64) -> Result<Word<u64>, Failure> {
        Ok(self.region.word(usize::try_from(offset).unwrap_or(usize::MAX))?)
    }

    fn stop(&self) -> Result<Word<u64>, Failure> {
        self.word(0)
    }

    fn repeated(&self) -> Result<Word<u64>, Failure> {
        self.word(8)
    }

    fn sent(&self, sender: u64) -> Result<Word<u64>, Failure> {
        self.word(16 + sender * 8)
    }

    /// Notes that a message arrived; whether it had already.
    fn note(&self, sender: u64, number: u64) -> Result<bool, Failure> {
        if sender >= self.senders || number >= NUMBERS {
            return Err(Failure::error(format!("received what nobody sent: {number} of sender {sender}")));
        }
        let (word, bit) = (number / 64 * 8, 1 << (number % 64));
        let word = self.word(16 + self.senders * 8 + sender * Self::BITMAP_BYTES + word)?;
        Ok(word.fetch_or(bit, Ordering::Relaxed) & bit != 0) // looked at when all have ended
    }

    /// How many messages of a sender arrived, and how many of those that it has surely sent did not.
    fn tally(&self, sender: u64) -> Result<(u64, u64), Failure> {
        let sent = self.sent(sender)?.load(Ordering::Relaxed); // all have ended
        let offset = 16 + self.senders * 8 + sender * Self::BITMAP_BYTES;
        let mut bytes = vec![0; usize::try_from(Self::BITMAP_BYTES).unwrap_or(0)];
        self.region.copy_out(usize::try_from(offset).unwrap_or(usize::MAX), &mut bytes)?;
        let got = |number: u64| {
            usize::try_from(number / 8)
                .is_ok_and(|at| bytes.get(at).is_some_and(|byte| byte >> (number % 8) & 1 == 1))
        };
        let arrived = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        Ok((arrived, (0..sent).filter(|&number| !got(number)).count() as u64))
    }
}

/// Makes the storm, and accounts for every message.
pub(crate) fn storm(
    ear: &mut Ear,
    progress: &ProgressBar,
    names: &Names,
    load: Load,
) -> Result<Crowd, Failure> {
    let senders_max = senders_max(load);
    let options = Options::new().directory(names.directory().clone());
    let object = options.create(&Name::new(&names.notes())?, Notes::bytes(senders_max))?;
    let notes = Notes { region: object.map(Access::ReadWrite)?, senders: senders_max };
    let ring = Sender::builder(&names.crowd()).directory(names.directory().clone());
    ring.max_message(MESSAGE_BYTES as u64).create_ring()?;
    progress.set_length(load.kills);
    let mut numbers = 0..senders_max;
    let mut start = |ear: &Ear, part: Part| {
        let number = (part == Part::CrowdSend).then(|| numbers.next()).flatten();
        let order =
            Order { part, transport: Transport::Ring, load, ring: Some(names.base()), cpu: None, number };
        ear.start(&order, None)
    };
    let mut processes: Vec<Process> = Vec::new();
    for at in 0..SENDERS + RECEIVERS {
        processes.push(start(ear, if at < SENDERS { Part::CrowdSend } else { Part::CrowdReceive })?);
    }
    let (mut random, mut killed_receivers) = (0x9E37_79B9_7F4A_7C15_u64, 0);
    for kill in 0..load.kills {
        ear.pause(MOMENT)?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = usize::try_from(random >> 33).unwrap_or(0) % processes.len();
        let part = processes[victim].part();
        let replacement = start(ear, part)?;
        std::mem::replace(&mut processes[victim], replacement).kill()?;
        killed_receivers += u64::from(part == Part::CrowdReceive);
        progress.set_position(kill + 1);
    }
    ear.pause(MOMENT)?;
    notes.stop()?.store(1, Ordering::Relaxed); // all look at it now and then
    while !processes.is_empty() {
        ear.pause(LOOK)?;
        let mut left = Vec::new();
        for mut process in processes {
            if !ear.has_ended(&mut process)? {
                left.push(process);
            }
        }
        processes = left;
    }
    account(&notes, names, load.kills, killed_receivers)
}

/// Numbers for all senders that may be needed.
fn senders_max(load: Load) -> u64 {
    load.kills + SENDERS as u64
}

fn account(notes: &Notes, names: &Names, killed: u64, killed_receivers: u64) -> Result<Crowd, Failure> {
    let status = inspect_in(names.directory(), &names.crowd())?;
    let (mut received, mut missing) = (0, 0);
    for sender in 0..notes.senders {
        let (arrived, not_arrived) = notes.tally(sender)?;
        received += arrived;
        missing += not_arrived;
    }
    let repeated = notes.repeated()?.load(Ordering::Relaxed); // all have ended
    let lost = status.sent.saturating_sub(received);
    let missing = missing.saturating_sub(lost);
    let (senders, receivers) = (SENDERS, RECEIVERS);
    Ok(Crowd {
        senders,
        receivers,
        killed,
        killed_receivers,
        sent: status.sent,
        received,
        lost,
        repeated,
        missing,
    })
}

impl Crowd {
    /// Whether everything is accounted for.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let Self { lost, killed_receivers, repeated, missing, .. } = self;
        if *lost > *killed_receivers || *repeated > 0 || *missing > 0 {
            return Err(Failure::error(format!(
                "among many: {lost} messages lost with {killed_receivers} killed receivers, {repeated} repeated, \
                 {missing} missing"
            )));
        }
        Ok(())
    }
}

/// In a process of the crowd.
pub(crate) fn play(part: Part, number: Option<u64>, names: &Names, load: Load) -> Result<(), Failure> {
    let notes = Notes::open(names, senders_max(load))?;
    match (part, number) {
        (Part::CrowdSend, Some(number)) => send(&notes, number, names),
        _ => receive(&notes, names),
    }
}

fn send(notes: &Notes, me: u64, names: &Names) -> Result<(), Failure> {
    let (stop, sent) = (notes.stop()?, notes.sent(me)?);
    let mut sender = Sender::builder(&names.crowd()).directory(names.directory().clone()).open()?;
    let mut number = 0;
    let stopped = || stop.load(Ordering::Relaxed) != 0; // a hint
    while !stopped() {
        if number == NUMBERS {
            std::thread::sleep(LOOK);
            continue;
        }
        let mut message = [0; MESSAGE_BYTES];
        for (at, bytes) in message.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&if at == 0 { me } else { number }.to_le_bytes());
        }
        match sender.send_timeout(&message, LOOK) {
            Ok(()) => number += 1,
            Err(Error::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        sent.store(number, Ordering::Relaxed); // looked at when all have ended
    }
    sender.close();
    Ok(())
}

fn receive(notes: &Notes, names: &Names) -> Result<(), Failure> {
    let (stop, repeated) = (notes.stop()?, notes.repeated()?);
    let mut receiver = Receiver::builder(&names.crowd()).directory(names.directory().clone()).open()?;
    loop {
        let nothing = match receiver.recv_timeout(LOOK) {
            Ok(delivery) => {
                let mut words = [0_u64; MESSAGE_BYTES / 8];
                delivery.read_at(0, bytemuck::bytes_of_mut(&mut words));
                let [sender, number, rest @ ..] = words;
                if rest.iter().any(|word| *word != number) {
                    return Err(Failure::error("a message is torn"));
                }
                if notes.note(sender, number)? {
                    repeated.fetch_add(1, Ordering::Relaxed); // looked at when all have ended
                }
                false
            }
            // All senders may be gone for a moment, until the next one comes.
            Err(Error::TimedOut | Error::Disconnected(_)) => true,
            Err(error) => return Err(error.into()),
        };
        let stopped = nothing && stop.load(Ordering::Relaxed) != 0; // a hint
        if stopped && receiver.is_closed()? && receiver.is_empty()? {
            receiver.close();
            return Ok(());
        }
    }
}
