//! The arguments of both programs.

use std::process::ExitCode;

use flowlet_amqp::Publisher;

pub(crate) struct Arguments {
    pub(crate) url: String,
    pub(crate) number: usize,
}

impl Arguments {
    /// Reads `--amqp URL`, and a number by the name that it has there.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
        number_name: &str,
        default: usize,
    ) -> Result<Self, String> {
        let mut rest = arguments.into_iter();
        let (mut url, mut number) = (None, default);
        while let Some(name) = rest.next() {
            if name != "--amqp" && name != number_name {
                return Err(format!("what is {name}?"));
            }
            let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
            if name == "--amqp" {
                url = Some(value);
            } else {
                let wrong = |_| format!("{name} takes a number, not {value:?}");
                number = value.parse().map_err(wrong)?;
            }
        }
        let url = url.ok_or("--amqp says where the broker is, and is missing")?;
        // It reads the address, and does not connect yet.
        Publisher::new(url.as_str()).map_err(|error| error.to_string())?;
        Ok(Self { url, number })
    }
}

/// Says what is wrong with the arguments, and what they can be.
pub(crate) fn explain(problem: &str, usage: &str) -> ExitCode {
    eprintln!("{problem}\n\n{usage}");
    ExitCode::from(2)
}
