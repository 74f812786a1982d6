//! Those who are measured, each in a file: `start` makes a pair, `open` is the other process's end of it.

mod array_queue;
mod cloudtoid;
mod iceoryx;
mod ipc_channel;
mod ringfire;
mod shaq;
mod shmring;
mod threads;

use shm_measure::crowd::{self, Part};
use shm_measure::peer::{Opening, Other};
use shm_measure::{Link, Measured, Pair, Placement, Result, Serve, Setup, Transport, Wait, cores};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes in the queues of each: what the rings have.
const QUEUE_BYTES: usize = shm_measure::transport::RING_BYTES as usize;

/// Starts a pair for messages of so many words.
pub type Start = fn(usize) -> Result<Box<dyn Measured>>;
/// Measures many senders and receivers.
type Crowd = fn(u64, u64, Duration) -> Result<shm_measure::Run>;

/// All of them, for one sender and one receiver.
pub const PAIRS: [(&str, Start); 14] = [
    (shmring::SPSC, shmring::start_spsc),
    ("shmring spsc bytes", |words| ours(Transport::Spsc, words)),
    (shmring::MPMC, shmring::start_mpmc),
    ("shmring mpmc bytes", |words| ours(Transport::Mpmc, words)),
    ("ringfire 0.5.2, lossless", ringfire::start),
    ("shaq 4.3.0 spsc", shaq::start_spsc),
    ("shaq 4.3.0 mpmc", shaq::start_mpmc),
    ("iceoryx2 0.10.0", iceoryx::start),
    ("cloudtoid-interprocess 3.0.2", cloudtoid::start),
    ("ipc-channel 0.23.1", ipc_channel::start),
    ("rtrb 0.4.1, threads", threads::start_rtrb),
    ("nexus-queue 1.3.1, threads", threads::start_nexus),
    ("gil 0.9.0, threads", threads::start_gil),
    ("crossbeam ArrayQueue 0.3.14, threads", threads::start_array_queue),
];

/// Those for many.
pub const CROWDS: [(&str, Crowd); 3] = [
    (shmring::CROWD, shmring::measure),
    ("crossbeam ArrayQueue", array_queue::measure),
    ("shaq", shaq::measure),
];

fn ours(transport: Transport, words: usize) -> Result<Box<dyn Measured>> {
    Setup { transport, length: 8 * words, wait: Wait::Spin }.start(Placement::Apart)
}

/// In the other process: its end, unless it is one of the library's own.
pub fn open(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Option<Box<dyn Serve>>> {
    Ok(Some(match opening.transport.as_str() {
        shmring::SPSC => shmring::open_spsc(opening, descriptors)?,
        shmring::MPMC => shmring::open_mpmc(opening, descriptors)?,
        shmring::CROWD => shmring::open_crowd(opening, descriptors)?,
        ringfire::NAME => ringfire::open(opening)?,
        shaq::SPSC => shaq::open_spsc(opening, descriptors)?,
        shaq::MPMC => shaq::open_mpmc(opening, descriptors)?,
        shaq::CROWD => shaq::open_crowd(opening, descriptors)?,
        iceoryx::NAME => iceoryx::open(opening)?,
        cloudtoid::NAME => cloudtoid::open(opening)?,
        ipc_channel::NAME => ipc_channel::open(opening)?,
        _ => return Ok(None),
    }))
}

/// Pins this process, and says where the other one goes.
fn apart() -> Result<Option<usize>> {
    let (ours, theirs) = Placement::Apart.processors();
    ours.map_or(Ok(()), cores::pin_to)?;
    Ok(theirs)
}

/// What all names of this program begin with; its process follows.
pub const PREFIX: &str = "shm-rivals-";

/// A name that nobody else uses. Other processes of a pair are told it.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed); // only told apart
    format!("{PREFIX}{}-{count}", std::process::id())
}

/// The other process, which opens what the words say.
fn process(name: &str, words: Vec<String>, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> Result<Other> {
    let opening = Opening { transport: name.to_owned(), processor: apart()?, descriptors: 0, words };
    Other::process(opening, descriptors)
}

/// Senders and as many receivers, each a process that is handed the descriptor.
fn crowd_of_processes(
    name: &str,
    pairs: u64,
    descriptor: std::os::fd::BorrowedFd<'_>,
    time: Duration,
) -> Result<shm_measure::Run> {
    let start = |part: Part, index: u64| {
        let opening = Opening {
            transport: name.to_owned(),
            processor: crowd::processor(part, index),
            descriptors: 1,
            words: vec![serde_json::to_string(&part)?],
        };
        Other::process(opening, &[descriptor])
    };
    let senders = (0..pairs).map(|index| start(Part::Send(index), index));
    let receivers = (0..pairs).map(|index| start(Part::Receive(pairs), index));
    crowd::conduct(name, senders.chain(receivers).collect::<Result<_>>()?, time)
}

fn pair<L: Link + 'static>(name: &str, link: L, other: Other) -> Box<dyn Measured> {
    Box::new(Pair::new(name, link, other))
}

/// Calls a function that has the number of words as a constant.
macro_rules! with_words {
    ($words:expr, $function:ident ( $($argument:expr),* )) => {
        match $words {
            1 => $function::<1>($($argument),*),
            8 => $function::<8>($($argument),*),
            words => Err(format!("{words} words are not prepared").into()),
        }
    };
}

use with_words;
