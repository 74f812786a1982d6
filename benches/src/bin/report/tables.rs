//! The page and its pictures.

use crate::files::{Speeds, Way};
use crate::goals;
use crate::measure::{Measured, RivalRate};
use shm_measure::Result;
use shm_measure::crowd::is_stalled;
use shm_measure::plot::{self, Line};
use shm_measure::spread::{Spread, digits};
use shm_measure::suite::{LatencyRow, ThroughputRow};
use std::fmt::Write;
use std::path::Path;

const METHOD: &str = include_str!("method.md");
const LOG: &str = include_str!("log.md");

/// Draws the pictures into the folder of the page.
pub(crate) fn draw(measured: &Measured, docs: &Path) -> Result<()> {
    let mut lines = Vec::new();
    let is_limit = |row: &LatencyRow| ["bounce", "lines"].contains(&row.kind);
    for row in measured.latency.iter().filter(|row| !is_limit(row) && row.wait == "spin") {
        for (what, value) in [("p50", row.p50_ns), ("p99", row.p99_ns), ("p99.9", row.p999_ns)] {
            add(&mut lines, format!("{} {what}", row.kind), row.size, value as f64);
        }
    }
    let title = "Round trips between two processes, spinning";
    plot::lines(&docs.join("latency.svg"), title, "nanoseconds", &lines)?;
    let mut lines = Vec::new();
    for row in &measured.ways_throughput {
        add(&mut lines, row.kind.to_owned(), row.size, row.m_per_s);
    }
    let title = "Throughput between two processes, one message per call";
    plot::lines(&docs.join("throughput.svg"), title, "million messages a second", &lines)?;
    let mut lines = Vec::new();
    for row in &measured.ways_latency {
        add(&mut lines, row.kind.to_owned(), row.size, row.p50_ns as f64);
    }
    plot::lines(&docs.join("round-trips.svg"), "Median round trips", "nanoseconds", &lines)
}

fn add(lines: &mut Vec<Line>, name: String, size: usize, value: f64) {
    let point = (size as f64, value);
    match lines.iter_mut().find(|line| line.name == name) {
        Some(line) => line.points.push(point),
        None => lines.push(Line { name, points: vec![point] }),
    }
}

/// docs/performance.md.
pub(crate) fn page(measured: &Measured) -> Result<String> {
    let mut page = String::from(METHOD);
    let [before, after] = &measured.load;
    writeln!(
        page,
        "\n## Machine\n\n{}. Its load was {before} before and {after} after (each measurement",
        measured.machine
    )?;
    writeln!(
        page,
        "is a load of 2 itself): where it was more than 2 before, other work was in the way of every figure."
    )?;
    goals_table(&mut page, measured)?;
    latencies(&mut page, measured)?;
    throughputs(&mut page, measured)?;
    sleepers(&mut page, measured)?;
    many(&mut page, measured)?;
    kernel(&mut page, measured)?;
    rivals(&mut page, measured)?;
    rest(&mut page, measured)?;
    page.push_str(LOG);
    Ok(page)
}

fn goals_table(page: &mut String, measured: &Measured) -> Result<()> {
    let goals = goals::all(measured);
    let (met, missed) = goals.iter().fold((0, 0), |(met, missed), goal| match goal.met {
        Some(true) => (met + 1, missed),
        Some(false) => (met, missed + 1),
        None => (met, missed),
    });
    let unknown = goals.len() - met - missed;
    writeln!(page, "\n## Goals\n\n{met} met, {missed} missed, {unknown} not measured in this run.\n")?;
    writeln!(page, "| what | goal | measured | |\n|---|---|---|---|")?;
    for goal in goals {
        let word = match goal.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        writeln!(page, "| {} | {} | {} | {word} |", goal.what, goal.target, goal.measured)?;
    }
    Ok(())
}

fn latency_table<'a>(page: &mut String, rows: impl Iterator<Item = &'a LatencyRow>) -> Result<()> {
    writeln!(page, "| way | waits | bytes | p50 ns | of three runs | p99 ns | p99.9 ns | verified |")?;
    writeln!(page, "|---|---|---:|---:|---:|---:|---:|---:|")?;
    for row in rows {
        let (least, most) = (row.runs_p50_ns.iter().min(), row.runs_p50_ns.iter().max());
        let range = format!("{} to {}", least.unwrap_or(&0), most.unwrap_or(&0));
        let (kind, wait, size, verified) = (row.kind, row.wait, row.size, row.verified);
        let (p50, p99, p999) = (row.p50_ns, row.p99_ns, row.p999_ns);
        writeln!(page, "| {kind} | {wait} | {size} | {p50} | {range} | {p99} | {p999} | {verified} |")?;
    }
    Ok(())
}

fn latencies(page: &mut String, measured: &Measured) -> Result<()> {
    writeln!(page, "\n## Round trips\n\n![round trips](latency.svg)\n")?;
    latency_table(page, measured.latency.iter())?;
    let text = "\nWhat limits them: two cache lines have to change hands, which is the `bounce`, or `lines` where it \
                is another line each time, which nobody looks at while it is written. A message with its header of 8 \
                bytes takes a line for each 64 bytes, so that one of 56 takes one line and one of 64 takes two. From a \
                few KiB on it is the copying.\n\n### Handed over in place\n\nSpace of that length is reserved, 8 \
                bytes of it are written and read where they lie, the space is given back:\n";
    writeln!(page, "{text}")?;
    latency_table(page, measured.handover.iter())
}

fn throughput_table<'a>(page: &mut String, rows: impl Iterator<Item = &'a ThroughputRow>) -> Result<()> {
    writeln!(
        page,
        "| way | waits | bytes | M/s (of three runs) | GB/s | verified |\n|---|---|---:|---:|---:|---:|"
    )?;
    for row in rows {
        let (kind, wait, size, verified) = (row.kind, row.wait, row.size, row.verified);
        let (rates, bytes) = (rates(&row.runs_m_per_s), number(row.gb_per_s));
        writeln!(page, "| {kind} | {wait} | {size} | {rates} | {bytes} | {verified} |")?;
    }
    Ok(())
}

fn rates(runs: &[f64]) -> String {
    let spread = Spread::of(runs);
    format!("{} ({} to {})", number(spread.median), number(spread.least), number(spread.most))
}

fn number(value: f64) -> String {
    let digits = if value < 0.1 { 4 } else { digits(value) };
    format!("{value:.digits$}")
}

fn throughputs(page: &mut String, measured: &Measured) -> Result<()> {
    writeln!(page, "\n## Throughput\n")?;
    throughput_table(page, measured.throughput.iter())?;
    let text = "\nWhat limits it: for short messages, how fast lines go from one processor's \
                cache to the other's (`words` and `lines` are just that, each with a stamp and \
                nothing else); for long ones, a copy in and a copy out (`memory`).";
    Ok(writeln!(page, "{text}")?)
}

fn sleepers(page: &mut String, measured: &Measured) -> Result<()> {
    writeln!(page, "\n## Asleep\n\nOn two processors:\n")?;
    latency_table(page, measured.apart.iter())?;
    writeln!(page, "\nOn one:\n")?;
    latency_table(page, measured.same.iter())?;
    let text = "\nWhat limits them: the kernel's sleeping and waking, twice in a round trip; on \
                two processors also the interrupt that wakes an idle one. `futex` is a bare \
                ping-pong of FUTEX_WAIT and FUTEX_WAKE.";
    Ok(writeln!(page, "{text}")?)
}

fn many(page: &mut String, measured: &Measured) -> Result<()> {
    writeln!(
        page,
        "\n## Many senders, many receivers\n\nMessages of 56 bytes, each participant a process.\n"
    )?;
    writeln!(page, "| capacity | participants | M/s (of three runs) | verified |\n|---:|---|---:|---:|")?;
    for row in &measured.scale {
        let (capacity, pairs, verified) = (row.capacity, row.pairs, row.verified);
        writeln!(page, "| {capacity} | {pairs} + {pairs} | {} | {verified} |", rates(&row.runs_m_per_s))?;
    }
    let text = "\nWhat limits it: each message moves two lines, that of its slot and that of its \
                block, the second known only when the first is there.";
    Ok(writeln!(page, "{text}")?)
}

fn kernel(page: &mut String, measured: &Measured) -> Result<()> {
    let text = "\n## Beside what the kernel has\n\nRings wait as they do by default (adaptive); \
                all else as it does. Buffers are as large as the system makes them. A way that \
                does not take a length is left out there: Unix datagrams and packets above 128 \
                KiB, message queues above 8 KiB.\n\n![throughput](throughput.svg)\n";
    writeln!(page, "{text}")?;
    throughput_table(page, measured.ways_throughput.iter())?;
    writeln!(page, "\n![round trips](round-trips.svg)\n")?;
    latency_table(page, measured.ways_latency.iter())
}

fn rivals(page: &mut String, measured: &Measured) -> Result<()> {
    let Some(rivals) = &measured.rivals else {
        return Ok(writeln!(
            page,
            "\n## Beside other queues\n\nNot measured in this run: `benches/report` does."
        )?);
    };
    let text = "\n## Beside other queues\n\nMeasured in one run of theirs, in turn (`cargo run \
                --release` in `benches/rivals`): between processes where they can be, otherwise \
                between threads, as it says. Spinning.\n";
    writeln!(page, "{text}")?;
    writeln!(page, "| queue | bytes | M/s (of three runs) |\n|---|---:|---:|")?;
    for RivalRate { name, size, runs_m_per_s } in &rivals.throughput {
        writeln!(page, "| {name} | {size} | {} |", rates(runs_m_per_s))?;
    }
    writeln!(page, "\nRound trips of 64 bytes:\n\n| queue | p50 ns | p99.9 ns |\n|---|---:|---:|")?;
    for rival in &rivals.latency {
        writeln!(page, "| {} | {} | {} |", rival.name, rival.p50_ns, rival.p999_ns)?;
    }
    writeln!(
        page,
        "\nMany senders and receivers, 56 bytes:\n\n| queue | capacity | participants | M/s |\n|---|---:|---|---:|"
    )?;
    for rival in &rivals.scale {
        let (name, capacity, pairs) = (&rival.name, rival.capacity, rival.pairs);
        let all = rival.failures.len() + rival.runs_m_per_s.len();
        let mut cell = match rival.runs_m_per_s.as_slice() {
            [] => String::new(),
            runs => rates(runs),
        };
        if let Some(why) = rival.failures.last() {
            let between = if cell.is_empty() { "" } else { "; " };
            write!(cell, "{between}{} of {all} runs came to no end: {why}", rival.failures.len())?;
        }
        writeln!(page, "| {name} | {capacity} | {pairs} + {pairs} | {cell} |")?;
    }
    if rivals.scale.iter().any(|rival| is_stalled(Spread::of(&rival.runs_m_per_s).median)) {
        let text = "\nA rate below 0.01 is that of time slices: whoever has reserved a place and is \
                    interrupted before it publishes it keeps all others of its role from publishing, who \
                    spin until their own slices are over. Such rows are compared with nothing.";
        writeln!(page, "{text}")?;
    }
    Ok(())
}

fn rest(page: &mut String, measured: &Measured) -> Result<()> {
    let startup = &measured.startup;
    writeln!(page, "\n## What else it costs\n\n| what | |\n|---|---|")?;
    writeln!(page, "| a ring of 1 MiB made, microseconds | {} |", startup.create_us)?;
    writeln!(page, "| joined | {} |", startup.open_us)?;
    writeln!(
        page,
        "| memory beyond the capacity, SPSC | {} bytes, and 8 for each message |",
        startup.spsc_overhead_bytes
    )?;
    let (overhead, each) = (startup.mpmc_overhead_bytes, startup.mpmc_overhead_bytes as f64 / 1024.0);
    writeln!(
        page,
        "| beyond the messages, MPMC of 1,024 times 64 bytes | {overhead} bytes, {each:.0} for each message |"
    )?;
    let at_rest = measured.idle.iter().map(|(kind, usage)| (format!("an {kind} receiver at rest"), usage));
    let bare = ("a thread that only sleeps, as often".to_owned(), &measured.sleeper);
    for (what, usage) in at_rest.chain([bare]) {
        let (percent, wakes) = (usage.processor_percent, usage.wakes_per_second);
        writeln!(page, "| {what} | {percent:.2} % of a processor, {wakes:.1} wake-ups a second |")?;
    }
    if let Some(files) = &measured.files {
        from_file_to_file(page, files)?;
    }
    Ok(())
}

fn from_file_to_file(page: &mut String, files: &Speeds) -> Result<()> {
    let text = "\n### From file to file\n\n1 GiB from one file in memory to another, compared afterwards; a \
                ring of 1 MiB, and a pipe as a shell makes it. Copies are those between the kernel and a \
                process, as the kernel counts them for both processes (`/proc/PID/io`): `send --raw` reads \
                into the ring, `recv --raw` writes from it, and neither copies anything itself.\n";
    writeln!(page, "{text}")?;
    writeln!(
        page,
        "| way | GB/s | seconds of processors for a GiB | copies of each byte | reads and writes for a MiB |"
    )?;
    writeln!(page, "|---|---:|---:|---:|---:|")?;
    for (what, way) in
        [("`send --raw <file`, `recv --raw >file`", &files.ring), ("`cat <file \\| cat >file`", &files.pipe)]
    {
        let Way { gb_per_s, seconds_per_gib, copies, calls_per_mib } = way;
        writeln!(page, "| {what} | {gb_per_s} | {seconds_per_gib} | {copies:.2} | {calls_per_mib:.1} |")?;
    }
    Ok(())
}
