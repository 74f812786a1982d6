//! Times of round trips, kept in a histogram.

use crate::failure::Failure;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Digits that the histogram keeps of each time.
const DIGITS: u8 = 3;
/// The longest time it tells apart, in nanoseconds: a minute. Longer ones count as this.
const LONGEST: u64 = 60_000_000_000;

/// Times, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

/// What is told of many times, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Quantiles {
    /// Half of them took at most this.
    pub(crate) p50: u64,
    /// All but one of a hundred.
    pub(crate) p99: u64,
    /// All but one of a thousand.
    pub(crate) p999: u64,
}

impl Latencies {
    /// No times yet.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_max(LONGEST, DIGITS);
        let histogram = histogram.map_err(|error| Failure::error(error.to_string()))?;
        Ok(Self { histogram })
    }

    /// Adds a time.
    pub(crate) fn record(&mut self, time: Duration) {
        self.histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What is told of them.
    pub(crate) fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new().unwrap();
        (1..=1000).for_each(|nanoseconds| latencies.record(Duration::from_nanos(nanoseconds)));
        assert_eq!(latencies.quantiles(), Quantiles { p50: 500, p99: 990, p999: 999 });
        (0..1000).for_each(|_| latencies.record(Duration::from_secs(3600)));
        let longest = Duration::from_nanos(latencies.quantiles().p99).as_secs_f64();
        assert!((59.9..60.1).contains(&longest));
    }
}
