//! `shmring bench`: what it prints, and that nothing is left of it.

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmring"));
    command.arg("bench").args(arguments);
    command
}

fn json(arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = bench(arguments).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

#[test]
fn latency_is_told_as_promised() {
    for wait in ["spin", "adaptive", "sleep"] {
        let told = json(&["latency", "--size", "64", "--wait", wait, "--run", "50ms", "--json"]);
        assert!(told["limits"]["bounce_ns"].as_u64().unwrap() > 0);
        let rows = told["rows"].as_array().unwrap();
        assert_eq!(
            rows.iter().map(|row| row["kind"].as_str().unwrap()).collect::<Vec<_>>(),
            ["spsc", "mpmc"]
        );
        for row in rows {
            assert_eq!((row["size"].as_u64(), row["wait"].as_str()), (Some(64), Some(wait)));
            let messages = row["messages"].as_u64().unwrap();
            assert!(messages >= 30 && row["verified"].as_u64() == Some(messages), "{row}");
            let mut runs: Vec<u64> =
                row["runs_p50_ns"].as_array().unwrap().iter().map(|run| run.as_u64().unwrap()).collect();
            runs.sort_unstable();
            let of = |key: &str| row[key].as_u64().unwrap();
            assert_eq!((runs.len(), runs[1]), (3, of("p50_ns")));
            assert!(of("p50_ns") <= of("p99_ns") && of("p99_ns") <= of("p999_ns"), "{row}");
        }
    }
}

#[test]
fn throughput_waking_and_scaling_are_told() {
    let told = json(&["throughput", "--size", "64,1KiB", "--run", "20ms", "--json"]);
    assert!(told["limits"]["lines_m_per_s"].as_f64().unwrap() > 0.0);
    assert!(told["rows"].as_array().unwrap().iter().all(|row| row["m_per_s"].as_f64().unwrap() > 0.0));
    let told = json(&["wake", "--run", "20ms", "--json"]);
    assert!(told["limits"]["futex_apart_ns"].as_u64().unwrap() > 0);
    let told = json(&["scale", "--run", "20ms", "--json"]);
    assert_eq!(told["rows"].as_array().unwrap().len(), 6);
}

#[test]
fn a_picture_is_drawn() {
    let file = std::env::temp_dir().join(format!("shmring-bench-{}.svg", std::process::id()));
    let path = file.to_str().unwrap();
    let done =
        bench(&["latency", "--size", "8,64", "--wait", "spin", "--run", "20ms", "--svg", path]).output();
    let drawn = std::fs::read_to_string(&file);
    std::fs::remove_file(&file).unwrap();
    assert!(done.unwrap().status.success());
    assert!(drawn.unwrap().contains("</svg>"));
}

#[test]
fn too_small_a_message_is_refused() {
    assert_eq!(bench(&["latency", "--size", "7"]).output().unwrap().status.code(), Some(2));
}

/// However it ends, its other processes end too; they have nothing that has a name.
#[test]
fn an_end_ends_all() {
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut child = bench(&["latency", "--run", "5s"]).stdout(Stdio::null()).spawn().unwrap();
        let children = || {
            let path = format!("/proc/{0}/task/{0}/children", child.id());
            std::fs::read_to_string(path).unwrap_or_default()
        };
        await_that(|| children().split_whitespace().count() > 2);
        let others = children();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code);
        let lives = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
        };
        await_that(|| !others.split_whitespace().any(lives));
    }
}

/// Waits as long as it takes; whoever runs the tests bounds that.
fn await_that(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < crate::harness::FUSE, "nothing came of it");
        std::thread::sleep(Duration::from_millis(5));
    }
}
