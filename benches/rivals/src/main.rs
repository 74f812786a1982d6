//! `cargo run --release` here: shmring beside other queues, in one run, by the same loops, every message verified.
//!
//! Between processes where a queue can be, otherwise between threads of one. Everything spins, as far as it can. All in
//! turn, several times over; shown are the medians and the range, and ratios to the best of shmring. `--json FILE`
//! writes them for the report; `--only TEXT` leaves out all whose names do not contain the text (nor `shmring`).

mod debris;
mod measure;
mod rivals;
mod words;

use measure::{Latency, Rate, Scale, Table};
use shm_measure::crowd::is_stalled;
use shm_measure::{Result, spread::Spread};

fn main() -> Result<()> {
    if shm_measure::play_with(rivals::open)? {
        return Ok(());
    }
    let (mut json, mut only) = (None, String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--json", Some(file)) => json = Some(file),
            ("--only", Some(text)) => only = text,
            _ => return Err("unknown arguments; there are --json FILE and --only TEXT".into()),
        }
    }
    debris::sweep();
    let table = Table::measure(&|name| is_ours(name) || name.contains(&only));
    debris::sweep();
    let table = table?;
    print(&table);
    match json {
        Some(file) => Ok(std::fs::write(file, serde_json::to_string_pretty(&table)?)?),
        None => Ok(()),
    }
}

fn ratio(ours: f64, theirs: f64) -> String {
    if theirs > 0.0 { format!("{:.2}", ours / theirs) } else { "-".to_owned() }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("shmring")
}

fn print(table: &Table) {
    for size in measure::SIZES {
        println!(
            "\n{size} bytes, one to one, one message per call      million messages a second   shmring by it"
        );
        let rows: Vec<(&str, Spread)> = of_size(&table.throughput, size);
        let ours = rows.iter().filter(|row| is_ours(row.0)).map(|row| row.1.median).fold(0.0, f64::max);
        for (name, spread) in rows {
            println!("{name:44}  {:>24}   {:>6}", spread.to_string(), ratio(ours, spread.median));
        }
    }
    println!("\n64 bytes, round trips                              p50 ns    p99.9 ns   it by shmring");
    let best = |rows: &[Latency]| rows.iter().filter(|row| is_ours(&row.name)).map(|row| row.p50_ns).min();
    let ours = best(&table.latency).unwrap_or_default() as f64;
    for Latency { name, p50_ns, p999_ns, .. } in &table.latency {
        println!("{name:44}  {p50_ns:>10}  {p999_ns:>10}   {:>6}", ratio(*p50_ns as f64, ours));
    }
    println!(
        "\n56 bytes, many to many       capacity  participants   million messages a second   shmring by it"
    );
    for row in &table.scale {
        let Scale { name, capacity, pairs, runs_m_per_s, failures } = row;
        let spread = Spread::of(runs_m_per_s);
        let same = |row: &&Scale| is_ours(&row.name) && (row.capacity, row.pairs) == (*capacity, *pairs);
        let ours = table.scale.iter().find(same).map_or(0.0, |row| Spread::of(&row.runs_m_per_s).median);
        // A rate of time slices, and not of the queue, is compared with nothing.
        let ratio = if is_stalled(spread.median) { "stalls".to_owned() } else { ratio(ours, spread.median) };
        let rate = if runs_m_per_s.is_empty() { "-".to_owned() } else { spread.to_string() };
        println!("{name:26}  {capacity:>9}  {pairs:>5} + {pairs}   {rate:>24}   {ratio:>6}");
        if let Some(why) = failures.last() {
            let (failed, all) = (failures.len(), failures.len() + runs_m_per_s.len());
            println!("    {failed} of {all} runs came to no end: {why}");
        }
    }
}

fn of_size(rows: &[Rate], size: usize) -> Vec<(&str, Spread)> {
    let rows = rows.iter().filter(|row| row.size == size);
    rows.map(|row| (row.name.as_str(), Spread::of(&row.runs_m_per_s))).collect()
}
