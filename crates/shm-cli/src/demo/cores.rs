//! Which processor each process stays on. Two processes that share a processor take turns instead of working at
//! once, and two on the halves of one core share its caches and its arithmetic: neither shows what a ring does.

use crate::failure::Failure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A processor for the producer and another for the consumer; of two cores where that can be had. `None` where
/// this process may run on one processor only.
pub(crate) fn apart() -> Option<(usize, usize)> {
    // More processors than the set can hold: then they are left where the kernel puts them.
    let allowed = sched_getaffinity(None).ok()?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    choose(&allowed, |cpu| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    })
}

/// The first two of `allowed` that lie on different cores, as `core` names them; or else the first two.
fn choose(allowed: &[usize], core: impl Fn(usize) -> Option<String>) -> Option<(usize, usize)> {
    let (first, rest) = allowed.split_first()?;
    let own = core(*first);
    let other = rest.iter().find(|cpu| core(**cpu) != own).or(rest.first())?;
    Some((*first, *other))
}

/// Keeps the calling thread on one processor.
pub(crate) fn pin(cpu: usize) -> Result<(), Failure> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)
        .map_err(|errno| Failure::error(format!("this process can not stay on CPU {cpu}: {errno}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_two_cores_are_chosen() {
        let halves = |cpu: usize| Some(format!("{}", cpu / 2));
        assert_eq!(choose(&[0, 1, 2, 3], halves), Some((0, 2)));
        assert_eq!(choose(&[1, 2], halves), Some((1, 2)));
        assert_eq!(choose(&[4, 5], halves), Some((4, 5)), "better halves of one than one");
        assert_eq!(choose(&[3, 7], |_| None), Some((3, 7)), "nothing is known of cores");
        assert_eq!(choose(&[3], halves), None);
        assert_eq!(choose(&[], halves), None);
    }
}
