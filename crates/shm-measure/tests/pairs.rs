//! Every way between two processes, at its lengths; what is wrong is noticed, what hangs is killed, nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use shm_measure::pair::histogram;
use shm_measure::{Extent, Link, Measured, Other, Pair, Placement, Setup, Transport, Wait};
use shm_measure::{Failure, Result, crowd, suite};
use std::process::ExitCode;
use std::time::Duration;

const LENGTHS: [usize; 7] = [8, 9, 56, 64, 1000, 64 << 10, 1 << 20];
const MESSAGES: Extent = Extent::Messages(300);
const TIME: Extent = Extent::Time(Duration::from_millis(5));

fn main() -> Result<ExitCode> {
    if shm_measure::play()? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    // Both processes of a pair spin.
    arguments.test_threads = Some(1);
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

fn trial(name: impl Into<String>, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(|error: Failure| Failed::from(error.to_string())))
}

fn trials() -> Vec<Trial> {
    let ways =
        Transport::ALL.iter().map(|&transport| trial(transport.name(), move || every_length(transport)));
    let mut trials: Vec<Trial> = ways.collect();
    trials.push(trial("a message that was changed on its way is noticed", changed));
    trials.push(trial("a process that hangs is killed and told of", hangs));
    trials.push(trial("a process that dies is told of", dies));
    trials.push(trial("many senders and receivers", many));
    trials.push(trial("sleepers use no processor", idle));
    trials.push(trial("each case is run three times", three_runs));
    trials
}

fn every_length(transport: Transport) -> Result<()> {
    for length in LENGTHS.into_iter().filter(|&length| transport.takes(length)) {
        for wait in [Wait::Spin, Wait::Sleep] {
            let mut pair = Setup { transport, length, wait }.start(Placement::Apart)?;
            let size = if transport == Transport::SpscHandover { 8 } else { length };
            for extent in [MESSAGES, TIME, MESSAGES] {
                let mut times = histogram()?;
                let trips = pair.round_trips(size, extent, &mut times)?;
                assert_eq!(trips.messages, times.len());
                // A bounce holds one message.
                if !matches!(transport, Transport::Bounce | Transport::Futex) {
                    assert!(pair.stream(size, extent)?.messages > 0);
                }
            }
        }
    }
    nothing_is_left()
}

/// No child, nothing with a name, no queue.
fn nothing_is_left() -> Result<()> {
    assert_eq!(children()?, [], "processes are left");
    let ours = format!("shm-measure-{}-", std::process::id());
    for directory in ["/dev/shm", "/tmp", "/dev/mqueue"] {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let name = entry?.file_name();
            assert!(!name.to_string_lossy().starts_with(&ours), "{directory}/{}", name.display());
        }
    }
    let creator = format!(" {} ", std::process::id());
    let queues = std::fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    assert!(!queues.contains(&creator), "a message queue is left: {queues}");
    Ok(())
}

fn children() -> Result<Vec<Pid>> {
    std::fs::read_to_string("/proc/thread-self/children")?; // whether the kernel tells of children at all
    let mut found = String::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        // One that has been joined may still be on its way out, and gone before its children are read: it has none.
        found += &std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
    }
    Ok(found.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
}

/// A link that sends every byte back, but one.
struct Spoils(Vec<u8>);

impl Link for Spoils {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0 = message.to_vec();
        *self.0.last_mut().ok_or("no bytes")? ^= 1;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        buffer[..self.0.len()].copy_from_slice(&self.0);
        Ok(self.0.len())
    }
}

fn changed() -> Result<()> {
    for length in [8, 64, 100, 5000] {
        let other = Other::thread(None, || Ok(Spoils(Vec::new())))?;
        let mut pair = Pair::new("spoilt", Spoils(Vec::new()), other);
        let error = pair.round_trips(length, Extent::Messages(1), &mut histogram()?).unwrap_err();
        assert!(error.to_string().contains("message 0 of"), "{error}");
    }
    Ok(())
}

fn started(transport: Transport) -> Result<(Box<dyn Measured>, Pid)> {
    let pair = Setup { transport, length: 8, wait: Wait::Spin }.start(Placement::Apart)?;
    let [child] = children()?.try_into().map_err(|_| "one child")?;
    Ok((pair, child))
}

fn hangs() -> Result<()> {
    for transport in [Transport::Spsc, Transport::Bounce] {
        let (mut pair, child) = started(transport)?;
        // Whenever that is, it has not come to its end: there is none.
        let stop = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            kill_process(child, Signal::STOP).unwrap();
        });
        let endless = Extent::TimeAndMessages(Duration::from_secs(1), u64::MAX);
        let error = pair.round_trips(8, endless, &mut histogram()?).unwrap_err().to_string();
        stop.join().unwrap();
        assert!(error.contains("not done after"), "{error}");
        drop(pair);
        nothing_is_left()?;
    }
    Ok(())
}

fn dies() -> Result<()> {
    for transport in [Transport::Spsc, Transport::Mpmc, Transport::Pipe, Transport::UnixSeqpacket] {
        let (mut pair, child) = started(transport)?;
        let kill = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            kill_process(child, Signal::KILL).unwrap();
        });
        let endless = Extent::TimeAndMessages(Duration::from_secs(60), u64::MAX);
        assert!(pair.round_trips(8, endless, &mut histogram()?).is_err());
        kill.join().unwrap();
        drop(pair);
        nothing_is_left()?;
    }
    Ok(())
}

fn many() -> Result<()> {
    let run = crowd::measure(1024, 3, Wait::Adaptive, Duration::from_millis(30))?;
    assert!(run.messages > 0);
    nothing_is_left()
}

fn idle() -> Result<()> {
    for transport in [Transport::Spsc, Transport::Mpmc] {
        let setup = Setup { transport, length: 64, wait: Wait::Adaptive };
        let usage = setup.start(Placement::Apart)?.idle(64, Duration::from_millis(500))?;
        assert!(usage.wakes_per_second < 100.0, "{usage:?}"); // polls would be thousands
    }
    nothing_is_left()
}

fn three_runs() -> Result<()> {
    let case = suite::Case::apart(Transport::Spsc, 64, Wait::Spin);
    let rows = suite::latency(&[case], Duration::from_millis(20))?;
    assert_eq!((rows[0].runs_p50_ns.len(), rows[0].verified), (3, rows[0].messages));
    let rows = suite::throughput(&[case], Duration::from_millis(20))?;
    assert_eq!((rows[0].runs_m_per_s.len(), rows[0].verified), (3, rows[0].messages));
    nothing_is_left()
}
