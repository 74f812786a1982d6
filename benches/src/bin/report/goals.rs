//! What the rings are held to, and what came of it.

use crate::measure::{Measured, RivalScale};
use shm_measure::crowd::is_stalled;
use shm_measure::spread::{Spread, digits};
use shm_measure::suite::{LatencyRow, ThroughputRow};

/// A goal, and what was measured.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) measured: String,
    /// `None`: not measured.
    pub(crate) met: Option<bool>,
}

fn goal(what: impl Into<String>, target: &str, measured: String, met: Option<bool>) -> Goal {
    Goal { what: what.into(), target: target.to_owned(), measured, met }
}

/// A ratio that must be at most so much.
fn at_most(what: impl Into<String>, limit: f64, ours: f64, theirs: f64) -> Goal {
    ratio(what, "at most", limit, ours, theirs, |ratio| ratio <= limit)
}

/// A ratio that must be at least so much.
fn at_least(what: impl Into<String>, limit: f64, ours: f64, theirs: f64) -> Goal {
    ratio(what, "at least", limit, ours, theirs, |ratio| ratio >= limit)
}

fn ratio(
    what: impl Into<String>,
    word: &str,
    limit: f64,
    ours: f64,
    theirs: f64,
    met: impl Fn(f64) -> bool,
) -> Goal {
    let target = format!("{word} {limit:.2}");
    if ours <= 0.0 || theirs <= 0.0 {
        return goal(what, &target, "not measured".to_owned(), None);
    }
    let found = ours / theirs;
    let (one, other) = (digits(ours), digits(theirs));
    let measured = format!("{found:.2} ({ours:.one$} and {theirs:.other$})");
    goal(what, &target, measured, Some(met(found)))
}

fn latency<'a>(rows: &'a [LatencyRow], kind: &str, size: usize, wait: &str) -> Option<&'a LatencyRow> {
    rows.iter().find(|row| row.kind == kind && row.size == size && row.wait == wait)
}

fn p50(rows: &[LatencyRow], kind: &str, size: usize, wait: &str) -> f64 {
    latency(rows, kind, size, wait).map_or(0.0, |row| row.p50_ns as f64)
}

fn rate(rows: &[ThroughputRow], kind: &str, size: usize, wait: &str) -> f64 {
    let row = rows.iter().find(|row| row.kind == kind && row.size == size && row.wait == wait);
    row.map_or(0.0, |row| row.m_per_s)
}

/// All goals, in the order in which they are told.
pub(crate) fn all(measured: &Measured) -> Vec<Goal> {
    let mut goals = round_trips(measured);
    goals.extend(throughput(measured));
    goals.extend(many(measured));
    goals.extend(sleeping(measured));
    goals.extend(costs(measured));
    goals
}

fn round_trips(measured: &Measured) -> Vec<Goal> {
    let rows = &measured.latency;
    let bounce = p50(rows, "bounce", 8, "spin");
    let spsc = |size, wait| p50(rows, "spsc", size, wait);
    let p999 = latency(rows, "spsc", 64, "spin").map_or(0.0, |row| row.p999_ns as f64);
    let mut goals = vec![
        at_most("SPSC 64 B round trip, spinning, by a bare bounce, ns", 1.05, spsc(64, "spin"), bounce),
        at_most("the same with 56 B, which with its header is one line", 1.05, spsc(56, "spin"), bounce),
        at_most("SPSC 64 B round trip: p99.9 by p50, ns", 1.5, p999, spsc(64, "spin")),
        at_most(
            "MPMC 64 B round trip, spinning, by a bare bounce, ns",
            1.6,
            p50(rows, "mpmc", 64, "spin"),
            bounce,
        ),
        at_most(
            "SPSC 64 B round trip, adaptive by spinning, ns",
            1.1,
            spsc(64, "adaptive"),
            spsc(64, "spin"),
        ),
    ];
    let of = |size: usize| {
        measured.handover.iter().find(|row| row.size == size).map_or(0.0, |row| row.p50_ns as f64)
    };
    goals.push(at_most("1 MiB handed over in place, by 64 B handed over, ns", 1.1, of(1 << 20), of(64)));
    goals
}

fn throughput(measured: &Measured) -> Vec<Goal> {
    let rows = &measured.throughput;
    let mut goals = Vec::new();
    for size in [8, 64] {
        let rivals = measured.rivals.as_ref().map(|rivals| &rivals.throughput);
        let rates = rivals.into_iter().flatten().filter(|rival| rival.size == size);
        let (ours, theirs): (Vec<_>, Vec<_>) = rates.partition(|rival| rival.name.starts_with("shmring"));
        let best = |of: &[&crate::measure::RivalRate]| {
            let rates = of.iter().map(|rival| (Spread::of(&rival.runs_m_per_s).median, rival.name.clone()));
            rates.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
        };
        let (ours, (theirs, name)) = (best(&ours).0, best(&theirs));
        let what = format!("SPSC {size} B, one per call, by the best rival ({name}), M/s");
        goals.push(at_least(what, 1.25, ours, theirs));
    }
    let lines = rate(rows, "lines", 56, "spin");
    goals.push(at_least("SPSC 64 B by stamped lines, M/s", 0.7, rate(rows, "spsc", 64, "spin"), lines));
    for (kind, size) in [("typed", 8), ("spsc", 64)] {
        let what = format!("SPSC {size} B, adaptive by spinning, M/s");
        goals.push(at_least(what, 0.95, rate(rows, kind, size, "adaptive"), rate(rows, kind, size, "spin")));
    }
    for (size, text) in [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let (ours, copy) = (rate(rows, "spsc", size, "spin") * 1e3, rate(rows, "memory", size, "spin") * 1e3);
        goals.push(at_least(
            format!("SPSC {text} by a bare copy through memory, thousand a second"),
            0.9,
            ours,
            copy,
        ));
    }
    goals
}

fn many(measured: &Measured) -> Vec<Goal> {
    let mut goals = Vec::new();
    let rivals = measured.rivals.as_ref().map(|rivals| rivals.scale.as_slice()).unwrap_or_default();
    for (name, limit) in [("crossbeam ArrayQueue", 1.5), ("shaq", 3.0)] {
        for row in &measured.scale {
            let found = |wanted: &str| {
                let same = |rival: &&RivalScale| {
                    rival.name == wanted && (rival.capacity, rival.pairs) == (row.capacity, row.pairs)
                };
                rivals.iter().find(same)
            };
            let what = format!("MPMC 56 B, {0}+{0}, capacity {1}, by {name}, M/s", row.pairs, row.capacity);
            let median = |rival: &RivalScale| Spread::of(&rival.runs_m_per_s).median;
            let ours = found("shmring").map_or(0.0, median);
            goals.push(match found(name) {
                Some(rival) if is_stalled(median(rival)) => {
                    let target = format!("at least {limit:.2}");
                    goal(what, &target, stalled(name, ours, rival), None)
                }
                rival => at_least(what, limit, ours, rival.map_or(0.0, median)),
            });
        }
    }
    goals
}

/// What is said instead of a ratio.
fn stalled(name: &str, ours: f64, rival: &RivalScale) -> String {
    let (failed, digits) = (rival.failures.len(), digits(ours));
    let all = failed + rival.runs_m_per_s.len();
    let how = match rival.runs_m_per_s.as_slice() {
        [] => "came to no end".to_owned(),
        runs => format!("stalls at {:.4}", Spread::of(runs).median),
    };
    format!("not comparable: {name} {how} ({failed} of {all} runs given up); {ours:.digits$} here")
}

fn sleeping(measured: &Measured) -> Vec<Goal> {
    let futex = p50(&measured.apart, "futex", 8, "sleep");
    let mut goals = Vec::new();
    for kind in ["spsc", "mpmc"] {
        let what = format!("{} 64 B, both asleep, two processors, by a bare futex, ns", kind.to_uppercase());
        goals.push(at_most(what, 1.1, p50(&measured.apart, kind, 64, "sleep"), futex));
    }
    for size in [8, 64, 1 << 10, 64 << 10] {
        let (ours, pipe) =
            (p50(&measured.same, "spsc", size, "adaptive"), p50(&measured.same, "pipe", size, "sleep"));
        goals.push(at_most(format!("SPSC {size} B, both on one processor, by a pipe, ns"), 1.0, ours, pipe));
    }
    goals
}

fn costs(measured: &Measured) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (kind, usage) in &measured.idle {
        let (percent, wakes) = (usage.processor_percent, usage.wakes_per_second);
        let bare = measured.sleeper.processor_percent;
        let found = format!("{percent:.2} %, {wakes:.1} a second (who only sleeps as often: {bare:.2} %)");
        let met = percent < 0.1 && wakes < 10.05; // as it is shown
        goals.push(goal(
            format!("{kind} at rest: processor, wake-ups"),
            "0 % (below 0.1 %), at most 10.0 a second",
            found,
            Some(met),
        ));
    }
    for (what, took) in [("created", measured.startup.create_us), ("opened", measured.startup.open_us)] {
        let met = Some(took.median < 100.0);
        goals.push(goal(
            format!("1 MiB ring {what}, us (10th to 90th of 100)"),
            "below 100",
            took.to_string(),
            met,
        ));
    }
    goals
}
