//! Keys for the System V segments of one test, and the check that none of its segments stays behind.

use crate::{Peer, peer};
use rustix::rand::{GetRandomFlags, getrandom};
use shm_core::sysv::{self, Key, Stat};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// The segments of one test: those whose key begins with 16 bits of its own, and those that its processes have created.
///
/// Dropping it fails the test if one of them still exists: debris. Debris is removed, with companions in `/dev/shm`;
/// also if the test is killed.
#[derive(Debug)]
pub struct Segments {
    /// What the keys of this test begin with.
    prefix: i32,
    state: Mutex<State>,
    /// What was there before, should a process of ours get the number of one that has left a segment.
    before: Vec<i32>,
    /// Removes everything should this process be killed: it reads process ids until the pipe to it closes.
    survivor: Child,
}

#[derive(Debug)]
struct State {
    keys: i32,
    processes: Vec<u32>,
}

impl Segments {
    /// A prefix that no segment has, and a process that cleans up should this one be killed.
    pub fn new() -> Self {
        // Columns: key (decimal), id, mode, size, pid of the creator.
        const SCRIPT: &str = "trap '' INT TERM HUP; pids=\" $2 \"; \
            while read -r pid; do pids=\"$pids$pid \"; done; \
            tries=0; for pid in $pids; do \
                while [ $pid != $2 ] && kill -0 $pid 2>/dev/null && [ $tries -lt 50 ]; do \
                    tries=$((tries + 1)); sleep 0.1; \
                done; \
            done; \
            { read -r header; while read -r key id mode size pid rest; do \
                ours=; [ $((key >> 16)) -eq $1 ] && ours=1; \
                case \"$pids\" in *\" $pid \"*) case \" $3 \" in *\" $id \"*) ;; *) ours=1;; esac;; esac; \
                [ -n \"$ours\" ] && ipcrm -m $id; \
            done; } </proc/sysvipc/shm 2>/dev/null; \
            rm -f /dev/shm/.shmring-sysv-$(printf 0x%04x $1)*";
        let before = sysv::list().unwrap();
        let taken =
            |prefix: i32| before.iter().any(|one| one.key.is_some_and(|key| key.as_raw() >> 16 == prefix));
        let prefix = std::iter::repeat_with(random_prefix).find(|&prefix| !taken(prefix)).unwrap();
        let before: Vec<i32> = before.iter().map(|segment| segment.id).collect();
        let ids: Vec<String> = before.iter().map(i32::to_string).collect();
        let me = std::process::id();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", &prefix.to_string(), &me.to_string(), &ids.join(" ")]);
        let survivor = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Self { prefix, state: Mutex::new(State { keys: 0, processes: vec![me] }), before, survivor }
    }

    /// A key that no segment has.
    pub fn key(&self) -> Key {
        let mut state = self.state.lock().unwrap();
        state.keys += 1;
        Key::new(self.prefix << 16 | state.keys).unwrap()
    }

    /// Starts a process in a role that [begins](begin) when its segments would be cleaned up.
    pub fn start(&mut self, role: &str, arguments: &[&str]) -> Peer {
        self.entrust(Peer::start(role, arguments))
    }

    /// The same, by way of another program that leaves the process id as it is.
    pub fn start_through(&mut self, wrapper: &[&str], role: &str, arguments: &[&str]) -> Peer {
        self.entrust(Peer::start_through(wrapper, role, arguments))
    }

    fn entrust(&mut self, mut peer: Peer) -> Peer {
        self.state.lock().unwrap().processes.push(peer.pid());
        writeln!(self.survivor.stdin.as_mut().unwrap(), "{}", peer.pid()).unwrap();
        peer.tell("begin");
        peer
    }

    /// The segments of this test that exist now.
    pub fn listing(&self) -> Vec<Stat> {
        let mut all = sysv::list().unwrap();
        all.retain(|segment| self.is_ours(segment));
        all
    }

    fn is_ours(&self, segment: &Stat) -> bool {
        let has_our_key = segment.key.is_some_and(|key| key.as_raw() >> 16 == self.prefix);
        let by_ours =
            segment.creator_pid.is_some_and(|pid| self.state.lock().unwrap().processes.contains(&pid));
        has_our_key || by_ours && !self.before.contains(&segment.id)
    }
}

impl Default for Segments {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        let mut debris = self.listing();
        // One that is marked goes with those who have attached it, at the latest when they end.
        debris.retain(|left| !left.marked_for_removal);
        for left in &debris {
            let _ = sysv::Segment::from_id(left.id).remove();
        }
        drop(self.survivor.stdin.take());
        let _ = self.survivor.wait();
        // A test that fails anyway should be heard for its own reason.
        assert!(debris.is_empty() || std::thread::panicking(), "segments are left: {debris:?}");
    }
}

/// In a role: waits until the test is ready to clean up behind this process.
pub fn begin() {
    assert_eq!(peer::listen().as_deref(), Some("begin"), "the test has ended");
}

/// Positive, so that shells shift it as we do, and never 0.
fn random_prefix() -> i32 {
    let mut random = [0; 2];
    assert_eq!(getrandom(&mut random, GetRandomFlags::empty()), Ok(2));
    i32::from(u16::from_ne_bytes(random) & 0x7fff | 0x4000)
}
