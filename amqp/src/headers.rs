use std::fmt;

use lapin::types::{AMQPValue, FieldTable};

/// The headers of a message.
///
/// # Examples
///
/// ```
/// let headers = flowlet_amqp::Headers::default();
/// assert_eq!(headers.text("x-flowlet-reason"), None);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Headers {
    table: FieldTable,
}

impl Headers {
    pub(crate) fn new(table: FieldTable) -> Self {
        Self { table }
    }

    pub(crate) fn set_text(&mut self, name: &str, value: &str) {
        self.table.insert(name.into(), AMQPValue::LongString(value.into()));
    }

    pub(crate) fn into_table(self) -> FieldTable {
        self.table
    }

    fn get(&self, name: &str) -> Option<&AMQPValue> {
        self.table.inner().get(name)
    }

    /// Returns the header of this name, if it is text in UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Headers::default().text("reason"), None);
    /// ```
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Returns the header of this name, if it is a whole number.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Headers::default().number("x-delivery-count"), None);
    /// ```
    pub fn number(&self, name: &str) -> Option<i64> {
        Some(match *self.get(name)? {
            AMQPValue::ShortShortInt(n) => n.into(),
            AMQPValue::ShortShortUInt(n) => n.into(),
            AMQPValue::ShortInt(n) => n.into(),
            AMQPValue::ShortUInt(n) => n.into(),
            AMQPValue::LongInt(n) => n.into(),
            AMQPValue::LongUInt(n) => n.into(),
            AMQPValue::LongLongInt(n) => n,
            _ => return None,
        })
    }

    /// Returns the names of all headers.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Headers::default().names().count(), 0);
    /// ```
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.inner().keys().map(|name| name.as_str())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.table.inner()).finish()
    }
}
