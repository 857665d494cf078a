//! Command-line arguments.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::url::Url;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Crawls a web site, and stores its pages and links in an SQLite file.

Usage: crawl [URL] [--concurrency N] [--database FILE]

  URL               where to begin, such as http://localhost:8000/; the crawl stays on
                    this host and port. Without it, a small site of its own is crawled.
  --concurrency N   how many requests run at once (default: 16); each
                    takes an open file
  --database FILE   where to store; other rows in it are kept (default: a file in the
                    folder for temporary files, which is emptied first)
  --help            print this

Ctrl-C stops the crawl: pages in flight are finished and stored, and queued addresses
are skipped. Ctrl-C again quits at once; even then the database is consistent.

Plain http only. robots.txt is not read: crawl only sites of your own.

The tables are pages(url, kind, title, problem) and links(source, target). Exit codes:
0 after a crawl, broken links or not, ended by Ctrl-C or not; 1 if the database failed
or no page was found; 2 for bad arguments; 130 if Ctrl-C was pressed twice.
";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Crawl a site.
    Crawl(Arguments),
}

/// What to crawl, and how.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// Where to begin. `None` for the program's own site.
    pub(crate) url: Option<Url>,
    pub(crate) concurrency: NonZeroUsize,
    /// Where to store. `None` for a temporary file.
    pub(crate) database: Option<PathBuf>,
}

const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).unwrap();

impl Command {
    /// Parses the arguments, without the program's name. An error says what is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut rest = arguments.into_iter();
        let mut parsed = Arguments { url: None, concurrency: CONCURRENCY, database: None };

        while let Some(argument) = rest.next() {
            // Only file names may be something other than UTF-8.
            let text = argument.to_string_lossy();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.into())),
                _ => (&*text, None),
            };
            match name {
                "--help" | "-h" => return Ok(Self::Help),
                "--concurrency" => {
                    parsed.concurrency = parse_concurrency(&value_of(name, value, &mut rest)?)?;
                }
                "--database" => parsed.database = Some(value_of(name, value, &mut rest)?.into()),
                _ if name.starts_with('-') => return Err(format!("unknown option {name}")),
                _ if parsed.url.is_some() => return Err(format!("one URL is enough: {text}")),
                _ => parsed.url = Some(parse_url(&text)?),
            }
        }
        Ok(Self::Crawl(parsed))
    }
}

/// Returns the value of the option `name`: what follows its `=`, or else the next argument.
fn value_of(
    name: &str,
    value: Option<OsString>,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, String> {
    value
        .or_else(|| rest.next())
        .filter(|value| !value.is_empty() && !value.as_encoded_bytes().starts_with(b"--"))
        .ok_or_else(|| format!("{name} needs a value"))
}

fn parse_concurrency(value: &OsString) -> Result<NonZeroUsize, String> {
    let text = value.to_string_lossy();
    text.parse().map_err(|_| format!("--concurrency takes a number from 1 up, not {text:?}"))
}

fn parse_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Some(url) if url.is_secure() => {
            Err(format!("{text} needs TLS, which this example leaves out: plain http only"))
        }
        Some(url) => Ok(url),
        None => Err(format!("not a URL: {text:?}; one looks like http://localhost:8000/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        Command::parse(arguments.iter().map(OsString::from))
    }

    fn crawl(url: Option<&str>, concurrency: usize, database: Option<&str>) -> Command {
        Command::Crawl(Arguments {
            url: url.map(|url| Url::parse(url).unwrap()),
            concurrency: concurrency.try_into().unwrap(),
            database: database.map(PathBuf::from),
        })
    }

    #[test]
    fn good_arguments() {
        assert_eq!(parse(&[]), Ok(crawl(None, 16, None)));
        assert_eq!(
            parse(&["--concurrency", "4", "http://a/", "--database", "b"]),
            Ok(crawl(Some("http://a/"), 4, Some("b"))),
        );
        assert_eq!(parse(&["--database=b=c", "--concurrency=4"]), Ok(crawl(None, 4, Some("b=c"))),);
        assert_eq!(parse(&["http://a/?b=c"]), Ok(crawl(Some("http://a/?b=c"), 16, None)));
        assert_eq!(parse(&["http://a/", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn bad_arguments() {
        for (arguments, mistake) in [
            (&["--frob"][..], "unknown option --frob"),
            (&["--frob=1"], "unknown option --frob"),
            (&["-"], "unknown option -"),
            (&["--concurrency"], "--concurrency needs a value"),
            (&["--concurrency="], "--concurrency needs a value"),
            (&["--database", "--concurrency", "1"], "--database needs a value"),
            (&["--concurrency", "0"], "a number from 1 up, not \"0\""),
            (&["--concurrency", "-1"], "a number from 1 up, not \"-1\""),
            (&["--concurrency", "many"], "a number from 1 up, not \"many\""),
            (&["localhost:8000"], "not a URL: \"localhost:8000\""),
            (&["ftp://a/"], "not a URL"),
            (&[""], "not a URL"),
            (&["https://a/"], "plain http only"),
            (&["http://a/", "http://b/"], "one URL is enough: http://b/"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(mistake), "{arguments:?}: {error}");
        }
    }
}
