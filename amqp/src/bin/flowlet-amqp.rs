//! Looks at the messages of a queue, replays dead letters, and drops them.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use flowlet_amqp::{Broker, Error, Letter, Letters, Tally, Verdict};
use futures_lite::future::block_on;
use url::Url;

const USAGE: &str = "\
Looks at the messages of a queue, replays dead letters, and drops them.

Usage: flowlet-amqp [OPTION]... list|show|replay|drop QUEUE [OPTION]...

  list     one line for each message: its id, where it comes from, why it is there
  show     all of each message
  replay   puts each back into the queue that it comes from, as a new job
  drop     removes each for good; needs --id, --reason or --all

  --amqp URL      the broker; without this option, the variable AMQP_URL names it, and
                  otherwise it is amqp://localhost
  --id ID         only the message with this id
  --reason TEXT   only those whose reason contains this
  --all           all of them
  --limit N       look at N messages at most (default: 1000)
  --to QUEUE      replay into this queue instead

Messages that stay are taken out while the program looks at them, and may be in another
order then. Exit codes: 0; 1 if something failed; 2 for bad arguments.
";

#[derive(Clone, Copy, PartialEq)]
enum Command {
    List,
    Show,
    Replay,
    Drop,
}

const NO_COMMAND: &str = "the first argument is list, show, replay or drop";

impl Command {
    fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "list" => Ok(Self::List),
            "show" => Ok(Self::Show),
            "replay" => Ok(Self::Replay),
            "drop" => Ok(Self::Drop),
            _ => Err(NO_COMMAND),
        }
    }
}

struct Arguments {
    command: Command,
    queue: String,
    url: String,
    id: Option<String>,
    reason: Option<String>,
    limit: usize,
    to: Option<String>,
}

impl Arguments {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let (mut command, mut queue) = (None, None);
        let mut url = env::var("AMQP_URL").unwrap_or_else(|_| "amqp://localhost".into());
        let (mut id, mut reason, mut all, mut limit, mut to) = (None, None, false, 1000, None);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--amqp" => url = value()?,
                "--id" => id = Some(value()?),
                "--reason" => reason = Some(value()?),
                "--all" => all = true,
                "--to" => to = Some(value()?),
                "--limit" => {
                    limit = value()?.parse().map_err(|_| "--limit takes a number")?;
                }
                _ if name.starts_with("--") || queue.is_some() => {
                    return Err(format!("unknown argument: {name}"));
                }
                _ if command.is_none() => command = Some(Command::named(&name)?),
                _ => queue = Some(name),
            }
        }
        let command = command.ok_or(NO_COMMAND)?;
        let queue = queue.ok_or("no queue is named")?;
        if command == Command::Drop && !all && id.is_none() && reason.is_none() {
            return Err("drop needs --id, --reason or --all".into());
        }
        Ok(Self { command, queue, url, id, reason, limit, to })
    }

    fn is_meant(&self, letter: &Letter) -> bool {
        let has_id = self.id.as_deref().is_none_or(|id| letter.id() == Some(id));
        let reason = letter.reason().unwrap_or_default();
        has_id && self.reason.as_ref().is_none_or(|part| reason.contains(part))
    }

    fn verdict(&self, letter: &Letter, out: &mut impl Write) -> io::Result<Verdict> {
        if !self.is_meant(letter) {
            return Ok(Verdict::Keep);
        }
        match self.command {
            Command::List => {
                line(letter, out)?;
                Ok(Verdict::Keep)
            }
            Command::Show => {
                page(letter, out)?;
                Ok(Verdict::Keep)
            }
            Command::Replay => Ok(self.to.clone().map_or(Verdict::Replay, Verdict::ReplayTo)),
            Command::Drop => Ok(Verdict::Drop),
        }
    }
}

/// One line, without control characters that a terminal would obey.
fn line(letter: &Letter, out: &mut impl Write) -> io::Result<()> {
    let (id, origin) = (letter.id().unwrap_or("-"), letter.origin().unwrap_or("-"));
    let reason = letter.reason().and_then(|reason| reason.lines().next()).unwrap_or("-");
    let bytes = letter.payload().len();
    writeln!(out, "{}", harmless(&format!("{id}\t{origin}\t{bytes} bytes\t{reason}")))
}

fn page(letter: &Letter, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "id: {}", harmless(letter.id().unwrap_or("-")))?;
    writeln!(out, "headers: {}", harmless(&format!("{:?}", letter.headers())))?;
    writeln!(out, "{}\n", harmless(&String::from_utf8_lossy(letter.payload())))
}

fn harmless(text: &str) -> String {
    let is_shown = |c: &char| !c.is_control() || ['\n', '\t'].contains(c);
    text.chars().map(|c| if is_shown(&c) { c } else { '\u{fffd}' }).collect()
}

fn run(arguments: &Arguments) -> Result<Tally, Error> {
    let broker =
        Broker::new(arguments.url.as_str()).give_up_after(std::time::Duration::from_secs(5));
    let letters = Letters::new(broker, arguments.queue.as_str())?;
    let mut out = io::stdout().lock();
    // Whoever reads the list may have read enough of it.
    let mut is_read = true;
    block_on(letters.visit(arguments.limit, |letter| {
        let verdict = if is_read { arguments.verdict(letter, &mut out).ok() } else { None };
        is_read = verdict.is_some();
        verdict.unwrap_or(Verdict::Keep)
    }))
}

/// Which broker it was, without user and password, and how to name another.
fn address(url: &str, error: &Error) -> String {
    let how = "--amqp or AMQP_URL names";
    // Where one that was not understood has its password, nobody knows.
    let is_understood = !matches!(error, Error::Url(_));
    let Some(url) = Url::parse(url).ok().filter(|_| is_understood) else {
        return format!("{how} the broker");
    };
    let port = url.port().unwrap_or(if url.scheme() == "amqps" { 5671 } else { 5672 });
    format!("the broker is {}:{port}; {how} another", url.host_str().unwrap_or_default())
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(tally) => {
            eprintln!("{}: {tally}", arguments.queue);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flowlet-amqp: {error}");
            eprintln!("{}", address(&arguments.url, &error));
            ExitCode::FAILURE
        }
    }
}
