//! How arguments and outputs are written: as postcard does it, byte for byte.
//!
//! It is written here because postcard bounds neither how deep a value is, which is a matter of the stack,
//! nor how much it may take, and keeps no text of an error.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::decode::Decoder;
use self::encode::Encoder;

/// What an argument or an output may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many values may be inside of one another.
    pub(super) depth: usize,
    /// How many bytes it may have once it is encoded.
    pub(super) bytes: usize,
}

impl Limits {
    /// For what the two sides say of themselves.
    pub(super) const NONE: Self = Self { depth: usize::MAX, bytes: usize::MAX };
}

/// Appends a value.
pub(super) fn encode<T: Serialize + ?Sized>(
    value: &T,
    to: &mut Vec<u8>,
    limits: Limits,
) -> Result<(), Trouble> {
    value.serialize(Encoder::new(to, limits))
}

/// Decodes a value that takes up all of `bytes`.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, Trouble> {
    let mut decoder = Decoder::new(bytes, limits);
    let value = T::deserialize(&mut decoder)?;
    match decoder.rest() {
        [] => Ok(value),
        rest => Err(Trouble::Excess(rest.len())),
    }
}

/// Takes a value off the front of `bytes`.
pub(super) fn take<'a, T: serde::Deserialize<'a>>(bytes: &mut &'a [u8]) -> Result<T, Trouble> {
    let mut decoder = Decoder::new(bytes, Limits::NONE);
    let value = T::deserialize(&mut decoder)?;
    *bytes = decoder.rest();
    Ok(value)
}

/// Why a value does not go over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What the type itself had to say.
    Said(String),
    /// It would have to be guessed from the bytes what is in them, or how much.
    Undescribed,
    /// It is deeper than the limit.
    Deep(usize),
    /// It takes more bytes than the limit.
    Long(usize),
    /// The bytes end too early.
    Short,
    /// So many bytes are left over.
    Excess(usize),
    /// The bytes are none of such a value.
    Garbage(&'static str),
    /// The system has no memory for it.
    NoMemory,
}

impl Trouble {
    /// Says what is wrong with a type.
    pub(super) fn of<T>(&self) -> String {
        format!("`{}`: {self}", type_name::<T>())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::Undescribed => f.write_str(
                "it needs a format that describes itself, as `serde_json::Value`, `untagged` and \
                 `flatten` do: send it as text or bytes",
            ),
            Self::Deep(limit) => write!(
                f,
                "it is nested deeper than the limit of {limit}, which \
                 `flowlet_process::Builder::depth_limit` sets",
            ),
            Self::Long(limit) => write!(
                f,
                "it takes more than the limit of {limit} bytes, which \
                 `flowlet_process::Builder::byte_limit` sets",
            ),
            Self::Short => f.write_str("the bytes end in the middle of it"),
            Self::Excess(bytes) => write!(f, "{bytes} bytes are left over"),
            Self::Garbage(what) => write!(f, "the bytes are no {what}"),
            Self::NoMemory => f.write_str("there is no memory for it"),
        }
    }
}

impl std::error::Error for Trouble {}

impl serde::ser::Error for Trouble {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Said(text.to_string())
    }
}

impl serde::de::Error for Trouble {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Said(text.to_string())
    }
}
