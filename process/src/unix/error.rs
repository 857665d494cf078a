use std::process::ExitStatus;
use std::time::Duration;
use std::{error, fmt, io};

/// Why a call in a worker process has no output.
///
/// It is the error of one call. The pool replaces a worker that is gone, and other calls are not affected.
///
/// # Examples
///
/// ```
/// use flowlet_process::Error;
///
/// /// Whether the same call may do better the next time.
/// fn is_worth_a_retry(error: &Error) -> bool {
///     matches!(error, Error::Died { .. } | Error::DiedAtStart { .. } | Error::Start(_))
/// }
///
/// assert!(!is_worth_a_retry(&Error::Panicked("index out of bounds".to_owned())));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No worker could be started, and the pool has none: the system refused, or the function given
    /// to [`Builder::command`](crate::Builder::command) panicked. The call has not begun.
    Start(io::Error),

    /// The pool has no worker, and the processes that it started were killed before they called
    /// [`worker`](crate::worker), several in a row. The call has not begun.
    #[non_exhaustive]
    DiedAtStart {
        /// How the last of them ended. `None` if the system did not tell.
        status: Option<ExitStatus>,
        /// The last of what it wrote to its standard error.
        stderr: String,
    },

    /// A process was started, but it exited, or its time was up, before it called
    /// [`worker`](crate::worker). The call has not begun.
    #[non_exhaustive]
    NotAWorker {
        /// How it ended. `None` if it was ended because its time was up.
        status: Option<ExitStatus>,
        /// How long it was waited for.
        limit: Duration,
        /// The last of what it wrote to its standard error.
        stderr: String,
    },

    /// The worker does not know the function, or knows another one by its name. The text says which
    /// it knows. For workers that run the same program, [`in_process`](crate::in_process) finds this
    /// out and panics.
    NotRegistered(String),

    /// The argument could not be encoded here, or not be decoded in the worker, or it exceeds the
    /// [depth](crate::Builder::depth_limit) or the [size](crate::Builder::byte_limit) that the pool
    /// allows. The text says which, in the type's own words if it has any. The function was not called.
    Argument(String),

    /// The function returned, but what it returned could not be encoded in the worker, or not be
    /// decoded here, or it exceeds the [depth](crate::Builder::depth_limit) or the
    /// [size](crate::Builder::byte_limit) that the pool allows. The text says which.
    Output(String),

    /// The function panicked, with this message. The worker lives on.
    Panicked(String),

    /// The worker died during the call: it exited, aborted, or was killed.
    #[non_exhaustive]
    Died {
        /// How it ended. `None` if the system did not tell, as when the program ignores `SIGCHLD`.
        status: Option<ExitStatus>,
        /// The last of what it wrote to its standard error, in this call or before.
        stderr: String,
    },

    /// What came from the worker is not what workers say. It was killed.
    Protocol(String),

    /// The pool was dropped or shut down.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(_) => f.write_str("the worker process could not be started"),
            Self::DiedAtStart { status, stderr } => {
                f.write_str("the worker was killed while it started")?;
                if let Some(status) = status {
                    write!(f, " ({status})")?;
                }
                f.write_str(", as were others before it")?;
                last_words(f, stderr)
            }
            Self::NotAWorker { status, limit, stderr } => {
                match status {
                    Some(status) => write!(f, "the process that was started ended ({status})")?,
                    None => {
                        write!(f, "the process that was started was given {limit:?}, and ended")?
                    }
                }
                f.write_str(
                    " before it called `flowlet_process::worker`: call it first in `main`, or if this \
                     is a test, see `Builder::test_worker`",
                )?;
                last_words(f, stderr)
            }
            Self::NotRegistered(what) => f.write_str(what),
            Self::Argument(why) => write!(f, "the argument could not be sent to the worker: {why}"),
            Self::Output(why) => write!(f, "the output could not be sent by the worker: {why}"),
            Self::Panicked(message) => write!(f, "the call panicked in its worker: {message}"),
            Self::Died { status, stderr } => {
                f.write_str("the worker died during the call")?;
                if let Some(status) = status {
                    write!(f, " ({status})")?;
                }
                last_words(f, stderr)
            }
            Self::Protocol(what) => write!(f, "the worker broke the protocol: {what}"),
            Self::Closed => f.write_str("the process pool was dropped or shut down"),
        }
    }
}

fn last_words(f: &mut fmt::Formatter<'_>, stderr: &str) -> fmt::Result {
    match stderr.trim_end() {
        "" => Ok(()),
        stderr => write!(f, "; the last it wrote to its standard error:\n{stderr}"),
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            _ => None,
        }
    }
}
