//! The little of protobuf that TRON's transactions need ([encoding]), written as proto3 writes it: tags rise, and what is empty or zero is left out.
//!
//! [encoding]: https://protobuf.dev/programming-guides/encoding/

/// Bytes that are no message of the expected kind in its only encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends within a field that begins at this byte.
    #[error("field at byte {0} is cut short")]
    Truncated(usize),
    /// A number at this byte has more than 64 bits or is not in its shortest form.
    #[error("number at byte {0} is not in its only form")]
    Number(usize),
    /// The field at this byte is none of this message, or not of its type, or stands where its number may not.
    #[error("field at byte {0} is unknown or out of order")]
    Field(usize),
    /// The field at this byte is zero or empty, and so has to be left out.
    #[error("field at byte {0} is empty")]
    Empty(usize),
    /// Something is missing that no such message is without, or stands there too often.
    #[error("{0} is missing or there too often")]
    Count(&'static str),
}

/// Writes a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    /// A number.
    pub(crate) fn int(&mut self, number: u32, value: i64) {
        if value != 0 {
            self.varint(u64::from(number) << 3);
            self.varint(value.cast_unsigned());
        }
    }

    /// A run of bytes, a text or a message.
    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.message(number, value);
        }
    }

    /// A run of bytes that is written though it be empty: one of a list.
    pub(crate) fn message(&mut self, number: u32, value: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// Reads a message, field by field.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    last: u32,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    /// Where it begins.
    pub(crate) at: usize,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, last: 0 }
    }

    /// The next field, whose number is not below the one before.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.at >= self.input.len() {
            return Ok(None);
        }
        let at = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| DecodeError::Field(at))?;
        if number == 0 || number < self.last {
            return Err(DecodeError::Field(at));
        }
        self.last = number;
        let value = match key & 7 {
            0 => Value::Int(self.varint()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated(at))?;
                let end = self.at.checked_add(len).ok_or(DecodeError::Truncated(at))?;
                let bytes = self.input.get(self.at..end).ok_or(DecodeError::Truncated(at))?;
                self.at = end;
                Value::Bytes(bytes)
            }
            _ => return Err(DecodeError::Field(at)),
        };
        Ok(Some(Field { number, at, value }))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.input.get(self.at).ok_or(DecodeError::Truncated(start))?;
            self.at = self.at.saturating_add(1);
            if shift == 63 && byte > 1 || shift > 0 && byte == 0 {
                return Err(DecodeError::Number(start));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Number(start))
    }
}

impl<'a> Field<'a> {
    /// The number, of an int64.
    pub(crate) fn int(self) -> Result<i64, DecodeError> {
        match self.value {
            Value::Int(0) => Err(DecodeError::Empty(self.at)),
            Value::Int(value) => Ok(value.cast_signed()),
            Value::Bytes(_) => Err(DecodeError::Field(self.at)),
        }
    }

    /// The number, of an int32: negative ones are written with 64 bits.
    pub(crate) fn int32(self) -> Result<i32, DecodeError> {
        i32::try_from(self.int()?).map_err(|_| DecodeError::Number(self.at))
    }

    /// The bytes, of which there are some.
    pub(crate) fn bytes(self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.message()?;
        if bytes.is_empty() { Err(DecodeError::Empty(self.at)) } else { Ok(bytes) }
    }

    /// The bytes, which may be none: one of a list.
    pub(crate) fn message(self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Int(_) => Err(DecodeError::Field(self.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_forms_of_the_same_message_are_refused() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            while let Some(field) = reader.next()? {
                if field.number == 2 { field.bytes().map(drop)? } else { field.int().map(drop)? }
            }
            Ok(())
        };
        assert_eq!(read(&[0x08, 0x01, 0x12, 0x01, 0xff]), Ok(()));
        assert_eq!(read(&[0x08, 0x81, 0x00]), Err(DecodeError::Number(1)));
        assert_eq!(read(&[0x08, 0x00]), Err(DecodeError::Empty(0)));
        assert_eq!(read(&[0x12, 0x01, 0xff, 0x08, 0x01]), Err(DecodeError::Field(3)));
        assert_eq!(read(&[0x12, 0x05, 0xff]), Err(DecodeError::Truncated(0)));
        assert_eq!(read(&[0x12, 0x00]), Err(DecodeError::Empty(0)));
        assert_eq!(read(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8]), Err(DecodeError::Field(0)));
        assert_eq!(read(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), Err(DecodeError::Number(1)));
        assert_eq!(read(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Ok(()));
        assert_eq!(read(&[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Err(DecodeError::Truncated(0)));
    }

    proptest! {
        #[test]
        fn numbers_read_as_they_were_written(value: i64) {
            let mut writer = Writer::default();
            writer.int(7, value);
            let field = Reader::new(&writer.0).next().unwrap();
            prop_assert_eq!(field.map_or(0, |it| it.int().unwrap()), value);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(field)) = reader.next() {
                let _ = (field.int32(), field.bytes());
            }
        }
    }
}
