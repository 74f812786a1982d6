//! The program `shmring`: makes rings between processes, moves data through them and shows them.

mod bench;
mod context;
mod create;
mod demo;
mod doctor;
mod failure;
mod input;
mod maps;
mod output;
mod recv;
mod report;
mod rm;
mod send;
mod shape;
mod show;
mod signals;
mod sink;
mod table;
mod units;
mod usage;

use clap::{Parser, Subcommand};
use context::Context;
use failure::Failure;
use std::process::ExitCode;

/// Rings between processes over shared memory
#[derive(Debug, Parser)]
#[command(name = "shmring", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

/// What is the same for all verbs.
const AFTER_HELP: &str = "\
Exit status:
  0  done (also when whoever read the output has gone)
  1  error
  2  usage
  3  timed out
  4  the other side died, or left without closing
  130, 143  interrupted by SIGINT, SIGTERM

Environment:
  SHMRING_DIR  the directory of the rings [default: /dev/shm]

Try:
  shmring recv --wait ticks &
  seq 5 | shmring send --create ticks
  wait
  shmring rm ticks";

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Arguments),
    Send(send::Arguments),
    Recv(recv::Arguments),
    Ls(show::ListArguments),
    Stat(show::StatArguments),
    Maps(maps::Arguments),
    Rm(rm::Arguments),
    Doctor(doctor::Arguments),
    Demo(demo::Arguments),
    Bench(bench::Arguments),
}

impl Verb {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create::run(arguments, context),
            Self::Send(arguments) => send::run(arguments, context),
            Self::Recv(arguments) => recv::run(arguments, context),
            Self::Ls(arguments) => show::list(arguments, context),
            Self::Stat(arguments) => show::stat(arguments, context),
            Self::Maps(arguments) => maps::run(arguments, context),
            Self::Rm(arguments) => rm::run(arguments, context),
            Self::Doctor(arguments) => doctor::run(arguments, context),
            Self::Demo(arguments) => demo::run(arguments, context),
            Self::Bench(arguments) => bench::run(arguments),
        }
    }
}

fn main() -> ExitCode {
    // A copy of this program has the other end of what is measured.
    match shm_measure::play() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(_) => return ExitCode::FAILURE, // the one who measures was told
    }
    let done = match CommandLine::try_parse() {
        Ok(command_line) => {
            let context = Context::from_environment();
            command_line.verb.run(&context).map_err(|failure| context.explain(failure))
        }
        Err(error) => usage::explain(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
