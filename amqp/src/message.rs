//! What is published.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::BasicProperties;
use lapin::types::FieldTable;

use crate::Headers;
use crate::output::Route;

/// Messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// As long as AMQP allows for an id.
const ID_LENGTH: usize = 255;

/// A message to be published, as often as it takes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) payload: Vec<u8>,
    pub(crate) properties: BasicProperties,
    /// Where it goes, if not where all others go.
    pub(crate) route: Option<Route>,
}

impl Message {
    /// A message with these properties and what every message has.
    pub(crate) fn new(payload: Vec<u8>, content_type: &str, properties: BasicProperties) -> Self {
        let properties =
            properties.with_delivery_mode(PERSISTENT).with_content_type(content_type.into());
        Self { payload, properties, route: None }
    }

    pub(crate) fn set_id(&mut self, id: String) {
        let properties = std::mem::take(&mut self.properties);
        self.properties = properties.with_message_id(fitting(id).into());
    }

    pub(crate) fn set_headers(&mut self, headers: Headers) {
        if !headers.is_empty() {
            let properties = std::mem::take(&mut self.properties);
            self.properties = properties.with_headers(headers.into_table());
        }
    }

    /// A copy of a message that came, with other headers.
    pub(crate) fn copy(payload: Vec<u8>, came: &BasicProperties, headers: FieldTable) -> Self {
        let mut properties =
            BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
        macro_rules! keep {
            ($($get:ident $with:ident),*) => {
                $(if let Some(value) = came.$get() { properties = properties.$with(value.clone()); })*
            };
        }
        // Not how long it may wait, which was meant for the queue it came from, nor who sent it: the
        // broker takes that from nobody else.
        keep!(
            content_type with_content_type,
            content_encoding with_content_encoding,
            priority with_priority,
            correlation_id with_correlation_id,
            reply_to with_reply_to,
            message_id with_message_id,
            timestamp with_timestamp,
            kind with_type,
            app_id with_app_id
        );
        Self { payload, properties, route: None }
    }
}

/// An id or a name as long as AMQP allows: of a longer one the beginning, and a hash of all of it, so that
/// those that differ still do, and those that are the same still are, in any program.
pub(crate) fn fitting(id: String) -> String {
    if id.len() <= ID_LENGTH {
        return id;
    }
    let hash = format!("…{:032x}", fnv(&id));
    let fits = |end: &usize| id.is_char_boundary(*end);
    let end = (0..=ID_LENGTH - hash.len()).rev().find(fits).unwrap_or(0);
    format!("{}{hash}", &id[..end])
}

/// FNV-1a of 128 bits, which is the same in all programs and versions.
pub(crate) fn fnv(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// An id that no other message has.
pub(crate) fn new_id() -> String {
    static PROCESS: LazyLock<[u64; 2]> = LazyLock::new(|| {
        // Both are seeded by the system.
        [RandomState::new().hash_one(1), RandomState::new().hash_one(2)]
    });
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let [high, low] = *PROCESS;
    format!("{high:016x}{low:016x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_all_but_who_sent_it_and_how_long_it_may_wait() {
        let came = BasicProperties::default()
            .with_message_id("id".into())
            .with_expiration("1000".into())
            .with_user_id("guest".into())
            .with_type("kind".into());
        let copy = Message::copy(vec![1], &came, FieldTable::default()).properties;
        let kept = BasicProperties::default()
            .with_message_id("id".into())
            .with_type("kind".into())
            .with_delivery_mode(PERSISTENT)
            .with_headers(FieldTable::default());
        assert_eq!(copy, kept);
    }

    #[test]
    fn ids_differ() {
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn an_id_that_is_too_long_is_shortened_and_no_other_is_the_same() {
        let id_of = |id: &str| {
            let mut message = Message::new(vec![], "a/b", BasicProperties::default());
            message.set_id(id.to_owned());
            message.properties.message_id().as_ref().unwrap().to_string()
        };
        assert_eq!(id_of(&"x".repeat(255)), "x".repeat(255));
        // The same in each version of this crate, or else jobs of the last would not be known.
        let long = "x".repeat(256);
        assert_eq!(id_of(&long), "x".repeat(220) + "…ae190b8d4950600365fdbd78cea9718d");
        assert_ne!(id_of(&long), id_of(&(long.clone() + ":0")));
        let wide = id_of(&"€".repeat(100));
        assert!(wide.starts_with(&"€".repeat(73)) && wide.len() <= 255, "{wide}");
    }

    #[test]
    fn the_hash_is_fnv() {
        // Of nothing it is the basis, and of "a" it is in the tables of those who made it.
        assert_eq!(fnv(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
