//! A hundred processes at one name (guarantee G1).

use shm_ring::{Consumer, Error, Producer, Role, inspect};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![a_hundred_processes_race_to_one_ring]
}

const RACERS: usize = 100;
const ROUNDS: usize = 200;

/// Role: for each line heard, opens or creates the ring and says which instance it is at.
pub(crate) fn race_to_a_ring(arguments: &[String]) {
    let (name, role) = (&arguments[0], &arguments[1]);
    while peer::listen().is_some() {
        let at_once = Duration::ZERO;
        let result = if role == "producer" {
            let attached = Producer::builder(name).capacity(4096).attach_timeout(at_once).open_or_create();
            attached.map(|handle| Box::new(handle) as Box<dyn std::any::Any>)
        } else {
            let attached = Consumer::builder(name).capacity(4096).attach_timeout(at_once).open_or_create();
            attached.map(|handle| Box::new(handle) as Box<dyn std::any::Any>)
        };
        let instance = || inspect(name).unwrap().instance;
        match &result {
            Ok(_) => peer::say(&format!("sits at {}", instance())),
            Err(Error::SeatTaken { role: Role::Producer | Role::Consumer, .. }) => {
                peer::say(&format!("stands at {}", instance()));
            }
            Err(error) => peer::say(&format!("failed: {error}")),
        }
        peer::listen(); // keeps the seat until everybody has answered
        drop(result);
        peer::say("left");
    }
}

fn a_hundred_processes_race_to_one_ring() {
    let rings = Rings::new();
    let name = rings.ring("race");
    let mut racers: Vec<Peer> = (0..RACERS)
        .map(|index| {
            let role = if index % 2 == 0 { "producer" } else { "consumer" };
            Peer::start("race to a ring", &[name.as_str(), role])
        })
        .collect();
    for round in 0..ROUNDS {
        racers.iter_mut().for_each(|racer| racer.tell("go"));
        let answers: Vec<String> = racers.iter_mut().map(Peer::hear).collect();
        let mut instances: Vec<&str> =
            answers.iter().map(|answer| answer.rsplit(' ').next().unwrap()).collect();
        instances.sort_unstable();
        instances.dedup();
        assert_eq!(instances.len(), 1, "round {round}: {answers:?}");
        let sitting = answers.iter().filter(|answer| answer.starts_with("sits at ")).count();
        assert_eq!(sitting, 2, "round {round}: {answers:?}");
        racers.iter_mut().for_each(|racer| racer.tell("leave"));
        racers.iter_mut().for_each(|racer| racer.expect("left"));
        shm_ring::remove(name.as_str()).unwrap();
        assert!(rings.traces().is_empty(), "round {round}: {:?}", rings.traces());
    }
    racers.into_iter().for_each(Peer::finish);
}
