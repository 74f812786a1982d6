//! `shmring demo`: two processes exchange verified messages through a ring, a pipe, a Unix socket and TCP on
//! loopback, and one of them is killed while it sends; then many do, and some of them are killed.
//!
//! The process that was asked for the demonstration conducts it: it starts this program again in one of the hidden
//! [parts](roles), and hears from there what was measured. Each idea has a file of its own, so that benchmarks can
//! use them as well:
//!
//! | file | idea |
//! |---|---|
//! | [`messages`] | what is sent, and how every byte of it is verified |
//! | [`transport`] | one way to send and receive for all transports |
//! | [`latency`] | times of round trips |
//! | [`cores`] | which processor each process stays on |
//! | [`roles`] | what the started processes do |
//! | [`guard`] | the started processes end, and clean up, when their conductor is killed |
//! | [`children`] | starting, hearing, killing |
//! | [`conductor`] | the order of events |
//! | [`crowd`] | many senders and receivers, of whom some are killed |
//! | [`report`] | the figures, as a table and as JSON |

mod children;
mod conductor;
mod cores;
mod crowd;
mod guard;
mod latency;
mod messages;
mod report;
mod roles;
mod transport;

use crate::context::Context;
use crate::failure::Failure;
use crate::units;
pub(crate) use children::await_signal;
use conductor::Conductor;
use roles::{Assignment, Load};
use std::time::Duration;

/// Show processes exchanging verified messages while some are killed, and measure it against a pipe and sockets
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: Load,
    /// Give up after so long, such as 90s or 5m, with 3
    #[arg(long, hide = true, value_name = "TIME", default_value = "60s", value_parser = units::parse_duration)]
    limit: Duration,
    /// Which part a process that the demonstration started plays.
    #[command(flatten)]
    assignment: Option<Assignment>,
}

/// Runs the demonstration, or one part of it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if let Some(assignment) = &arguments.assignment {
        return roles::play(assignment, &arguments.load, &context.directory);
    }
    let demonstration = Conductor::new(context, arguments.load, arguments.limit)?.conduct()?;
    if arguments.json {
        demonstration.print_json()?
    } else {
        demonstration.print_table()?
    }
    demonstration.verdict()
}
