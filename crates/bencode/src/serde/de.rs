//! From bytes to types.

use super::error::SerdeError;
use super::raw::RAW;
use crate::error::ErrorKind;
use crate::number::{short_header, string_header};
use crate::tape::MAX_DEPTH;
use serde::de::value::SeqDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads one value, after which nothing may follow. Unsorted keys and superfluous zeros are put up with.
///
/// ```
/// # use serde::Deserialize;
/// #[derive(Deserialize)]
/// struct Reply<'a> {
///     #[serde(borrow)]
///     id: &'a [u8],
///     port: Option<u16>,
/// }
/// let reply: Reply<'_> = unchoke_bencode::serde::from_bytes(b"d2:id3:abc4:porti6881ee")?;
/// assert_eq!((reply.id, reply.port), (&b"abc"[..], Some(6881)));
/// # Ok::<(), unchoke_bencode::serde::SerdeError>(())
/// ```
///
/// # Errors
/// With the byte offset, if the input is no bencode or not of this type.
pub fn from_bytes<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, SerdeError> {
    let (value, rest) = from_bytes_prefix(input)?;
    match rest {
        [] => Ok(value),
        rest => Err(SerdeError::syntax(ErrorKind::TrailingBytes, input.len().saturating_sub(rest.len()))),
    }
}

/// Reads the value that `input` starts with, and returns what follows it.
///
/// # Errors
/// With the byte offset, if the input does not start with bencode of this type.
pub fn from_bytes_prefix<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<(T, &'de [u8]), SerdeError> {
    let mut reader = Reader { input, at: 0, depth: 0 };
    match T::deserialize(&mut reader) {
        Ok(value) => Ok((value, input.get(reader.at..).unwrap_or_default())),
        Err(error) => Err(error.at(reader.at)),
    }
}

/// Reads values off the input.
struct Reader<'de> {
    input: &'de [u8],
    at: usize,
    depth: usize,
}

enum Integer {
    Signed(i64),
    Unsigned(u64),
}

impl<'de> Reader<'de> {
    #[inline]
    fn peek(&self) -> Result<u8, SerdeError> {
        match self.input.get(self.at) {
            Some(byte) => Ok(*byte),
            None => Err(self.ended()),
        }
    }

    #[cold]
    fn ended(&self) -> SerdeError {
        SerdeError::syntax(ErrorKind::UnexpectedEnd, self.at)
    }

    #[cold]
    fn unexpected(&self, byte: u8) -> SerdeError {
        SerdeError::syntax(ErrorKind::UnexpectedByte(byte), self.at)
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    #[cold]
    fn mismatch(&self, wanted: &str) -> SerdeError {
        SerdeError::Type { message: alloc::format!("expected {wanted}"), offset: self.at }
    }

    #[inline]
    fn string(&mut self) -> Result<&'de [u8], SerdeError> {
        if let Some(text) = self.input.get(self.at..)
            && let Some((length, header)) = short_header(text)
            && let Some(found) = text.get(header as usize..header.wrapping_add(length) as usize)
        {
            self.at = self.at.wrapping_add(header.wrapping_add(length) as usize);
            return Ok(found);
        }
        self.long_string()
    }

    #[cold]
    fn long_string(&mut self) -> Result<&'de [u8], SerdeError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.mismatch("a string"));
        }
        let (length, header) = string_header(self.input, self.at)?;
        let contents = self.at.wrapping_add(header);
        let end = contents.wrapping_add(length);
        let found = self.input.get(contents..end);
        let found = found.ok_or_else(|| SerdeError::syntax(ErrorKind::StringBeyondInput, self.at))?;
        self.at = end;
        Ok(found)
    }

    fn text(&mut self) -> Result<&'de str, SerdeError> {
        let start = self.at;
        let bytes = self.string()?;
        core::str::from_utf8(bytes)
            .map_err(|_| SerdeError::Type { message: "string is not UTF-8".into(), offset: start })
    }

    /// The digits of an integer, with their sign.
    fn digits(&mut self) -> Result<&'de [u8], SerdeError> {
        if self.peek()? != b'i' {
            return Err(self.mismatch("an integer"));
        }
        self.step();
        let start = self.at;
        if self.peek()? == b'-' {
            self.step();
        }
        let first = self.at;
        while self.peek()?.is_ascii_digit() {
            self.step();
        }
        match self.peek()? {
            b'e' if self.at > first => {}
            other => return Err(self.unexpected(other)),
        }
        let digits = self.input.get(start..self.at).unwrap_or_default();
        self.step();
        Ok(digits)
    }

    fn integer(&mut self) -> Result<Integer, SerdeError> {
        let start = self.at;
        let digits = self.digits()?;
        if let Some(value) = crate::number::integer(digits) {
            return Ok(Integer::Signed(value));
        }
        let unsigned = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let error = || SerdeError::syntax(ErrorKind::IntegerOverflow, start.saturating_add(1));
        unsigned.map(Integer::Unsigned).ok_or_else(error)
    }

    fn visit_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.integer()? {
            Integer::Signed(value) => visitor.visit_i64(value),
            Integer::Unsigned(value) => visitor.visit_u64(value),
        }
    }

    /// Passes over one value and returns its bytes. It is checked as the decoder would.
    fn skip(&mut self) -> Result<&'de [u8], SerdeError> {
        let start = self.at;
        // One bit a level: whether it is a dictionary, and whether that waits for a key.
        let (mut dicts, mut keys, mut depth) = (0_u128, 0_u128, 0_usize);
        loop {
            let byte = self.peek()?;
            let key_due = keys & 1 == 1;
            match byte {
                b'0'..=b'9' => drop(self.string()?),
                b'e' if depth > 0 => {
                    if dicts & 1 == 1 && !key_due {
                        return Err(SerdeError::syntax(ErrorKind::MissingValue, self.at));
                    }
                    self.step();
                    (dicts, keys, depth) = (dicts >> 1, keys >> 1, depth.saturating_sub(1));
                }
                _ if key_due => return Err(SerdeError::syntax(ErrorKind::KeyNotString, self.at)),
                b'i' => drop(self.digits()?),
                b'l' | b'd' => {
                    if self.depth.saturating_add(depth) >= MAX_DEPTH {
                        return Err(SerdeError::syntax(ErrorKind::TooDeep, self.at));
                    }
                    self.step();
                    let is_dict = u128::from(byte == b'd');
                    (dicts, keys, depth) = (dicts << 1 | is_dict, keys << 1 | is_dict, depth.saturating_add(1));
                    continue;
                }
                other => return Err(self.unexpected(other)),
            }
            if depth == 0 {
                return Ok(self.input.get(start..self.at).unwrap_or_default());
            }
            // After a key comes a value, after a value a key.
            keys ^= dicts & 1;
        }
    }

    /// Enters a list or dictionary.
    #[inline]
    fn enter(&mut self) -> Result<(), SerdeError> {
        if self.depth >= MAX_DEPTH {
            return Err(SerdeError::syntax(ErrorKind::TooDeep, self.at));
        }
        self.depth = self.depth.saturating_add(1);
        self.step();
        Ok(())
    }

    /// Leaves what was entered; all of it must have been read.
    #[inline]
    fn leave(&mut self) -> Result<(), SerdeError> {
        if self.peek()? != b'e' {
            return Err(self.mismatch("the end of the list or dictionary"));
        }
        self.step();
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = SerdeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.peek()? {
            b'i' => self.visit_integer(visitor),
            b'0'..=b'9' => {
                let bytes = self.string()?;
                match core::str::from_utf8(bytes) {
                    Ok(text) => visitor.visit_borrowed_str(text),
                    Err(_) => visitor.visit_borrowed_bytes(bytes),
                }
            }
            b'l' => self.deserialize_seq(visitor),
            b'd' => self.deserialize_map(visitor),
            other => Err(self.unexpected(other)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        let start = self.at;
        match self.integer()? {
            Integer::Signed(value @ 0..=1) => visitor.visit_bool(value == 1),
            _ => Err(SerdeError::Type { message: "expected 0 or 1".into(), offset: start }),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.visit_integer(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_bytes(self.string()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_bytes(self.string()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_borrowed_bytes(self.string()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        if name == RAW { visitor.visit_borrowed_bytes(self.skip()?) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.peek()? {
            b'l' => {}
            b'0'..=b'9' => {
                return visitor.visit_seq(SeqDeserializer::<_, SerdeError>::new(self.string()?.iter().copied()));
            }
            _ => return Err(self.mismatch("a list")),
        }
        self.enter()?;
        let value = visitor.visit_seq(Inside(self))?;
        self.leave()?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, SerdeError> {
        let start = self.at;
        if self.peek()?.is_ascii_digit() {
            let bytes = self.string()?;
            if bytes.len() != length {
                let message = alloc::format!("expected a string of {length} bytes, found {}", bytes.len());
                return Err(SerdeError::Type { message, offset: start });
            }
            return visitor.visit_seq(SeqDeserializer::<_, SerdeError>::new(bytes.iter().copied()));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        if self.peek()? != b'd' {
            return Err(self.mismatch("a dictionary"));
        }
        self.enter()?;
        let value = visitor.visit_map(Inside(self))?;
        self.leave()?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        if self.peek()? != b'd' {
            return visitor.visit_enum(self.text()?.into_deserializer());
        }
        self.enter()?;
        let value = visitor.visit_enum(Inside(self))?;
        self.leave()?;
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 f32 f64 unit unit_struct }
}

/// The inside of a list, a dictionary, or an enum that is written as a dictionary.
struct Inside<'r, 'de>(&'r mut Reader<'de>);

impl<'de> SeqAccess<'de> for Inside<'_, 'de> {
    type Error = SerdeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, SerdeError> {
        if self.0.peek()? == b'e' {
            return Ok(None);
        }
        seed.deserialize(&mut *self.0).map(Some)
    }
}

impl<'de> MapAccess<'de> for Inside<'_, 'de> {
    type Error = SerdeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, SerdeError> {
        match self.0.peek()? {
            b'e' => Ok(None),
            b'0'..=b'9' => seed.deserialize(&mut *self.0).map(Some),
            _ => Err(SerdeError::syntax(ErrorKind::KeyNotString, self.0.at)),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, SerdeError> {
        if self.0.peek()? == b'e' {
            return Err(SerdeError::syntax(ErrorKind::MissingValue, self.0.at));
        }
        seed.deserialize(&mut *self.0)
    }
}

impl<'de> EnumAccess<'de> for Inside<'_, 'de> {
    type Error = SerdeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), SerdeError> {
        let variant = seed.deserialize(&mut *self.0)?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Inside<'_, 'de> {
    type Error = SerdeError;

    fn unit_variant(self) -> Result<(), SerdeError> {
        Err(self.0.mismatch("a string, for a variant without content"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, SerdeError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, SerdeError> {
        self.0.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        self.0.deserialize_map(visitor)
    }
}
