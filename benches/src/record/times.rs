use std::fmt;
use std::io;

use super::{Facts, optional, read_lines, slug};
use crate::{Spread, Timed, Timing};

/// What one processor took, in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Where and when that was.
    pub facts: Facts,

    /// The rows.
    pub timings: Vec<Timing>,
}

impl Times {
    /// The names of this processor's files, without what they end in.
    pub fn slug(&self) -> String {
        slug(self.facts.get("processor"))
    }

    /// A row, if it was timed.
    pub fn row(&self, workload: &str, in_flight: usize) -> Option<&Timing> {
        self.timings.iter().find(|row| row.workload == workload && row.in_flight == in_flight)
    }

    /// The time of an item, in nanoseconds.
    pub fn nanoseconds(&self, workload: &str, in_flight: usize, contender: &str) -> Option<f64> {
        let row = self.row(workload, in_flight)?;
        row.contenders.iter().find(|timed| timed.name == contender)?.nanoseconds
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Fails if a line is none that is written.
    pub fn read(text: &str) -> io::Result<Self> {
        let lines = read_lines(text, |fields| {
            let [workload, in_flight, name, nanoseconds, median, low, high] = *fields else {
                return None;
            };
            let ratio = match (optional(median)?, optional(low)?, optional(high)?) {
                (Some(median), Some(low), Some(high)) => Some(Spread { low, median, high }),
                _ => None,
            };
            let nanoseconds = optional(nanoseconds)?;
            let timed = Timed { name: name.to_owned(), nanoseconds, ratio };
            Some((workload.to_owned(), in_flight.parse().ok()?, timed))
        })?;
        let mut timings: Vec<Timing> = Vec::new();
        for (workload, in_flight, timed) in lines {
            match timings.last_mut() {
                Some(last) if last.workload == workload && last.in_flight == in_flight => {
                    last.contenders.push(timed);
                }
                _ => timings.push(Timing { workload, in_flight, contenders: vec![timed] }),
            }
        }
        Ok(Self { facts: Facts::read(text), timings })
    }
}

/// A file.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}workload;in flight;contender;ns an item;our part of it;low;high",
            self.facts
        )?;
        for Timing { workload, in_flight, contenders } in &self.timings {
            for Timed { name, nanoseconds, ratio } in contenders {
                write!(f, "{workload};{in_flight};{name};")?;
                match (nanoseconds, ratio) {
                    (Some(nanoseconds), Some(Spread { low, median, high })) => {
                        writeln!(f, "{nanoseconds:.2};{median:.4};{low:.4};{high:.4}")?;
                    }
                    // It was too slow to wait for.
                    _ => writeln!(f, ";;;")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_were_written() {
        let text = "# processor: AMD EPYC\n# date: 2026-11-29\n\
                    workload;in flight;contender;ns an item;our part of it;low;high\n\
                    flat map, ready;16;flowlet;46.40;1.0000;1.0000;1.0000\n\
                    flat map, ready;16;pumps;92.80;0.5000;0.4900;0.5100\n\
                    flat map, ready;256;flowlet;48.30;1.0000;1.0000;1.0000\n\
                    flat map, ready;256;pumps;;;;\n";
        let times = Times::read(text).unwrap();
        assert_eq!(times.to_string(), text);
        assert_eq!(times.slug(), "amd-epyc");
        assert_eq!(times.timings.len(), 2);
        assert_eq!(times.nanoseconds("flat map, ready", 16, "pumps"), Some(92.8));
        assert_eq!(times.nanoseconds("flat map, ready", 256, "pumps"), None);
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for line in ["ready;16;flowlet;1.0;1.0;1.0", "ready;x;flowlet;;;;", "ready;16;flowlet;x;;;"]
        {
            let error = Times::read(&format!("head\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }
}
