//! The arguments of the example programs.

use std::collections::BTreeMap;
use std::process::ExitCode;

use flowlet_amqp::Publisher;

pub(crate) struct Arguments {
    pub(crate) url: String,
    numbers: BTreeMap<&'static str, usize>,
}

impl Arguments {
    /// Reads `--amqp URL`, and numbers by the names that they have there, each with what it is if
    /// nothing is said and the least that it can be. `unnamed` takes those without a name.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
        numbers: &[(&'static str, usize, usize)],
        mut unnamed: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut url = None;
        let mut values: BTreeMap<_, _> =
            numbers.iter().map(|(name, default, _)| (*name, *default)).collect();
        while let Some(name) = arguments.next() {
            if !name.starts_with("--") {
                unnamed(&name)?;
                continue;
            }
            let number = numbers.iter().find(|(known, _, _)| *known == name);
            if name != "--amqp" && number.is_none() {
                return Err(format!("what is {name}?"));
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match number {
                None => url = Some(value),
                Some((name, _, least)) => {
                    let number = value.parse().ok().filter(|number| number >= least);
                    let wrong = || format!("{name} takes a number from {least}, not {value:?}");
                    values.insert(name, number.ok_or_else(wrong)?);
                }
            }
        }
        let url = url.ok_or("--amqp says where the broker is, and is missing")?;
        // It reads the address, and does not connect yet.
        Publisher::new(url.as_str()).map_err(|error| error.to_string())?;
        Ok(Self { url, numbers: values })
    }

    /// The number of this name.
    pub(crate) fn number(&self, name: &str) -> usize {
        self.numbers[name]
    }
}

/// Says what is wrong with the arguments, and what they can be.
pub(crate) fn explain(problem: &str, usage: &str) -> ExitCode {
    eprintln!("{problem}\n\n{usage}");
    ExitCode::from(2)
}
