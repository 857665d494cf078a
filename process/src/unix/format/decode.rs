use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{Limits, Trouble};

/// Takes values off the front of bytes.
pub(super) struct Decoder<'de> {
    bytes: &'de [u8],
    limits: Limits,
    /// How deep it may still be.
    depth: usize,
    /// How many more elements may take no bytes. Else a few bytes could ask for any number of them.
    empty: usize,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8], limits: Limits) -> Self {
        Self { bytes, limits, depth: limits.depth, empty: limits.bytes }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'de [u8] {
        self.bytes
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8], Trouble> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Trouble::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Trouble::Short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Trouble> {
        self.array().map(|[byte]| byte)
    }

    /// Takes a number of so many bits, in groups of seven, the lowest first.
    #[inline]
    fn number(&mut self, bits: u32) -> Result<u64, Trouble> {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            fits(group, shift, bits)?;
            number |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    /// Takes a number that may be longer.
    fn long(&mut self, bits: u32) -> Result<u128, Trouble> {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            fits(group, shift, bits)?;
            number |= u128::from(group) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    /// Takes a number whose lowest bit is its sign.
    #[inline]
    fn signed(&mut self, bits: u32) -> Result<i64, Trouble> {
        let number = self.number(bits)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn long_signed(&mut self, bits: u32) -> Result<i128, Trouble> {
        let number = self.long(bits)?;
        Ok((number >> 1) as i128 ^ -((number & 1) as i128))
    }

    fn length(&mut self) -> Result<usize, Trouble> {
        self.number(usize::BITS).map(|length| length as usize)
    }

    fn sized(&mut self) -> Result<&'de [u8], Trouble> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'de str, Trouble> {
        std::str::from_utf8(self.sized()?).map_err(|_| Trouble::Garbage("text"))
    }

    /// Does something with what is inside of a value.
    fn inside<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.depth = self.depth.checked_sub(1).ok_or(Trouble::Deep(self.limits.depth))?;
        let value = f(self);
        self.depth += 1;
        value
    }

    fn several<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.inside(|decoder| visitor.visit_seq(Several { decoder, left }))
    }
}

/// Makes sure that a group of bits is within a number of so many.
#[inline]
fn fits(group: u64, shift: u32, bits: u32) -> Result<(), Trouble> {
    if shift >= bits || bits - shift < 7 && group >> (bits - shift) > 0 {
        return Err(Trouble::Garbage("number of its size"));
    }
    Ok(())
}

macro_rules! numbers {
    ($($method:ident $visit:ident($type:ty) $how:ident),* $(,)?) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            visitor.$visit(self.$how(<$type>::BITS)? as $type)
        }
    )* };
}

macro_rules! undescribed {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Trouble> {
            Err(Trouble::Undescribed)
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Trouble;

    fn is_human_readable(&self) -> bool {
        false
    }

    undescribed! { deserialize_any deserialize_identifier deserialize_ignored_any }

    numbers! {
        deserialize_u16 visit_u16(u16) number, deserialize_u32 visit_u32(u32) number,
        deserialize_u64 visit_u64(u64) number, deserialize_u128 visit_u128(u128) long,
        deserialize_i16 visit_i16(i16) signed, deserialize_i32 visit_i32(i32) signed,
        deserialize_i64 visit_i64(i64) signed, deserialize_i128 visit_i128(i128) long_signed,
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_u8(self.byte()?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_i8(self.byte()? as i8)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(Trouble::Garbage("bool")),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let mut chars = self.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) => visitor.visit_char(one),
            _ => Err(Trouble::Garbage("char")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_borrowed_bytes(self.sized()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => self.inside(|decoder| visitor.visit_some(decoder)),
            _ => Err(Trouble::Garbage("option")),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.inside(|decoder| visitor.visit_newtype_struct(decoder))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let length = self.length()?;
        self.several(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let left = self.length()?;
        self.inside(|decoder| visitor.visit_map(Several { decoder, left }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.several(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.several(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.several(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_enum(self)
    }
}

/// What is inside of a value.
struct Several<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> Several<'_, 'de> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Trouble> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let before = self.decoder.bytes.len();
        let value = seed.deserialize(&mut *self.decoder)?;
        if self.decoder.bytes.len() == before {
            let limit = self.decoder.limits.bytes;
            self.decoder.empty = self.decoder.empty.checked_sub(1).ok_or(Trouble::Long(limit))?;
        }
        Ok(Some(value))
    }

    /// At most as many as there are bytes: a length says what it likes.
    fn hint(&self) -> Option<usize> {
        Some(self.left.min(self.decoder.bytes.len()))
    }
}

impl<'de> SeqAccess<'de> for Several<'_, 'de> {
    type Error = Trouble;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Trouble> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Several<'_, 'de> {
    type Error = Trouble;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Trouble> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Trouble> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> EnumAccess<'de> for &mut Decoder<'de> {
    type Error = Trouble;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Trouble> {
        let index = self.number(u32::BITS)? as u32;
        Ok((seed.deserialize(index.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Decoder<'de> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Trouble> {
        self.inside(|decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.several(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.several(fields.len(), visitor)
    }
}
