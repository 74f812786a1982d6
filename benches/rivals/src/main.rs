//! `cargo run --release` here: many senders and many receivers, the MPMC ring between processes beside crossbeam's
//! ArrayQueue between threads (it can not do more), messages of 56 bytes, every one of them verified.
//!
//! Each cell is measured several times, both in turn; shown are the medians and the range. A participant is pinned to
//! a processor, senders and receivers in turn. Time is from the first participant's start to the last one's end.

mod array_queue;
mod payload;
mod ring;

use std::time::Duration;

/// Messages in one measurement, unless the first argument says otherwise.
const MESSAGES: u64 = 4_000_000;
const ROUNDS: usize = 5;
const CAPACITIES: [u64; 2] = [1024, 16_384];
const PAIRS: [u64; 3] = [1, 2, 4];

/// One measurement: so many senders and as many receivers.
#[derive(Clone, Copy)]
struct Case {
    capacity: u64,
    pairs: u64,
    /// Messages of each sender.
    each: u64,
}

impl Case {
    fn messages(&self) -> u64 {
        self.each * self.pairs
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == ring::CHILD) {
        return ring::take_part(&arguments[2..]);
    }
    let messages = arguments.get(1).map_or(MESSAGES, |count| count.parse().expect("a number of messages"));
    println!("56-byte messages, {messages} in each of {ROUNDS} measurements, {} processors", processors());
    println!("million messages a second: median (least to most)");
    for capacity in CAPACITIES {
        for pairs in PAIRS {
            let case = Case { capacity, pairs, each: messages / pairs };
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(rate(&case, ring::measure(&case)));
                theirs.push(rate(&case, array_queue::measure(&case)));
            }
            let (ours, theirs) = (Spread::of(ours), Spread::of(theirs));
            let ratio = ours.median / theirs.median;
            println!(
                "capacity {capacity:6}  {pairs}p{pairs}c  shmring {ours}  ArrayQueue {theirs}  ratio {ratio:.2}"
            );
        }
    }
}

fn rate(case: &Case, time: Duration) -> f64 {
    case.messages() as f64 / time.as_secs_f64() / 1e6
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.1} ({:.1} to {:.1})", self.median, self.least, self.most)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread on one processor.
fn pin(participant: u64) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(participant as usize % processors());
    // Where it is not allowed, the measurement is a little less steady.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}
