//! What the rings are held to, and what came of it.

use crate::measure::{Measured, RivalRate, RivalScale};
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

/// Runs of a case. Rows that are compared ran in turn, so runs of the same number were neighbours.
type Runs = Vec<f64>;

/// A ratio that must be at most so much.
fn at_most(what: impl Into<String>, limit: f64, ours: &[f64], theirs: &[f64]) -> Goal {
    ratio(what, "at most", limit, ours, theirs, |ratio| ratio <= limit)
}

/// A ratio that must be at least so much.
fn at_least(what: impl Into<String>, limit: f64, ours: &[f64], theirs: &[f64]) -> Goal {
    ratio(what, "at least", limit, ours, theirs, |ratio| ratio >= limit)
}

/// The median of the ratios of neighbouring runs, and the two that it comes from. A machine that changes between two
/// runs changes both of the pair, or is outvoted; two medians may come from before and after the change.
fn ratio(
    what: impl Into<String>,
    word: &str,
    limit: f64,
    ours: &[f64],
    theirs: &[f64],
    met: impl Fn(f64) -> bool,
) -> Goal {
    let target = format!("{word} {limit:.2}");
    let pairs = ours.iter().zip(theirs).filter(|pair| *pair.0 > 0.0 && *pair.1 > 0.0);
    let mut pairs: Vec<(f64, f64, f64)> =
        pairs.map(|(&ours, &theirs)| (ours / theirs, ours, theirs)).collect();
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some(&(found, ours, theirs)) = pairs.get(pairs.len() / 2) else {
        return goal(what, &target, "not measured".to_owned(), None);
    };
    let (one, other) = (digits(ours), digits(theirs));
    let end = |pair: Option<&(f64, f64, f64)>| pair.map_or(0.0, |pair| pair.0);
    let (least, most) = (end(pairs.first()), end(pairs.last()));
    let measured =
        format!("{found:.2} ({ours:.one$} and {theirs:.other$}; of all runs {least:.2} to {most:.2})");
    goal(what, &target, measured, Some(met(found)))
}

fn latency<'a>(rows: &'a [LatencyRow], kind: &str, size: usize, wait: &str) -> Option<&'a LatencyRow> {
    rows.iter().find(|row| row.kind == kind && row.size == size && row.wait == wait)
}

fn as_runs(values: &[u64]) -> Runs {
    values.iter().map(|&value| value as f64).collect()
}

fn p50(rows: &[LatencyRow], kind: &str, size: usize, wait: &str) -> Runs {
    latency(rows, kind, size, wait).map_or_else(Runs::new, |row| as_runs(&row.runs_p50_ns))
}

fn p999(rows: &[LatencyRow], kind: &str, size: usize, wait: &str) -> Runs {
    latency(rows, kind, size, wait).map_or_else(Runs::new, |row| as_runs(&row.runs_p999_ns))
}

fn rate(rows: &[ThroughputRow], kind: &str, size: usize, wait: &str) -> Runs {
    let row = rows.iter().find(|row| row.kind == kind && row.size == size && row.wait == wait);
    row.map_or_else(Runs::new, |row| row.runs_m_per_s.clone())
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
    let rows = &measured.neighbours.latency;
    let bounce = p50(rows, "bounce", 8, "spin");
    let spsc = |size, wait| p50(rows, "spsc", size, wait);
    let tail = |kind, size| at_most("", 1.5, &p999(rows, kind, size, "spin"), &p50(rows, kind, size, "spin"));
    let of_the_bounce = tail("bounce", 8).measured;
    let mut goals = vec![
        at_most("SPSC 64 B round trip, spinning, by a bare bounce, ns", 1.05, &spsc(64, "spin"), &bounce),
        at_most(
            "the same with 8 B, which with its header is a quarter of a line",
            1.05,
            &spsc(8, "spin"),
            &bounce,
        ),
        Goal {
            what: format!("SPSC 64 B round trip: p99.9 by p50, ns (of the bounce itself: {of_the_bounce})"),
            ..tail("spsc", 64)
        },
        at_most(
            "MPMC 64 B round trip, spinning, by a bare bounce, ns",
            1.6,
            &p50(rows, "mpmc", 64, "spin"),
            &bounce,
        ),
        at_most(
            "SPSC 64 B round trip, adaptive by spinning, ns",
            1.1,
            &spsc(64, "adaptive"),
            &spsc(64, "spin"),
        ),
    ];
    let of = |size: usize| {
        let row = measured.neighbours.handover.iter().find(|row| row.size == size);
        row.map_or_else(Runs::new, |row| as_runs(&row.runs_p50_ns))
    };
    goals.push(at_most("1 MiB handed over in place, by 64 B handed over, ns", 1.1, &of(1 << 20), &of(64)));
    goals
}

fn throughput(measured: &Measured) -> Vec<Goal> {
    let rows = &measured.neighbours.throughput;
    let mut goals = Vec::new();
    for size in [8, 64] {
        let rivals = measured.rivals.as_ref().map(|rivals| &rivals.throughput);
        let rates = rivals.into_iter().flatten().filter(|rival| rival.size == size);
        let (ours, theirs): (Vec<_>, Vec<_>) = rates.partition(|rival| rival.name.starts_with("shmring"));
        let median = |rival: &&RivalRate| Spread::of(&rival.runs_m_per_s).median;
        let best = |of: Vec<&'_ RivalRate>| {
            let best = of.into_iter().max_by(|one, other| median(one).total_cmp(&median(other)));
            best.map(|rival| (rival.runs_m_per_s.clone(), rival.name.clone())).unwrap_or_default()
        };
        let (ours, (theirs, name)) = (best(ours).0, best(theirs));
        let what = format!("SPSC {size} B, one per call, by the best rival ({name}), M/s");
        goals.push(at_least(what, 1.25, &ours, &theirs));
    }
    let lines = rate(rows, "lines", 56, "spin");
    goals.push(at_least("SPSC 64 B by stamped lines, M/s", 0.7, &rate(rows, "spsc", 64, "spin"), &lines));
    for (kind, size) in [("typed", 8), ("spsc", 64)] {
        let what = format!("SPSC {size} B, adaptive by spinning, M/s");
        goals.push(at_least(
            what,
            0.95,
            &rate(rows, kind, size, "adaptive"),
            &rate(rows, kind, size, "spin"),
        ));
    }
    for (size, text) in [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let thousands = |kind| rate(rows, kind, size, "spin").iter().map(|rate| rate * 1e3).collect::<Runs>();
        let what = format!("SPSC {text} by a bare copy through memory, thousand a second");
        goals.push(at_least(what, 0.9, &thousands("spsc"), &thousands("memory")));
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
            let runs = |rival: Option<&RivalScale>| {
                rival.map(|rival| rival.runs_m_per_s.clone()).unwrap_or_default()
            };
            let (ours, theirs) = (runs(found("shmring")), found(name));
            goals.push(match theirs {
                Some(rival) if is_stalled(Spread::of(&rival.runs_m_per_s).median) => {
                    let target = format!("at least {limit:.2}");
                    goal(what, &target, stalled(name, Spread::of(&ours).median, rival), None)
                }
                rival => at_least(what, limit, &ours, &runs(rival)),
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
        goals.push(at_most(what, 1.1, &p50(&measured.apart, kind, 64, "sleep"), &futex));
    }
    for size in [8, 64, 1 << 10, 64 << 10] {
        let (ours, pipe) =
            (p50(&measured.same, "spsc", size, "adaptive"), p50(&measured.same, "pipe", size, "sleep"));
        goals.push(at_most(
            format!("SPSC {size} B, both on one processor, by a pipe, ns"),
            1.0,
            &ours,
            &pipe,
        ));
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
