//! How many bytes properties take.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// All of the frame.
pub(crate) fn of_frame(properties: &BasicProperties) -> usize {
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.expiration(),
        properties.message_id(),
        properties.kind(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    let texts = texts.into_iter().flatten().map(|text| 1 + text.as_str().len()).sum::<usize>();
    let headers = properties.headers().as_ref().map_or(0, of_table);
    let bytes = [properties.delivery_mode(), properties.priority()];
    let time = 8 * usize::from(properties.timestamp().is_some());
    8 + 14 + texts + headers + bytes.into_iter().flatten().count() + time
}

fn of_table(table: &FieldTable) -> usize {
    let entry = |(name, value): (&lapin::types::ShortString, &AMQPValue)| {
        1 + name.as_str().len() + of_value(value)
    };
    4 + table.inner().iter().map(entry).sum::<usize>()
}

/// With its kind.
fn of_value(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldTable(table) => of_table(table),
        AMQPValue::FieldArray(array) => 4 + array.as_slice().iter().map(of_value).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_header_counts() {
        let of = |value: AMQPValue| {
            let mut table = FieldTable::default();
            table.insert("n".into(), value);
            of_frame(&BasicProperties::default().with_headers(table)) - 8 - 14 - 4 - 2
        };
        let mut table = FieldTable::default();
        table.insert("ab".into(), AMQPValue::Boolean(true));
        assert_eq!(of(AMQPValue::Void), 1);
        assert_eq!(of(AMQPValue::LongLongInt(7)), 9);
        assert_eq!(of(AMQPValue::LongString("ü".into())), 7);
        assert_eq!(of(AMQPValue::FieldTable(table)), 1 + 4 + 3 + 2);
        let properties = BasicProperties::default()
            .with_message_id("id".into())
            .with_priority(1)
            .with_timestamp(7);
        assert_eq!(of_frame(&properties), 8 + 14 + 3 + 1 + 8);
    }
}
