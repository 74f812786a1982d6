//! crossbeam's ArrayQueue between threads of one process. It has no waiting of its own: both sides back off as
//! crossbeam suggests.

use crate::payload::{self, Check, Message};
use crate::{Case, pin};
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::Backoff;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub fn measure(case: &Case) -> Duration {
    let queue = ArrayQueue::<Message>::new(case.capacity as usize);
    let senders_left = AtomicU64::new(case.pairs);
    let start = Barrier::new(2 * case.pairs as usize + 1);
    std::thread::scope(|scope| {
        for sender in 0..case.pairs {
            let (queue, start, senders_left) = (&queue, &start, &senders_left);
            scope.spawn(move || {
                pin(sender);
                start.wait();
                for number in 0..case.each {
                    let message = payload::message(sender, number);
                    let backoff = Backoff::new();
                    while queue.push(message).is_err() {
                        backoff.snooze();
                    }
                }
                senders_left.fetch_sub(1, Ordering::Release); // R40 pairs with A40
            });
        }
        let receivers: Vec<_> = (0..case.pairs)
            .map(|receiver| {
                let (queue, start, senders_left) = (&queue, &start, &senders_left);
                scope.spawn(move || {
                    pin(receiver + 1);
                    start.wait();
                    let mut check = Check::new(case.pairs);
                    let backoff = Backoff::new();
                    loop {
                        let left = senders_left.load(Ordering::Acquire); // A40 pairs with R40
                        match queue.pop() {
                            Some(message) => {
                                check.take(&message);
                                backoff.reset();
                            }
                            None if left == 0 => return check,
                            None => backoff.snooze(),
                        }
                    }
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        let checks: Vec<Check> =
            receivers.into_iter().map(|receiver| receiver.join().expect("verified")).collect();
        let time = began.elapsed();
        assert_eq!(checks.iter().map(|check| check.received).sum::<u64>(), case.messages());
        let sum = checks.iter().fold(0_u64, |sum, check| sum.wrapping_add(check.sum));
        assert_eq!(sum, payload::sum(case.pairs, case.each));
        time
    })
}
