use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catch::caught;

/// How jobs and outputs are encoded as the bytes of a message, and jobs decoded.
///
/// Defaults to [`Json`].
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Codec, Worker};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON that people like to read.
/// #[derive(Clone, Debug)]
/// struct Pretty;
///
/// impl Codec for Pretty {
///     const CONTENT_TYPE: &'static str = "application/json";
///     type Error = serde_json::Error;
///
///     fn encode<T: Serialize>(&self, item: &T) -> Result<Vec<u8>, Self::Error> {
///         serde_json::to_vec_pretty(item)
///     }
///
///     fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error> {
///         serde_json::from_slice(bytes)
///     }
/// }
///
/// let worker = Worker::builder("amqp://localhost", "jobs").codec(Pretty).build().unwrap();
/// ```
pub trait Codec: Clone + Send + Sync + 'static {
    /// What the messages' content type says.
    const CONTENT_TYPE: &'static str;

    /// What is wrong with an item or with bytes. It becomes the reason of a rejected job.
    type Error: Display;

    /// Encodes an item.
    ///
    /// # Errors
    ///
    /// Fails if the item cannot be encoded. The job that yielded it is rejected.
    fn encode<T: Serialize>(&self, item: &T) -> Result<Vec<u8>, Self::Error>;

    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not such an item. The job is rejected.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error>;
}

/// Decodes a job. What is wrong, a panic of the job's own code included, is said in words.
pub(crate) fn job<T: DeserializeOwned, C: Codec>(codec: &C, bytes: &[u8]) -> Result<T, String> {
    match caught(|| codec.decode(bytes).map_err(|error| error.to_string())) {
        Ok(decoded) => decoded.map_err(|error| format!("not a job: {error}")),
        Err(panic) => Err(format!("not a job: panicked: {panic}")),
    }
}

/// JSON, by `serde_json`.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Codec, Json};
///
/// assert_eq!(Json.encode(&[1, 2]).unwrap(), b"[1,2]");
/// assert_eq!(Json.decode::<Vec<u32>>(b"[1, 2]").unwrap(), [1, 2]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Codec for Json {
    const CONTENT_TYPE: &'static str = "application/json";

    type Error = serde_json::Error;

    fn encode<T: Serialize>(&self, item: &T) -> Result<Vec<u8>, Self::Error> {
        serde_json::to_vec(item)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(bytes)
    }
}
