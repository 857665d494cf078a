use std::{error, fmt};

/// Why a worker, a publisher or a delivery could not do what it was asked to.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Error, Worker};
///
/// let error = Worker::builder("http://localhost", "jobs").build().unwrap_err();
/// assert!(matches!(error, Error::Url(_)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The address of the broker cannot be read. The text says what is wrong, and quotes neither user nor
    /// password.
    Url(String),

    /// The broker has no vhost of this name, or does not let this user in.
    NoVhost(String),

    /// The text with the certificates of authorities holds none.
    NoCertificate,

    /// The broker refused: a wrong password, a queue that is there with other settings, a queue that
    /// should be there and is not. Or its certificate cannot be trusted.
    Refused(lapin::Error),

    /// There was no connection for as long as [`Broker::give_up_after`](crate::Broker::give_up_after)
    /// allows. The last failure is the source.
    GaveUp(lapin::Error),

    /// The connection that the delivery came on is gone. The broker delivers the job again, whatever is
    /// answered now.
    Lost,

    /// An item could not be encoded.
    Encode(String),

    /// An encoded item has so many bytes, more than the broker takes in one message: its setting
    /// `max_message_size`.
    TooLarge(usize),

    /// A message with a [route](crate::Message::route) of its own reaches no queue.
    Unroutable,

    /// There is no part of this name.
    NoPart(String),

    /// A message should be replayed that does not say which queue it comes from.
    NoOrigin,

    /// The broker did not confirm a message in time that [`Letters::visit`](crate::Letters::visit)
    /// replayed. It stays in the queue that it was in.
    Unconfirmed {
        /// The queue that it should have gone to.
        queue: String,
        /// How many were replayed before.
        replayed: u64,
    },

    /// The headers and other properties of a message have so many bytes, more than a frame of the
    /// connection holds, which they must fit into.
    HeadersTooLarge(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(what) => write!(f, "the broker's address cannot be used: {what}"),
            Self::NoVhost(vhost) => {
                write!(f, "the broker has no vhost {vhost:?}, or does not let this user use it")
            }
            Self::NoCertificate => f.write_str("there is no certificate in what should be PEM"),
            Self::Refused(error) => write!(f, "the broker refused: {error}"),
            Self::GaveUp(error) => write!(f, "no connection to the broker: {error}"),
            Self::Lost => {
                f.write_str("the connection of the delivery is gone, the job will be redelivered")
            }
            Self::TooLarge(bytes) => {
                write!(f, "a message of {bytes} bytes is larger than the broker takes")
            }
            Self::Unroutable => f.write_str("no queue takes a message with this routing key"),
            Self::NoPart(name) => write!(f, "there is no part {name}"),
            Self::NoOrigin => f.write_str("a message does not say which queue it comes from"),
            Self::Unconfirmed { queue, replayed } => {
                write!(
                    f,
                    "the broker did not take a message for queue {queue:?} in time, which may be \
                     full; {replayed} were replayed before, and the rest stay where they were"
                )
            }
            Self::HeadersTooLarge(bytes) => {
                write!(f, "headers of {bytes} bytes are larger than a frame of the connection")
            }
            Self::Encode(what) => write!(f, "an item could not be encoded: {what}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused(error) | Self::GaveUp(error) => Some(error),
            _ => None,
        }
    }
}
