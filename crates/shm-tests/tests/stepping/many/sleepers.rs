//! Wake-ups: receivers in processes of their own that sleep without a backstop, so that one that is lost is lost for
//! good, while a sender or one of them is killed or stopped at every moment.

use super::picture::{Picture, Shape};
use super::scene::{MESSAGE_BYTES, Notes};
use crate::content::{PATIENCE, content, number};
use crate::tracer::Tracee;
use crate::walk::{self, Course, Point};
use crate::watched;
use shm_core::{Access, Object, Options, Region};
use shm_ring::layout::mpmc::{COMMON_OFFSET, DATA_WAIT_OFFSET, WAIT_ARMED, WAIT_STATE_BITS};
use shm_ring::{Directory, End, Error, Receiver, Sender, WaitStrategy, inspect, repair_in};
use shm_tests::{FUSE, Need, Peer, Scratch, Test, peer};
use std::time::{Duration, Instant};

const CAPACITY: usize = 8;
const PARTICIPANTS: usize = 4;
const STEPS: u64 = 1_000;
/// Enough for all moments of a send: the one in which a wake-up can be lost may be one instruction long.
const SEND_STEPS: u64 = 100_000;
const DIFFERING_STEPS: u64 = 10_000;
/// Longer than a verdict by time could be patient.
const LONG: Duration = Duration::from_millis(300);

pub(crate) fn tests() -> Vec<Test> {
    macro_rules! stepped {
        ($($test:ident),* $(,)?) => {
            vec![$(Test {
                name: concat!("stepping::mpmc::sleepers::", stringify!($test)),
                needs: vec![Need::Trace],
                body: $test,
            }),*]
        };
    }
    stepped![
        a_killed_sender_leaves_nobody_asleep,
        a_stopped_sender_leaves_nobody_asleep,
        a_killed_sleeper_takes_no_wake_up_with_it,
        a_stopped_sleeper_takes_no_wake_up_with_it,
        the_last_sender_is_stopped_and_not_gone,
    ]
}

/// Role, with the arguments ring and how many messages it receives before it asks whether to go on.
pub(crate) fn be_a_sleeper(arguments: &[String]) {
    let [ring, first] = arguments else { panic!("{arguments:?}") };
    let builder = Receiver::builder(ring).wait(WaitStrategy::Sleep).backstop(false);
    let mut receiver = builder.attach_timeout(PATIENCE).open().unwrap();
    let mut take = || number(&receiver.recv().unwrap().to_vec());
    peer::say("here");
    for _ in 0..first.parse().unwrap() {
        peer::say(&format!("received {}", take()));
        peer::listen().unwrap();
    }
    loop {
        take();
    }
}

/// A ring where this process sends, and others sleep.
struct Ring {
    name: String,
    sender: Sender,
    next: u64,
    object: Object,
    region: Region,
    seen: Vec<u8>,
}

impl Ring {
    fn new(scratch: &Scratch) -> Self {
        let name = scratch.name("ring");
        let builder = Sender::builder(name.as_str()).capacity(CAPACITY as u64);
        let builder = builder.max_message(MESSAGE_BYTES as u64).participants(PARTICIPANTS as u64);
        let sender = builder.create().unwrap();
        let object = Options::new().open(&name, Access::ReadOnly).unwrap();
        let region = object.map(Access::ReadOnly).unwrap();
        Self { name: name.as_str().to_owned(), sender, next: 0, object, region, seen: Vec::new() }
    }

    fn sleeper(&self, first: u32) -> Peer {
        let mut peer = Peer::start("sleeper", &[&self.name, &first.to_string()]);
        peer.expect("here");
        peer
    }

    fn send(&mut self) {
        self.sender.try_send(&content(self.next)).unwrap();
        self.next += 1;
    }

    /// Messages sent and received.
    fn totals(&self) -> (u64, u64) {
        let shape = Shape { capacity: CAPACITY, participants: PARTICIPANTS, message_bytes: MESSAGE_BYTES };
        Picture::of(&self.region, &self.object, shape).counts()
    }

    /// Waits until something is so that others bring about.
    fn until(&self, what: &str, so: impl Fn() -> bool) {
        let fuse = Instant::now() + FUSE;
        while !so() {
            assert!(Instant::now() < fuse, "never: {what}; sent and received: {:?}", self.totals());
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Waits until these processes sleep on the word of those who wait for messages.
    fn until_asleep(&self, peers: &[&Peer]) {
        let armed = || {
            let word: u32 = self.region.read_value(COMMON_OFFSET + DATA_WAIT_OFFSET).unwrap();
            word & ((1 << WAIT_STATE_BITS) - 1) == WAIT_ARMED
        };
        self.until("all sleep", || armed() && peers.iter().all(|peer| sleeps(peer)) && armed());
    }

    fn until_all_is_received(&self) {
        self.until("all that was sent is received", || {
            let (sent, received) = self.totals();
            sent == received
        });
    }

    fn has_changed(&mut self) -> bool {
        let mut now = vec![0; self.region.bytes()];
        self.region.copy_out(0, &mut now).unwrap();
        std::mem::replace(&mut self.seen, now) != self.seen
    }

    fn bring(&self, operation: &str, notes: &Notes) -> (Peer, Tracee) {
        let peer = Peer::start("victim of many", &[operation, &self.name, notes.name()]);
        let tracee = Tracee::catch(peer.pid());
        notes.clear();
        (peer, tracee)
    }
}

/// Whether a process sleeps in a call that waits for other processes, as the kernel says.
fn sleeps(peer: &Peer) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{}/syscall", peer.pid())).unwrap();
    let number = call.split(' ').next().and_then(|number| number.parse().ok());
    number.is_some_and(|number: i64| [libc::SYS_futex, libc::SYS_futex_waitv].contains(&number))
}

fn a_killed_sender_leaves_nobody_asleep() {
    a_sender_leaves_nobody_asleep(true);
}

fn a_stopped_sender_leaves_nobody_asleep() {
    a_sender_leaves_nobody_asleep(false);
}

/// Two sleep while a sender sends to them, and is killed or stopped. What another one sends then is received, and
/// what the first had sent.
fn a_sender_leaves_nobody_asleep(killed: bool) {
    watched("a sender to sleepers", |progress| {
        let scratch = Scratch::posix();
        let notes = Notes::new(&scratch);
        let mut ring = Ring::new(&scratch);
        let sleepers = [ring.sleeper(0), ring.sleeper(0)];
        let begin = |ring: &Ring| {
            // It has sent before, so that its instructions do not depend on how much went through the ring. And
            // whoever comes wakes all.
            let begun = ring.bring("send", &notes);
            ring.until_asleep(&[&sleepers[0], &sleepers[1]]);
            begun
        };
        let (victim, mut tracee) = begin(&ring);
        let course = Course::follow(&mut tracee, || ring.has_changed(), || panic!("it sleeps"));
        victim.kill();
        let mut moments = course.sample(SEND_STEPS);
        moments.extend(course.differing(DIFFERING_STEPS));
        course.tell(moments.len());
        for moment in moments {
            let point = course.points[moment];
            progress.now(format!("sending to sleepers, at {point:?}"));
            let (victim, mut tracee) = begin(&ring);
            let there = walk::go_to(&mut tracee, point, || panic!("it sleeps"));
            if killed {
                victim.kill();
                ring.send();
                ring.until_all_is_received();
            } else {
                ring.send();
                ring.until_all_is_received();
                tracee.release(!there);
                ring.until_all_is_received();
                victim.finish();
            }
        }
    });
}

fn a_killed_sleeper_takes_no_wake_up_with_it() {
    a_sleeper_takes_no_wake_up_with_it(true);
}

fn a_stopped_sleeper_takes_no_wake_up_with_it() {
    a_sleeper_takes_no_wake_up_with_it(false);
}

/// One sleeps, then another one; two messages come. The first is woken, and killed or stopped: the second gets what
/// the first does not take.
fn a_sleeper_takes_no_wake_up_with_it(killed: bool) {
    watched("a sleeper", |progress| {
        let scratch = Scratch::posix();
        let notes = Notes::new(&scratch);
        let begin = || {
            let ring = Ring::new(&scratch);
            let (victim, tracee) = ring.bring("recv_from_an_empty_ring", &notes);
            (ring, victim, tracee)
        };
        let wake = |ring: &mut Ring, second: &mut Option<Peer>| {
            if second.is_none() {
                let sleeper = ring.sleeper(1);
                ring.until_asleep(&[&sleeper]);
                *second = Some(sleeper);
                ring.send();
                ring.send();
            }
        };
        let (ring, victim, mut tracee) = begin();
        let (ring, mut second) = (std::cell::RefCell::new(ring), None);
        let changed = || ring.borrow_mut().has_changed();
        let course = Course::follow(&mut tracee, changed, || wake(&mut ring.borrow_mut(), &mut second));
        victim.kill();
        let name = ring.into_inner().name;
        drop(second);
        let mut moments = course.sample(STEPS);
        moments.extend(course.differing(DIFFERING_STEPS));
        course.tell(moments.len());
        for moment in moments {
            let point = course.points[moment];
            progress.now(format!("asleep, at {point:?}"));
            shm_ring::remove_forced(&name).unwrap();
            let ((mut ring, victim, mut tracee), mut second) = (begin(), None);
            let there = walk::go_to(&mut tracee, point, || wake(&mut ring, &mut second));
            let victim = if killed {
                victim.kill();
                None
            } else {
                Some(victim)
            };
            wake(&mut ring, &mut second);
            let mut second = second.unwrap();
            assert!(second.hear().starts_with("received "));
            second.tell("go on");
            ring.send();
            ring.until_all_is_received();
            if let Some(victim) = victim {
                // It goes on, and receives what comes next, if it has nothing yet.
                second.kill();
                ring.send();
                tracee.release(!there);
                victim.finish();
            }
        }
    });
}

/// All senders that are left stand still for long; nobody takes them for dead, or their seats.
fn the_last_sender_is_stopped_and_not_gone() {
    watched("the last sender", |_| {
        let scratch = Scratch::posix();
        let notes = Notes::new(&scratch);
        let Ring { name, sender, object: _object, .. } = Ring::new(&scratch);
        let mut receivers = vec![Receiver::open(&name).unwrap()];
        let operation = super::named("send_first");
        let (victim, mut tracee) = {
            let peer = Peer::start("victim of many", &[operation.name, &name, notes.name()]);
            let tracee = Tracee::catch(peer.pid());
            (peer, tracee)
        };
        sender.close();
        receivers.push(receivers[0].try_clone().unwrap());
        receivers.push(receivers[0].try_clone().unwrap());
        // In the middle of its exchange.
        walk::go_to(&mut tracee, Point { steps: 100, ..Point::default() }, || panic!("it sleeps"));
        assert!(matches!(receivers[0].recv_timeout(LONG), Err(Error::TimedOut)));
        let status = inspect(&name).unwrap();
        assert!(status.participants.len() == PARTICIPANTS && status.participants.iter().all(|who| who.alive));
        let found = repair_in(&Directory::posix(), &name, false).unwrap();
        assert!(found.dead.is_empty() && found.repaired == 0, "{found:?}");
        let newcomer = Receiver::builder(&name).attach_timeout(LONG).open();
        assert!(matches!(newcomer, Err(Error::NoSeat { .. })), "{newcomer:?}");
        tracee.release(false);
        victim.finish();
        assert!(number(&receivers[0].recv().unwrap().to_vec()) > 0);
        assert!(matches!(receivers[0].recv_timeout(FUSE), Err(Error::Disconnected(End::Dropped))));
    });
}
