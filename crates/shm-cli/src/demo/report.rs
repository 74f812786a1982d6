//! The figures, as a table and as JSON.

use super::crowd::Crowd;
use super::latency::Quantiles;
use super::messages::{LENGTH_MAX, LENGTH_MIN, PING_BYTES, Tally};
use super::roles::Load;
use super::transport::Transport;
use crate::failure::Failure;
use crate::{output, table};
use serde::Serialize;

/// All that was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Demonstration {
    /// One transport after the other.
    pub(crate) transports: Vec<Figures>,
    /// What became of the messages of a killed producer.
    pub(crate) kill: Kill,
    /// What became of the messages of many, of whom some were killed.
    pub(crate) crowd: Crowd,
    /// How much was asked for.
    #[serde(skip)]
    pub(crate) load: Load,
    /// Processors of the producer and the consumer.
    #[serde(skip)]
    pub(crate) cpus: Option<(usize, usize)>,
}

/// What was measured of one transport.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    transport: Transport,
    messages: u64,
    verified: u64,
    messages_per_s: u64,
    gb_per_s: f64,
    rtt_p50_ns: u64,
    rtt_p99_ns: u64,
    rtt_p999_ns: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

/// What became of the messages of a producer that was killed while it sent.
#[derive(Debug, Serialize)]
pub(crate) struct Kill {
    /// Messages that it had published, as the library says.
    published: u64,
    /// Messages that the consumer read.
    read: u64,
    /// How the consumer was told that its producer's time ended.
    told: String,
    #[serde(skip)]
    complaint: Option<String>,
}

impl Figures {
    /// The figures for what was received in so many nanoseconds.
    pub(crate) fn new(transport: Transport, tally: Tally, nanoseconds: u64, round_trips: Quantiles) -> Self {
        let gb_per_s = tally.bytes as f64 / nanoseconds.max(1) as f64;
        let messages_per_s = u128::from(tally.messages) * 1_000_000_000 / u128::from(nanoseconds.max(1));
        Self {
            transport,
            messages: tally.messages,
            verified: tally.verified,
            messages_per_s: u64::try_from(messages_per_s).unwrap_or(u64::MAX),
            gb_per_s,
            rtt_p50_ns: round_trips.p50,
            rtt_p99_ns: round_trips.p99,
            rtt_p999_ns: round_trips.p999,
            complaint: tally.complaint,
        }
    }
}

impl Figures {
    fn row(&self) -> [String; 8] {
        [
            self.transport.name().to_owned(),
            thousands(self.messages),
            thousands(self.verified),
            thousands(self.messages_per_s),
            format!("{:.2}", self.gb_per_s),
            time(self.rtt_p50_ns),
            time(self.rtt_p99_ns),
            time(self.rtt_p999_ns),
        ]
    }
}

impl Kill {
    /// What the library said was published, and what the consumer told.
    pub(crate) fn new(published: u64, read: Tally, told: String) -> Self {
        Self { published, read: read.messages, told, complaint: read.complaint }
    }
}

impl Demonstration {
    /// Whether it showed what it was to show.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        for figures in &self.transports {
            if figures.verified != self.load.messages || figures.messages != self.load.messages {
                let complaint = figures.complaint.as_deref().unwrap_or("messages are missing");
                return Err(Failure::error(format!(
                    "verification by {}: {complaint}",
                    figures.transport.name()
                )));
            }
        }
        match &self.kill {
            Kill { complaint: Some(complaint), .. } => {
                Err(Failure::error(format!("verification after the kill: {complaint}")))
            }
            Kill { published, read, told, .. } if published != read || told != "died" => Err(Failure::error(
                format!("after the kill: {published} messages published, {read} read, and told {told:?}"),
            )),
            Kill { .. } => self.crowd.verdict(),
        }
    }

    /// Prints all of it as JSON.
    pub(crate) fn print_json(&self) -> Result<(), Failure> {
        output::print_json(self)
    }

    /// Prints all of it for people.
    pub(crate) fn print_table(&self) -> Result<(), Failure> {
        let where_they_ran = match self.cpus {
            Some((producer, consumer)) => {
                format!("the producer on CPU {producer}, the consumer on CPU {consumer}")
            }
            None => "both on the one processor there is".to_owned(),
        };
        let header =
            ["transport", "messages", "verified", "messages/s", "GB/s", "there and back p50", "p99", "p99.9"];
        let table = table::with_header(header, self.transports.iter().map(Figures::row), 1..header.len());
        let Kill { published, read, told, .. } = &self.kill;
        let crowd = &self.crowd;
        output::print(&format!(
            "Two processes, {where_they_ran}. Messages of {LENGTH_MIN} to {LENGTH_MAX} bytes,\n\
             one call for each and every byte verified; then {} round trips of {PING_BYTES} bytes.\n\n\
             {table}\n\
             A producer was killed (SIGKILL) while it sent: {} messages were published, {} were read,\n\
             and the consumer was told that the producer {told}.\n\n\
             Four senders and four receivers at one ring, and a random one of them killed and replaced every 50 ms,\n\
             {} in all: {} messages were sent, {} were received, {} were in the hands of the killed,\n\
             {} came twice, {} of the living are missing.\n",
            thousands(self.load.round_trips),
            thousands(*published),
            thousands(*read),
            crowd.killed,
            thousands(crowd.sent),
            thousands(crowd.received),
            crowd.lost,
            crowd.repeated,
            crowd.missing,
        ))
    }
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it.
fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..10_000 => format!("{} ns", thousands(nanoseconds)),
        10_000..10_000_000 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        _ => format!("{:.1} ms", nanoseconds as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(thousands), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([310, 9_999, 45_678, 12_300_000].map(time), ["310 ns", "9,999 ns", "45.7 us", "12.3 ms"]);
    }

    fn demonstration(verified: u64, kill: Kill) -> Demonstration {
        let tally = Tally { messages: 10, verified, bytes: 2_000_000_000, complaint: None };
        let round_trips = Quantiles { p50: 1, p99: 2, p999: 3 };
        let transports = vec![Figures::new(Transport::Unix, tally, 1_000_000_000, round_trips)];
        let crowd = crowd(2, 2, 0, 0);
        let load = Load { messages: 10, round_trips: 7, kills: 3 };
        Demonstration { transports, kill, crowd, load, cpus: None }
    }

    fn kill(read: u64, told: &str) -> Kill {
        Kill::new(5, Tally { messages: read, ..Tally::default() }, told.to_owned())
    }

    #[test]
    fn json_has_exactly_what_is_documented() {
        let json = serde_json::to_string(&demonstration(10, kill(5, "died"))).unwrap();
        let expected = "{\"transports\":[{\"transport\":\"unix\",\"messages\":10,\"verified\":10,\
             \"messages_per_s\":10,\"gb_per_s\":2.0,\"rtt_p50_ns\":1,\"rtt_p99_ns\":2,\"rtt_p999_ns\":3}],\
             \"kill\":{\"published\":5,\"read\":5,\"told\":\"died\"},\
             \"crowd\":{\"senders\":4,\"receivers\":4,\"killed\":3,\"killed_receivers\":2,\"sent\":9,\
             \"received\":7,\"lost\":2,\"repeated\":0,\"missing\":0}}";
        assert_eq!(json, expected);
    }

    fn crowd(killed_receivers: u64, lost: u64, repeated: u64, missing: u64) -> Crowd {
        Crowd {
            senders: 4,
            receivers: 4,
            killed: 3,
            killed_receivers,
            sent: 9,
            received: 7,
            lost,
            repeated,
            missing,
        }
    }

    #[test]
    fn of_many_only_what_was_in_dead_hands_may_be_lost() {
        assert!(crowd(2, 2, 0, 0).verdict().is_ok());
        for wrong in [crowd(1, 2, 0, 0), crowd(2, 2, 1, 0), crowd(2, 2, 0, 1)] {
            assert!(wrong.verdict().is_err());
        }
    }

    #[test]
    fn nothing_but_what_was_promised_passes() {
        assert!(demonstration(10, kill(5, "died")).verdict().is_ok());
        assert!(demonstration(9, kill(5, "died")).verdict().is_err());
        assert!(demonstration(10, kill(4, "died")).verdict().is_err());
        assert!(demonstration(10, kill(5, "dropped")).verdict().is_err());
        let garbled = Tally { messages: 5, complaint: Some(String::new()), ..Tally::default() };
        assert!(demonstration(10, Kill::new(5, garbled, "died".to_owned())).verdict().is_err());
    }
}
