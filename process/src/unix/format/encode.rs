use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{Limits, Trouble};

/// Appends one value.
pub(super) struct Encoder<'a> {
    to: &'a mut Vec<u8>,
    limits: Limits,
    /// How deep it may still be.
    depth: usize,
    /// How long all may be.
    end: usize,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(to: &'a mut Vec<u8>, limits: Limits) -> Self {
        let end = to.len().saturating_add(limits.bytes);
        Self { to, limits, depth: limits.depth, end }
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), Trouble> {
        if self.to.len() >= self.end {
            return Err(Trouble::Long(self.limits.bytes));
        }
        self.to.push(byte);
        Ok(())
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        if self.end - self.to.len() < bytes.len() {
            return Err(Trouble::Long(self.limits.bytes));
        }
        self.to.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts a number in groups of seven bits, the lowest first.
    #[inline]
    fn number(&mut self, mut number: u64) -> Result<(), Trouble> {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80)?;
            number >>= 7;
        }
        self.byte(number as u8)
    }

    /// Puts a number that may be longer.
    fn long(&mut self, mut number: u128) -> Result<(), Trouble> {
        while number > u64::MAX.into() {
            self.byte(number as u8 | 0x80)?;
            number >>= 7;
        }
        self.number(number as u64)
    }

    /// Puts a number with its sign in the lowest bit, so that small ones are short.
    #[inline]
    fn signed(&mut self, number: i64) -> Result<(), Trouble> {
        self.number(((number << 1) ^ (number >> 63)) as u64)
    }

    fn long_signed(&mut self, number: i128) -> Result<(), Trouble> {
        self.long(((number << 1) ^ (number >> 127)) as u128)
    }

    /// Puts bytes and, before them, how many.
    fn sized(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.number(bytes.len() as u64)?;
        self.put(bytes)
    }

    /// Goes into a value.
    fn inside(mut self) -> Result<Self, Trouble> {
        self.depth = self.depth.checked_sub(1).ok_or(Trouble::Deep(self.limits.depth))?;
        Ok(self)
    }

    /// Puts one of several values inside.
    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Trouble> {
        let Self { ref mut to, limits, depth, end } = *self;
        value.serialize(Encoder { to, limits, depth, end })
    }

    fn counted(mut self, length: Option<usize>) -> Result<Self, Trouble> {
        self.number(length.ok_or(Trouble::Undescribed)? as u64)?;
        self.inside()
    }

    fn variant(mut self, index: u32) -> Result<Self, Trouble> {
        self.number(index.into())?;
        self.inside()
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) $how:ident),* $(,)?) => { $(
        #[inline]
        fn $method(mut self, value: $type) -> Result<(), Trouble> {
            self.$how(value.into())
        }
    )* };
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Trouble;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        serialize_u16(u16) number, serialize_u32(u32) number, serialize_u64(u64) number,
        serialize_u128(u128) long, serialize_i16(i16) signed, serialize_i32(i32) signed,
        serialize_i64(i64) signed, serialize_i128(i128) long_signed,
    }

    #[inline]
    fn serialize_u8(mut self, value: u8) -> Result<(), Trouble> {
        self.byte(value)
    }

    fn serialize_i8(self, value: i8) -> Result<(), Trouble> {
        self.serialize_u8(value as u8)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Trouble> {
        self.serialize_u8(value.into())
    }

    #[inline]
    fn serialize_f32(mut self, value: f32) -> Result<(), Trouble> {
        self.put(&value.to_le_bytes())
    }

    #[inline]
    fn serialize_f64(mut self, value: f64) -> Result<(), Trouble> {
        self.put(&value.to_le_bytes())
    }

    fn serialize_char(self, value: char) -> Result<(), Trouble> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Trouble> {
        self.sized(value.as_bytes())
    }

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), Trouble> {
        self.sized(value)
    }

    fn serialize_none(self) -> Result<(), Trouble> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), Trouble> {
        self.byte(1)?;
        value.serialize(self.inside()?)
    }

    fn serialize_unit(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Trouble> {
        Ok(())
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Trouble> {
        self.number(index.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Trouble> {
        value.serialize(self.inside()?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Trouble> {
        value.serialize(self.variant(index)?)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Trouble> {
        self.counted(length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Trouble> {
        self.counted(length)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Trouble> {
        self.inside()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Trouble> {
        self.inside()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Trouble> {
        self.inside()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Trouble> {
        self.variant(index)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Trouble> {
        self.variant(index)
    }
}

/// They differ in the names of their methods only.
macro_rules! compounds {
    ($($kind:ident: $($method:ident($($name:ty)?)),+;)*) => { $(
        impl $kind for Encoder<'_> {
            type Ok = ();
            type Error = Trouble;
            $(
                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $(_: $name,)?
                    value: &T,
                ) -> Result<(), Trouble> {
                    self.value(value)
                }
            )+
            fn end(self) -> Result<(), Trouble> {
                Ok(())
            }
        }
    )* };
}

compounds! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
    SerializeMap: serialize_key(), serialize_value();
}
