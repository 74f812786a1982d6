//! Two processes and the links between them, there and back.
//!
//! The other process takes orders over the link that it then measures, so a transport is all that the two
//! have in common. An order is a message of three numbers: what, how many messages, of which length.

use crate::names::{Fleeting, sweep};
use crate::tape::Tape;
use crate::transport::{RING_BYTES, Receive, Send, StreamReceiver, StreamSender, Transport};
use crate::{Result, cores};
use rustix::process::{Signal, set_parent_process_death_signal};
use shm_ring::{Consumer, Error, Producer};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says to a copy of the program that it is the other process: transport, processor, names of rings.
const ROLE_VARIABLE: &str = "SHM_BENCHES_ROLE";
/// The longest message.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Between two looks at whether the other process still starts.
const START_LOOK: Duration = Duration::from_millis(20);

const ORDER_BYTES: usize = 3 * size_of::<u64>();
const THROUGHPUT: u64 = 1;
const ROUND_TRIPS: u64 = 2;

/// This process's end of two links to another process.
#[allow(missing_debug_implementations)] // trait objects
pub struct Pair {
    there: Box<dyn Send>,
    back: Box<dyn Receive>,
    buffer: Vec<u8>,
    _child: Reaped,
}

/// A child that does not outlive this value.
#[derive(Debug)]
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Pair {
    /// Starts the other process, on another processor where there is one. Its program is this one, which must
    /// call [`play`] first.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(transport: Transport) -> Result<Self> {
        if let Some((ours, _)) = cores::two() {
            cores::pin_to(ours)?;
        }
        match transport {
            Transport::Ring => Self::over_rings(),
            Transport::Pipe => {
                let (their_input, there) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                let (back, their_output) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                Self::over_streams(transport, [there, back], [their_input, their_output])
            }
            Transport::Unix => {
                let (ours, theirs) = rustix::net::socketpair(
                    rustix::net::AddressFamily::UNIX,
                    rustix::net::SocketType::STREAM,
                    rustix::net::SocketFlags::CLOEXEC,
                    None,
                )?;
                let (ours_too, theirs_too) = (ours.try_clone()?, theirs.try_clone()?);
                Self::over_streams(transport, [ours, ours_too], [theirs, theirs_too])
            }
        }
    }

    fn over_streams(transport: Transport, ours: [OwnedFd; 2], theirs: [OwnedFd; 2]) -> Result<Self> {
        let [there, back] = ours;
        let [input, output] = theirs;
        let child = child(transport, "").stdin(input).stdout(output).spawn()?;
        Ok(Self::new(Box::new(StreamSender::new(there)), Box::new(StreamReceiver::new(back)), Reaped(child)))
    }

    fn over_rings() -> Result<Self> {
        sweep()?;
        let names = [Fleeting::new("-there")?, Fleeting::new("-back")?];
        let [there, back] = [names[0].as_str(), names[1].as_str()];
        let producer = Producer::builder(there).capacity(RING_BYTES).create()?;
        let mut consumer = Consumer::builder(back).capacity(RING_BYTES).create()?;
        let mut command = child(Transport::Ring, &format!(" {there} {back}"));
        let mut child = Reaped(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        // An empty message says that the other process is attached to both; then the names can go.
        loop {
            match consumer.recv_timeout(START_LOOK) {
                Ok(_) => break,
                Err(Error::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = child.0.try_wait()? {
                return Err(format!("the other process ended at its start: {status}").into());
            }
        }
        drop(names);
        Ok(Self::new(Box::new(producer), Box::new(consumer), child))
    }

    fn new(there: Box<dyn Send>, back: Box<dyn Receive>, child: Reaped) -> Self {
        Self { there, back, buffer: vec![0; MESSAGE_BYTES_MAX], _child: child }
    }

    /// Sends `count` messages of `length` bytes; how long it took until the other process had verified all.
    ///
    /// # Errors
    /// When it found anything wrong, or is gone.
    pub fn throughput(&mut self, count: u64, length: usize) -> Result<Duration> {
        let mut tape = Tape::new(length);
        self.order(THROUGHPUT, count, length)?;
        let began = Instant::now();
        for number in 0..count {
            self.there.send(tape.message(number))?;
        }
        let verified = self.answer()?;
        let took = began.elapsed();
        expect(count, &verified)?;
        Ok(took)
    }

    /// Sends `count` messages of `length` bytes one after the other to the other process and back; how long that
    /// took. Both processes verify each.
    ///
    /// # Errors
    /// When either found anything wrong, or the other is gone.
    pub fn round_trips(&mut self, count: u64, length: usize) -> Result<Duration> {
        let mut tape = Tape::new(length);
        self.order(ROUND_TRIPS, count, length)?;
        let began = Instant::now();
        for number in 0..count {
            self.there.send(tape.message(number))?;
            let length = self.back.receive(&mut self.buffer)?.ok_or("the other process has ended")?;
            tape.verify(number, &self.buffer[..length])?;
        }
        Ok(began.elapsed())
    }

    /// Gives an order, and waits until the other process is about to do it.
    fn order(&mut self, what: u64, count: u64, length: usize) -> Result<()> {
        let order = [what, count, length as u64].map(u64::to_le_bytes).concat();
        self.there.send(&order)?;
        let ready = self.answer()?;
        expect(what, &ready)
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let length = self.back.receive(&mut self.buffer)?.ok_or("the other process has ended")?;
        Ok(self.buffer[..length].to_vec())
    }
}

fn child(transport: Transport, names: &str) -> Command {
    let processor = cores::two().map_or_else(|| "-".to_owned(), |(_, theirs)| theirs.to_string());
    // By this path it is the same program even if its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.env(ROLE_VARIABLE, format!("{} {processor}{names}", transport.name()));
    command
}

fn expect(number: u64, answer: &[u8]) -> Result<()> {
    if answer == number.to_le_bytes() {
        return Ok(());
    }
    Err(format!("the other process answered {answer:?} instead of {number}").into())
}

/// Plays the other process if this one was started for that: does what it is ordered to do until the links
/// end. `false` if it was not. To be called before anything else in `main`.
///
/// # Errors
/// When a message is wrong, or the first process has died.
pub fn play() -> Result<bool> {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return Ok(false);
    };
    // Whatever becomes of the first process, this one does not outlive it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut words = role.split(' ');
    let mut next = || words.next().ok_or("an incomplete role");
    let transport = Transport::of_name(next()?).ok_or("an unknown transport")?;
    if let Ok(processor) = next()?.parse() {
        cores::pin_to(processor)?;
    }
    if transport == Transport::Ring {
        let mut there = Consumer::open(next()?)?;
        let mut back = Producer::open(next()?)?;
        back.send(b"")?;
        obey(&mut there, &mut back)?;
    } else {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let output = std::io::stdout().as_fd().try_clone_to_owned()?;
        obey(&mut StreamReceiver::new(input), &mut StreamSender::new(output))?;
    }
    Ok(true)
}

fn obey(there: &mut dyn Receive, back: &mut dyn Send) -> Result<()> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    while let Some(length) = there.receive(&mut buffer)? {
        let order: &[u8; ORDER_BYTES] =
            buffer[..length].try_into().map_err(|_| "an order of a wrong length")?;
        let mut numbers = [0; 3];
        for (number, bytes) in numbers.iter_mut().zip(order.as_chunks().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let [what, count, length] = numbers;
        let mut tape = Tape::new(usize::try_from(length)?);
        back.send(&what.to_le_bytes())?;
        for number in 0..count {
            let length = there.receive(&mut buffer)?.ok_or("the messages ended early")?;
            tape.verify(number, &buffer[..length])?;
            if what == ROUND_TRIPS {
                back.send(tape.message(number))?;
            }
        }
        if what == THROUGHPUT {
            back.send(&count.to_le_bytes())?;
        }
    }
    Ok(())
}
