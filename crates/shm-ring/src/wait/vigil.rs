//! Watching over those one waits for: a sleeper sleeps on their life words as well, so that the kernel wakes it
//! when one of them dies.
//!
//! A mark in a life word is a suspicion and not a verdict: the kernel makes it while the process is still being
//! taken down, and frees the locks, which are the verdict, only afterwards. So after a mark the kernel is asked at
//! short intervals.
//!
//! A word is looked at once before a sleep, and slept on while it holds what was seen, whatever that is: a mark that
//! comes after the look refuses the sleep or ends it, and one that was acted upon does neither.
//!
//! Without life words (a kernel before 5.16, a container's filter, more than 127 to watch) every sleep ends after a
//! slice.

use crate::error::Result;
use crate::wait::SLICE;
use shm_core::{Deadline, LifeState, ReadWord, life, wait_any};
use std::time::Duration;

/// Between two questions to the kernel after a mark, at first and at most.
const PROBE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(1));
/// So long the kernel is asked at short intervals. A process may take longer to die, or the machine may pause; then the
/// kernel is asked once in a slice, until it is known who died.
const SUSPICION: Duration = Duration::from_secs(1);

/// One of those who are watched.
#[derive(Debug)]
struct Watched {
    word: ReadWord<u32>,
    /// What it held when it was looked at last; a mark in it was acted upon.
    seen: u32,
}

/// Those one waits for, and when to ask the kernel next whether they live.
#[derive(Debug)]
pub(crate) struct Vigil {
    watched: Vec<Watched>,
    next_probe: Deadline,
    /// While somebody is suspected: time until the next question, and when to stop asking so often.
    suspicion: Option<(Duration, Deadline)>,
    backstop: bool,
}

impl Vigil {
    /// `backstop`: whether the kernel is asked now and then without any suspicion.
    pub(crate) fn new(backstop: bool) -> Self {
        let mut vigil = Self { watched: Vec::new(), next_probe: Deadline::NEVER, suspicion: None, backstop };
        vigil.probed();
        vigil
    }

    /// Watches these from now on. Call it again when others come: all marks look alike.
    pub(crate) fn watch(&mut self, words: impl IntoIterator<Item = ReadWord<u32>>) {
        self.watched.clear();
        self.watched.extend(words.into_iter().map(|word| Watched { word, seen: 0 }));
    }

    /// When the kernel is to be asked next.
    #[inline(always)]
    pub(crate) fn next_probe(&self) -> Deadline {
        self.next_probe
    }

    /// It was asked.
    pub(crate) fn probed(&mut self) {
        self.next_probe = match self.suspicion {
            Some((interval, end)) if !end.has_passed() => {
                self.suspicion = Some(((interval * 2).min(PROBE.1), end));
                Deadline::after(interval)
            }
            None if !self.backstop => Deadline::NEVER,
            _ => Deadline::after(SLICE),
        };
    }

    /// Something was seen that may mean that somebody has gone: the kernel is to be asked now, and, if it was a
    /// mark, at short intervals from now on.
    pub(crate) fn look_soon(&mut self, marked: bool) {
        if marked {
            self.suspicion = Some((PROBE.0, Deadline::after(SUSPICION)));
        }
        self.next_probe = Deadline::about_now(); // passed for those as well who look at the coarse clock
    }

    /// Nobody is suspected any more: whoever was is known to be dead, or alive.
    pub(crate) fn calm(&mut self) {
        if self.suspicion.take().is_some() {
            self.probed();
        }
    }

    /// Sleeps while the word holds the value beside it, nobody who is watched dies, and the deadline has not
    /// passed. `true`: somebody may have died. May return early.
    pub(crate) fn sleep(&mut self, word: (&ReadWord<u32>, u32), until: Deadline) -> Result<bool> {
        if self.suspects() {
            return Ok(true);
        }
        self.sleep_on_what_was_seen(word, until)
    }

    fn sleep_on_what_was_seen(&mut self, word: (&ReadWord<u32>, u32), until: Deadline) -> Result<bool> {
        match self.watched.as_slice() {
            // The usual case needs no memory.
            [one] => wait_any(word, &[(&one.word, one.seen)], until)?,
            all => {
                let all: Vec<_> = all.iter().map(|watched| (&watched.word, watched.seen)).collect();
                wait_any(word, &all, until)?
            }
        };
        Ok(self.suspects())
    }

    /// Whether a word was marked since it was looked at last.
    fn suspects(&mut self) -> bool {
        let mut marked = false;
        for watched in &mut self.watched {
            let value = life::look(&watched.word);
            marked |= life::state(value) == LifeState::Marked && watched.seen != value;
            watched.seen = value;
        }
        if marked {
            self.look_soon(true);
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_core::Region;
    use shm_core::sync::Ordering;

    const ALIVE: u32 = 0x8000_0001;
    const MARKED: u32 = 0xC000_0000;

    #[test]
    fn a_mark_ends_the_sleep_once_and_asks_for_the_kernel() {
        let region = Region::on_heap(128).unwrap();
        let life = region.word::<u32>(64).unwrap();
        life.store(ALIVE, Ordering::Relaxed); // one thread
        let (word, mut vigil) = (region.read_word(0).unwrap(), Vigil::new(false));
        vigil.watch([life.reader()]);
        let soon = || Deadline::after(Duration::from_millis(1));
        assert!(!vigil.sleep((&word, 0), soon()).unwrap());
        assert!(!vigil.next_probe().has_passed());
        life.store(MARKED, Ordering::Relaxed); // one thread
        assert!(vigil.sleep((&word, 0), Deadline::NEVER).unwrap()); // for ever otherwise
        assert!(vigil.next_probe().has_passed());
        // The same mark does not end every sleep from now on.
        assert!(!vigil.sleep((&word, 0), soon()).unwrap());
        vigil.probed();
        assert_ne!(vigil.next_probe(), Deadline::NEVER);
        // However long it takes.
        vigil.suspicion = Some((PROBE.1, Deadline::now()));
        vigil.probed();
        assert_ne!(vigil.next_probe(), Deadline::NEVER);
        vigil.calm();
        assert_eq!(vigil.next_probe(), Deadline::NEVER);
    }

    #[test]
    fn a_mark_between_the_look_and_the_sleep_refuses_the_sleep() {
        let region = Region::on_heap(128).unwrap();
        let life = region.word::<u32>(64).unwrap();
        for before in [0, ALIVE] {
            life.store(before, Ordering::Relaxed); // one thread
            let (word, mut vigil) = (region.read_word(0).unwrap(), Vigil::new(false));
            vigil.watch([life.reader()]);
            assert!(!vigil.suspects());
            life.store(MARKED, Ordering::Relaxed); // one thread
            assert!(vigil.sleep_on_what_was_seen((&word, 0), Deadline::NEVER).unwrap()); // for ever otherwise
        }
    }
    /// After a mark the kernel is asked again and again, less and less often.
    #[test]
    fn questions_after_a_mark_become_rarer_up_to_a_limit() {
        let mut vigil = Vigil::new(false);
        let end = Deadline::after(Duration::from_secs(3600));
        vigil.suspicion = Some((PROBE.0, end));
        for factor in [2, 4, 8, 16] {
            vigil.probed();
            assert_eq!(vigil.suspicion.map(|(interval, _)| interval), Some(PROBE.0 * factor));
        }
        for _ in 0..3 {
            vigil.probed();
            assert_eq!(vigil.suspicion.map(|(interval, _)| interval), Some(PROBE.1));
        }
    }

    #[test]
    fn without_a_suspicion_only_a_backstop_asks() {
        let mut vigil = Vigil::new(true);
        let first = vigil.next_probe();
        assert_ne!(first, Deadline::NEVER);
        vigil.calm();
        assert_eq!(vigil.next_probe(), first, "there was nothing to calm");
        let mut vigil = Vigil::new(false);
        assert_eq!(vigil.next_probe(), Deadline::NEVER);
        vigil.probed();
        assert_eq!(vigil.next_probe(), Deadline::NEVER);
    }

    /// Of many, one marked is enough; and each is acted upon once.
    #[test]
    fn each_mark_counts_once_whichever_word_it_is_in() {
        let region = Region::on_heap(128).unwrap();
        let lives = [64, 68, 72].map(|at| region.word::<u32>(at).unwrap());
        let mut vigil = Vigil::new(false);
        vigil.watch(lives.each_ref().map(|life| life.reader()));
        assert!(!vigil.suspects());
        for life in [&lives[1], &lives[0], &lives[2]] {
            life.store(MARKED, Ordering::Relaxed); // one thread
            assert!(vigil.suspects());
            assert!(!vigil.suspects());
        }
        // Others come: what was marked before is not known of them.
        vigil.watch([lives[0].reader()]);
        assert!(vigil.suspects());
        vigil.watch([]);
        lives[1].store(MARKED | 1, Ordering::Relaxed); // one thread
        assert!(!vigil.suspects(), "nobody is watched");
    }
}
