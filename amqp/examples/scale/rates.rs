//! What was measured, and what to say of it.

use std::fmt;
use std::time::Duration;

/// One measurement.
pub(crate) struct Rate {
    pub(crate) jobs: usize,
    pub(crate) time: Duration,
    /// What the processes used of processors, where the system tells.
    pub(crate) processor: Option<Duration>,
}

impl Rate {
    fn jobs_per_second(&self) -> f64 {
        self.jobs as f64 / self.time.as_secs_f64()
    }
}

/// Measurements of the same, one a round.
#[derive(Default)]
pub(crate) struct Rates(Vec<Rate>);

impl Rates {
    pub(crate) fn add(&mut self, rate: Rate) {
        self.0.push(rate);
    }

    /// How much slower this is than the other, of the same rounds.
    pub(crate) fn beside(&self, other: &Self) -> String {
        let slower =
            self.0.iter().zip(&other.0).map(|(this, other)| {
                100.0 * (other.jobs_per_second() / this.jobs_per_second() - 1.0)
            });
        let [least, median, most] = spread(slower);
        format!("a worker takes {median:+.1}% ({least:+.1}% to {most:+.1}%) of the time by hand")
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, median, most] = spread(self.0.iter().map(Rate::jobs_per_second));
        write!(f, "{median:.0} jobs/s ({least:.0} to {most:.0})")?;
        let processor: Option<Vec<f64>> = self
            .0
            .iter()
            .map(|rate| Some(1e6 * rate.processor?.as_secs_f64() / rate.jobs as f64))
            .collect();
        if let Some(processor) = processor {
            let [least, median, most] = spread(processor);
            write!(f, ", {median:.0} µs ({least:.0} to {most:.0}) of a processor a job")?;
        }
        Ok(())
    }
}

/// The least, the median and the most.
fn spread(values: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (middle, last) = (values.len() / 2, values.len() - 1);
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    };
    [values[0], median, values[last]]
}
