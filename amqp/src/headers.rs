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

    pub(crate) fn set_number(&mut self, name: &str, value: i64) {
        self.table.insert(name.into(), AMQPValue::LongLongInt(value));
    }

    /// Leaves out those of these names.
    pub(crate) fn without(&self, is_left_out: impl Fn(&str) -> bool) -> Self {
        let kept = self.table.inner().iter().filter(|(name, _)| !is_left_out(name.as_str()));
        let mut table = FieldTable::default();
        kept.for_each(|(name, value)| _ = table.insert(name.clone(), value.clone()));
        Self { table }
    }

    pub(crate) fn set(&mut self, name: &str, value: HeaderValue) {
        self.table.insert(name.into(), value.0);
    }

    /// Adds those of another that have these names and are not there yet.
    pub(crate) fn inherit(&mut self, other: &Self, names: &[&str]) {
        for name in names {
            if let Some(value) = other.value(name).filter(|_| self.value(name).is_none()) {
                self.table.insert((*name).into(), value.clone());
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.inner().is_empty()
    }

    pub(crate) fn into_table(self) -> FieldTable {
        self.table
    }

    pub(crate) fn value(&self, name: &str) -> Option<&AMQPValue> {
        self.table.inner().get(name)
    }

    /// Returns the header with this name, if it is text in UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Headers::default().text("reason"), None);
    /// ```
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Returns the header with this name, if it is a whole number.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Headers::default().number("x-delivery-count"), None);
    /// ```
    pub fn number(&self, name: &str) -> Option<i64> {
        Some(match *self.value(name)? {
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

/// The value of a header, for [`Message::header`](crate::Message::header): text, a whole number, or a
/// boolean.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::Message;
///
/// let message = Message::new(1).header("width", 640).header("kind", "jpeg").header("is_last", true);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderValue(AMQPValue);

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self(AMQPValue::LongString(text.into()))
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self(AMQPValue::LongString(text.into()))
    }
}

impl From<i64> for HeaderValue {
    fn from(number: i64) -> Self {
        Self(AMQPValue::LongLongInt(number))
    }
}

impl From<i32> for HeaderValue {
    fn from(number: i32) -> Self {
        i64::from(number).into()
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<bool> for HeaderValue {
    fn from(is_so: bool) -> Self {
        Self(AMQPValue::Boolean(is_so))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.table.inner() {
            match (self.text(name.as_str()), self.number(name.as_str())) {
                (Some(text), _) => map.entry(&name.as_str(), &text),
                (_, Some(number)) => map.entry(&name.as_str(), &number),
                _ => map.entry(&name.as_str(), value),
            };
        }
        map.finish()
    }
}
