//! Sealed rings between processes: what goes through, how an end is told, and what a hostile peer can not do.

use shm_core::{Access, Deadline, Memfd, Region, Seals, pass, seal};
use shm_ring::layout::spsc::{CONSUMER_REGION_OFFSET, DATA_OFFSET};
use shm_ring::{Consumer, End, Error, Producer, TypedConsumer, TypedProducer};
use shm_tests::attack::ATTACKS;
use shm_tests::{FUSE, Peer, Scratch, Test, peer, tests};
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        messages_and_values_go_through,
        a_consumer_is_told_of_its_producers_death_and_connects_again,
        a_producer_is_told_of_its_consumers_death,
        no_attack_on_a_running_ring_succeeds,
    ]
}

const MESSAGES: u64 = 100_000;
const BALLAST: [&str; 2] = ["0", "16000000"];

/// A socket that peers connect to.
struct Meeting {
    scratch: Scratch,
    listener: UnixListener,
    path: String,
}

impl Meeting {
    fn new() -> Self {
        let scratch = Scratch::private();
        let path = scratch.path(&scratch.name("socket")).to_str().unwrap().to_owned();
        Self { listener: UnixListener::bind(&path).unwrap(), path, scratch }
    }

    fn start(&self, role: &str, more: &[&str]) -> (Peer, UnixStream) {
        let arguments: Vec<&str> = std::iter::once(self.path.as_str()).chain(more.iter().copied()).collect();
        let peer = Peer::start(role, &arguments);
        (peer, self.listener.accept().unwrap().0)
    }
}

fn soon() -> Deadline {
    Deadline::after(FUSE)
}

fn message(number: u64) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.resize(8 + usize::try_from(number % 300).unwrap(), number.to_le_bytes()[0]);
    message
}

/// Role, with the argument path of a socket: receives messages, then values, and says how both ended.
pub(crate) fn receive(arguments: &[String]) {
    let socket = || UnixStream::connect(&arguments[0]).unwrap();
    let mut consumer = Consumer::builder("sealed").attach_timeout(FUSE).connect(socket()).unwrap();
    let mut next = 0;
    let error = loop {
        match consumer.recv() {
            Ok(received) => assert_eq!(received.to_vec(), message(next)),
            Err(error) => break error,
        }
        next += 1;
    };
    peer::say(&format!("{next} messages, {error}"));
    let values = TypedConsumer::<[u64; 2]>::builder("sealed").attach_timeout(FUSE);
    let mut values = values.connect(socket()).unwrap();
    let mut next = 0;
    let error = loop {
        match values.recv() {
            Ok(value) => assert_eq!(value, [next, !next]),
            Err(error) => break error,
        }
        next += 1;
    };
    peer::say(&format!("{next} values, {error}"));
    peer::listen();
}

fn messages_and_values_go_through() {
    let meeting = Meeting::new();
    let (mut receiver, socket) = meeting.start("receive from a sealed ring", &[]);
    let mut producer =
        Producer::builder("sealed").capacity(4096).attach_timeout(FUSE).connect(socket).unwrap();
    (0..MESSAGES).for_each(|number| producer.send(&message(number)).unwrap());
    producer.close();
    receiver.expect("100000 messages, the other side closed; wait for a successor or stop");
    let socket = meeting.listener.accept().unwrap().0;
    let values = TypedProducer::<[u64; 2]>::builder("sealed").capacity(64).attach_timeout(FUSE);
    let mut values = values.connect(socket).unwrap();
    (0..MESSAGES).for_each(|number| values.send(&[number, !number]).unwrap());
    drop(values);
    receiver.expect("100000 values, the other side left without closing; wait for a successor or stop");
    receiver.finish();
}

/// Role, with the arguments path of a socket and bytes of memory to hold: sends until it is killed, or told of the
/// consumer's end, which it says.
pub(crate) fn send_for_ever(arguments: &[String]) {
    let ballast = vec![1_u8; arguments[1].parse().unwrap()];
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    let builder = Producer::builder("sealed").capacity(1024).attach_timeout(FUSE).backstop(false);
    let mut producer = builder.connect(socket).unwrap();
    peer::say("sending");
    let error = (0..).find_map(|number| producer.send(&message(number)).err()).unwrap();
    peer::say(&format!("{error}"));
    peer::say(&format!("{}", producer.send(b"to nobody").unwrap_err()));
    peer::listen();
    drop(ballast);
}

fn a_consumer_is_told_of_its_producers_death_and_connects_again() {
    let meeting = Meeting::new();
    for round in 0..40 {
        let (mut producer, socket) = meeting.start("send into a sealed ring", &[BALLAST[round % 2]]);
        // Its regular questions to the kernel are switched off.
        let builder = Consumer::builder("sealed").attach_timeout(FUSE).backstop(false);
        let mut consumer = builder.connect(socket).unwrap();
        producer.expect("sending");
        let mut next = 0;
        let mut receive = |consumer: &mut Consumer| {
            let received = consumer.recv()?.to_vec();
            assert_eq!(received, message(next));
            next += 1;
            Ok(())
        };
        (0..round * 10).for_each(|_| receive(&mut consumer).unwrap());
        let killer = std::thread::spawn(move || producer.kill());
        // All that it had sent comes first.
        let error = std::iter::repeat_with(|| receive(&mut consumer)).find_map(Result::err).unwrap();
        assert!(matches!(error, Error::Disconnected(End::Died)), "{error}");
        assert!(matches!(consumer.recv(), Err(Error::Detached)), "nobody comes after it");
        assert!(consumer.is_closed().unwrap());
        killer.join().unwrap();
    }
    drop(meeting.scratch);
}

fn a_producer_is_told_of_its_consumers_death() {
    let meeting = Meeting::new();
    for closes in [false, true] {
        let (mut producer, socket) = meeting.start("send into a sealed ring", &["0"]);
        let mut consumer = Consumer::builder("sealed").attach_timeout(FUSE).connect(socket).unwrap();
        producer.expect("sending");
        assert_eq!(consumer.recv().unwrap().to_vec(), message(0));
        if closes {
            consumer.close();
        } else {
            drop(consumer);
        }
        let end = if closes { "closed" } else { "left without closing" };
        producer.expect(&format!("the other side {end}; wait for a successor or stop"));
        producer.expect("the ring was removed, or is over; open its name, or connect, again for another one");
        producer.finish();
    }
}

/// Role, with the argument path of a socket: meets a producer as a consumer does, tries all attacks on what it was
/// sent, and then writes garbage over all that it may write, until the test ends.
pub(crate) fn attack(arguments: &[String]) {
    let socket = UnixStream::connect(&arguments[0]).unwrap();
    let own = Memfd::new("hostile").create(DATA_OFFSET as u64).unwrap();
    let region = own.map(Access::ReadWrite).unwrap();
    let seat: shm_core::Word<u64> = region.word(CONSUMER_REGION_OFFSET + 384).unwrap();
    seat.store(257, shm_core::sync::Ordering::Relaxed); // nobody has it yet
    seal::apply(&own, Seals::RECEIVER_SAFE, "hostile").unwrap();
    // As the producer's greeting, but for the role, the object's length and the capacity.
    let mut greeting = [0; 56];
    let received = pass::receive(&socket, &mut greeting, 1, soon()).unwrap();
    greeting[12] = 2;
    greeting[24..32].copy_from_slice(&(DATA_OFFSET as u64).to_le_bytes());
    greeting[32..40].fill(0);
    pass::send(&socket, &greeting, &[own.descriptor()], soon()).unwrap();
    let file = received.descriptors.into_iter().next().unwrap();
    peer::listen();
    for (name, attack, _) in ATTACKS {
        match attack(file.try_clone().unwrap()) {
            Ok(()) => peer::say(&format!("{name}: done")),
            Err(_) => peer::say("refused"),
        }
    }
    scribble(&region);
}

fn scribble(region: &Region) {
    peer::say("scribbling");
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 20
    };
    loop {
        let at = usize::try_from(next() % 400).unwrap() * 8 % 640;
        let value = if next() % 2 == 0 { next() % 4096 } else { next() << 20 };
        region.write_value(CONSUMER_REGION_OFFSET + at, &value).unwrap();
    }
}

fn no_attack_on_a_running_ring_succeeds() {
    let meeting = Meeting::new();
    let (fuse, mut outcomes) = (soon(), std::collections::BTreeMap::new());
    let corrupt = |outcomes: &std::collections::BTreeMap<String, u32>| {
        outcomes.keys().any(|outcome| outcome.contains("corrupt"))
    };
    // However the two are scheduled: each attacker scribbles until it is noticed, and others come until one is noticed
    // by what it made of the ring.
    for round in 0.. {
        if round >= 20 && corrupt(&outcomes) {
            break;
        }
        assert!(!fuse.has_passed(), "nothing was found corrupt: {outcomes:?}");
        let (mut attacker, socket) = meeting.start("attack a sealed ring", &[]);
        let builder = Producer::builder("sealed").capacity(4096).attach_timeout(FUSE);
        let mut producer = builder.connect(socket).unwrap();
        (0..5).for_each(|number| producer.send(&message(number)).unwrap());
        attacker.tell("go");
        ATTACKS.iter().for_each(|_| attacker.expect("refused"));
        attacker.expect("scribbling");
        let error = (5..)
            .map(|number| producer.try_send(&message(number)))
            .find_map(|sent| sent.err().filter(|error| !matches!(error, Error::Full) || fuse.has_passed()))
            .unwrap();
        assert!(matches!(error, Error::Corrupt(_) | Error::Detached), "{error}, of {outcomes:?}");
        *outcomes.entry(error.to_string().split(':').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        attacker.kill();
    }
}
