use std::fmt;
use std::io;

use super::{Facts, optional, read_lines};

/// What was counted. It is exact, and so the same on every processor.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    /// With what, and when.
    pub facts: Facts,

    /// The lines of all rows, a row's together and ours first.
    pub counts: Vec<Count>,
}

/// What was counted for one contender in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// What was done.
    pub workload: String,

    /// How many calls run at once.
    pub in_flight: usize,

    /// Who did it.
    pub contender: String,

    /// An item's instructions.
    pub instructions: Option<f64>,

    /// An item's allocations.
    pub allocations: Option<f64>,

    /// The peak of the heap, in bytes a call.
    pub bytes: Option<f64>,
}

impl Counts {
    /// The lines of each row.
    pub fn rows(&self) -> impl Iterator<Item = &[Count]> {
        self.counts.chunk_by(|a, b| a.workload == b.workload && a.in_flight == b.in_flight)
    }

    /// One line, if it is there.
    pub fn find(&self, workload: &str, in_flight: usize, contender: &str) -> Option<&Count> {
        self.counts.iter().find(|count| {
            (count.workload.as_str(), count.in_flight, count.contender.as_str())
                == (workload, in_flight, contender)
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Fails if a line is none that is written.
    pub fn read(text: &str) -> io::Result<Self> {
        let counts = read_lines(text, |fields| {
            let [workload, in_flight, contender, instructions, allocations, bytes] = *fields else {
                return None;
            };
            Some(Count {
                workload: workload.to_owned(),
                in_flight: in_flight.parse().ok()?,
                contender: contender.to_owned(),
                instructions: optional(instructions)?,
                allocations: optional(allocations)?,
                bytes: optional(bytes)?,
            })
        })?;
        Ok(Self { facts: Facts::read(text), counts })
    }
}

/// A file.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(f, "{facts}workload;in flight;contender;instructions;allocations;bytes a call")?;
        let field =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
        for count in &self.counts {
            let Count { workload, in_flight, contender, .. } = count;
            let [instructions, allocations, bytes] =
                [count.instructions, count.allocations, count.bytes].map(field);
            writeln!(f, "{workload};{in_flight};{contender};{instructions};{allocations};{bytes}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_were_written() {
        let text = "# date: 2026-11-29\n\
                    workload;in flight;contender;instructions;allocations;bytes a call\n\
                    ready;16;flowlet;143.000;0.000;\n\
                    ready;16;futures-util;428.000;1.000;\n\
                    woken;1000000;flowlet;;;88.400\n";
        let counts = Counts::read(text).unwrap();
        assert_eq!(counts.to_string(), text);
        assert_eq!(counts.rows().map(<[_]>::len).collect::<Vec<_>>(), [2, 1]);
        let peer = counts.find("ready", 16, "futures-util").unwrap();
        assert_eq!(peer.instructions, Some(428.0));
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(Counts::read("head\nready;16;flowlet;143.000;0.000\n").is_err());
        assert!(Counts::read("head\nready;16;flowlet;many;0.000;\n").is_err());
    }
}
