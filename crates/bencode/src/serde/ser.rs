//! From types to bytes.

use super::error::SerdeError;
use super::raw::RAW;
use crate::encode::Encoder;
use alloc::vec::Vec;
use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Writes a value. The keys of dictionaries come out in order, whatever the order of fields.
///
/// ```
/// # use serde::Serialize;
/// #[derive(Serialize)]
/// struct Query<'a> {
///     q: &'a str,
///     a: Option<u8>,
/// }
/// assert_eq!(unchoke_bencode::serde::to_bytes(&Query { q: "ping", a: Some(7) })?, b"d1:ai7e1:q4:pinge");
/// assert_eq!(unchoke_bencode::serde::to_bytes(&Query { q: "ping", a: None })?, b"d1:q4:pinge");
/// # Ok::<(), unchoke_bencode::serde::SerdeError>(())
/// ```
///
/// # Errors
/// If the value has no counterpart: floating-point numbers, `()`, keys that are no strings, `None` where a value must be.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerdeError> {
    let mut encoder = Encoder::new();
    write_to(&mut encoder, value)?;
    Ok(encoder.finish())
}

/// Appends a value to what an encoder has written. [`Encoder::clear`] lets its memory be used again.
///
/// # Errors
/// As [`to_bytes`]. What was written of the value is left behind then.
pub fn write_to<T: Serialize + ?Sized>(encoder: &mut Encoder, value: &T) -> Result<(), SerdeError> {
    match value.serialize(Writer { encoder })? {
        Wrote::Value => Ok(()),
        Wrote::Nothing => Err(SerdeError::Value(NOTHING.into())),
    }
}

const NOTHING: &str = "nothing stands where a value must be";

/// Whether a value was written; `None` writes nothing.
enum Wrote {
    Value,
    Nothing,
}

struct Writer<'e> {
    encoder: &'e mut Encoder,
}

/// The inside of a list or dictionary.
struct Inside<'e> {
    encoder: &'e mut Encoder,
    /// For a dictionary, the number of its first entry.
    dict: Option<usize>,
    /// For a variant, the same of the dictionary around it.
    around: Option<usize>,
}

impl<'e> Writer<'e> {
    fn list(self, around: Option<usize>) -> Inside<'e> {
        self.encoder.mark(b'l');
        Inside { encoder: self.encoder, dict: None, around }
    }

    fn dict(self, around: Option<usize>) -> Inside<'e> {
        let dict = Some(self.encoder.open_dict());
        Inside { encoder: self.encoder, dict, around }
    }

    /// Opens the dictionary around the content of a variant.
    fn variant(&mut self, variant: &str) -> Option<usize> {
        let around = self.encoder.open_dict();
        self.encoder.write_key(variant.as_bytes());
        Some(around)
    }

    fn unsigned(self, value: u64) -> Wrote {
        self.encoder.value().uint(value);
        Wrote::Value
    }
}

impl Inside<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        write_to(self.encoder, value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &[u8], value: &T) -> Result<(), SerdeError> {
        self.encoder.write_key(key);
        self.after_key(value)
    }

    fn after_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        if matches!(value.serialize(Writer { encoder: self.encoder })?, Wrote::Nothing) {
            self.encoder.take_key_back();
        }
        Ok(())
    }

    fn finish(self) -> Wrote {
        match self.dict {
            Some(first) => self.encoder.close_dict(first),
            None => self.encoder.mark(b'e'),
        }
        if let Some(first) = self.around {
            self.encoder.close_dict(first);
        }
        Wrote::Value
    }
}

impl<'e> Serializer for Writer<'e> {
    type Ok = Wrote;
    type Error = SerdeError;
    type SerializeSeq = Inside<'e>;
    type SerializeTuple = Inside<'e>;
    type SerializeTupleStruct = Inside<'e>;
    type SerializeTupleVariant = Inside<'e>;
    type SerializeMap = Inside<'e>;
    type SerializeStruct = Inside<'e>;
    type SerializeStructVariant = Inside<'e>;

    fn serialize_bool(self, value: bool) -> Result<Wrote, SerdeError> {
        Ok(self.unsigned(value.into()))
    }

    fn serialize_i8(self, value: i8) -> Result<Wrote, SerdeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Wrote, SerdeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Wrote, SerdeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Wrote, SerdeError> {
        self.encoder.int(value);
        Ok(Wrote::Value)
    }

    fn serialize_u8(self, value: u8) -> Result<Wrote, SerdeError> {
        Ok(self.unsigned(value.into()))
    }

    fn serialize_u16(self, value: u16) -> Result<Wrote, SerdeError> {
        Ok(self.unsigned(value.into()))
    }

    fn serialize_u32(self, value: u32) -> Result<Wrote, SerdeError> {
        Ok(self.unsigned(value.into()))
    }

    fn serialize_u64(self, value: u64) -> Result<Wrote, SerdeError> {
        Ok(self.unsigned(value))
    }

    fn serialize_f32(self, _: f32) -> Result<Wrote, SerdeError> {
        Err(SerdeError::custom("floating-point numbers cannot be bencoded"))
    }

    fn serialize_f64(self, _: f64) -> Result<Wrote, SerdeError> {
        Err(SerdeError::custom("floating-point numbers cannot be bencoded"))
    }

    fn serialize_char(self, value: char) -> Result<Wrote, SerdeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Wrote, SerdeError> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Wrote, SerdeError> {
        self.encoder.bytes(value);
        Ok(Wrote::Value)
    }

    fn serialize_none(self) -> Result<Wrote, SerdeError> {
        Ok(Wrote::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Wrote, SerdeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Wrote, SerdeError> {
        Err(SerdeError::custom("`()` cannot be bencoded"))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Wrote, SerdeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Wrote, SerdeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Wrote, SerdeError> {
        if name == RAW {
            let raw = value.serialize(BytesOnly)?;
            self.encoder.value().raw(&raw);
            return Ok(Wrote::Value);
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Wrote, SerdeError> {
        let around = self.variant(variant).unwrap_or_default();
        write_to(self.encoder, value)?;
        self.encoder.close_dict(around);
        Ok(Wrote::Value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'e>, SerdeError> {
        Ok(self.list(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'e>, SerdeError> {
        Ok(self.list(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'e>, SerdeError> {
        Ok(self.list(None))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'e>, SerdeError> {
        let around = self.variant(variant);
        Ok(self.list(around))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'e>, SerdeError> {
        Ok(self.dict(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'e>, SerdeError> {
        Ok(self.dict(None))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'e>, SerdeError> {
        let around = self.variant(variant);
        Ok(self.dict(around))
    }
}

macro_rules! items {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Inside<'_> {
            type Ok = Wrote;
            type Error = SerdeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
                self.item(value)
            }

            fn end(self) -> Result<Wrote, SerdeError> {
                Ok(self.finish())
            }
        }
    )*};
}

items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl $trait for Inside<'_> {
            type Ok = Wrote;
            type Error = SerdeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), SerdeError> {
                self.field(key.as_bytes(), value)
            }

            fn end(self) -> Result<Wrote, SerdeError> {
                Ok(self.finish())
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Inside<'_> {
    type Ok = Wrote;
    type Error = SerdeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerdeError> {
        let key = key.serialize(BytesOnly)?;
        self.encoder.write_key(&key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        self.after_key(value)
    }

    fn end(self) -> Result<Wrote, SerdeError> {
        Ok(self.finish())
    }
}

/// Takes strings only: keys, and the contents of raw values.
struct BytesOnly;

macro_rules! no_key {
    ($($method:ident($($kind:ty),*)),*) => {$(
        fn $method(self, $(_: $kind),*) -> Result<Vec<u8>, SerdeError> {
            Err(SerdeError::custom("dictionary key is not a string"))
        }
    )*};
}

macro_rules! no_composite_key {
    ($($method:ident($($kind:ty),*)),*) => {$(
        fn $method(self, $(_: $kind),*) -> Result<Impossible<Vec<u8>, SerdeError>, SerdeError> {
            Err(SerdeError::custom("dictionary key is not a string"))
        }
    )*};
}

impl Serializer for BytesOnly {
    type Ok = Vec<u8>;
    type Error = SerdeError;
    type SerializeSeq = Impossible<Vec<u8>, SerdeError>;
    type SerializeTuple = Impossible<Vec<u8>, SerdeError>;
    type SerializeTupleStruct = Impossible<Vec<u8>, SerdeError>;
    type SerializeTupleVariant = Impossible<Vec<u8>, SerdeError>;
    type SerializeMap = Impossible<Vec<u8>, SerdeError>;
    type SerializeStruct = Impossible<Vec<u8>, SerdeError>;
    type SerializeStructVariant = Impossible<Vec<u8>, SerdeError>;

    fn serialize_str(self, value: &str) -> Result<Vec<u8>, SerdeError> {
        Ok(value.as_bytes().to_vec())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Vec<u8>, SerdeError> {
        Ok(value.to_vec())
    }

    fn serialize_char(self, value: char) -> Result<Vec<u8>, SerdeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Vec<u8>, SerdeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Vec<u8>, SerdeError> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, SerdeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Vec<u8>, SerdeError> {
        Err(SerdeError::custom("dictionary key is not a string"))
    }

    no_key!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str)
    );
    no_composite_key!(
        serialize_seq(Option<usize>),
        serialize_tuple(usize),
        serialize_tuple_struct(&'static str, usize),
        serialize_tuple_variant(&'static str, u32, &'static str, usize),
        serialize_map(Option<usize>),
        serialize_struct(&'static str, usize),
        serialize_struct_variant(&'static str, u32, &'static str, usize)
    );
}
