//! Messages from lists of their fields.

use crate::proto::{DecodeError, Field};

/// A message of protobuf.
pub(super) trait Message: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Writes a type, its encoder and its decoder for each message, and one enum of all contracts.
macro_rules! messages {
    (
        $($(#[$doc:meta])* $name:ident = ($number:literal, $url:literal) { $($fields:tt)* })*
        ---
        $($(#[$part_doc:meta])* $part:ident { $($part_fields:tt)* })*
    ) => {
        $(messages!(@message $(#[$doc])* $name { $($fields)* });)*
        $(messages!(@message $(#[$part_doc])* $part { $($part_fields)* });)*

        /// What a transaction does.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Contract {
            $($(#[$doc])* $name($name),)*
        }

        impl Contract {
            /// The number of its kind.
            #[must_use]
            pub const fn number(&self) -> i32 {
                match self { $(Self::$name(_) => $number,)* }
            }

            /// The name of its kind, behind the prefix that all type URLs have.
            #[must_use]
            pub const fn type_name(&self) -> &'static str {
                match self { $(Self::$name(_) => $url,)* }
            }

            /// Who hands it in, as it stands there.
            #[must_use]
            pub fn owner_address(&self) -> &[u8] {
                match self { $(Self::$name(it) => &it.owner_address,)* }
            }

            pub(crate) fn encode(&self) -> Vec<u8> {
                match self { $(Self::$name(it) => it.encode(),)* }
            }

            pub(crate) fn decode(number: i32, type_name: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
                match (number, type_name) {
                    $(($number, $url) => $name::decode(bytes).map(Self::$name),)*
                    _ => Err(DecodeError::Count("a known contract")),
                }
            }
        }

        $(impl From<$name> for Contract {
            fn from(contract: $name) -> Self {
                Self::$name(contract)
            }
        })*
    };
    (@message $(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ident $(($type:ident))? = $tag:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Default, Debug)]
        #[allow(clippy::exhaustive_structs, reason = "TRON's protocol closes the set; ours has the same form")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: messages!(@type $kind $(($type))?),)*
        }

        impl Message for $name {
            fn encode(&self) -> Vec<u8> {
                #[allow(unused_mut, reason = "no message is empty of fields")]
                let mut writer = Writer::default();
                $(messages!(@write writer, self.$field, $tag, $kind);)*
                writer.0
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let (mut message, mut reader, mut last) = (Self::default(), Reader::new(bytes), 0);
                while let Some(field) = reader.next()? {
                    match field.number {
                        $($tag => messages!(@read field, message.$field, last, $kind $(($type))?),)*
                        _ => return Err(DecodeError::Field(field.at)),
                    }
                    last = field.number;
                }
                Ok(message)
            }
        }
    };
    (@type int) => { i64 };
    (@type int32) => { i32 };
    (@type bytes) => { Vec<u8> };
    (@type list ($type:ident)) => { Vec<$type> };
    (@write $writer:ident, $value:expr, $tag:literal, int) => { $writer.int($tag, $value) };
    (@write $writer:ident, $value:expr, $tag:literal, int32) => { $writer.int($tag, i64::from($value)) };
    (@write $writer:ident, $value:expr, $tag:literal, bytes) => { $writer.bytes($tag, &$value) };
    (@write $writer:ident, $value:expr, $tag:literal, list) => {
        $value.iter().for_each(|item| $writer.message($tag, &item.encode()))
    };
    (@read $field:ident, $place:expr, $last:ident, int) => { $place = once($field, $last)?.int()? };
    (@read $field:ident, $place:expr, $last:ident, int32) => { $place = once($field, $last)?.int32()? };
    (@read $field:ident, $place:expr, $last:ident, bytes) => { $place = once($field, $last)?.bytes()?.to_vec() };
    (@read $field:ident, $place:expr, $last:ident, list ($type:ident)) => {{
        if $place.len() >= MAX_LIST {
            return Err(DecodeError::Field($field.at));
        }
        $place.push(<$type as Message>::decode($field.message()?)?);
    }};
}

/// A field that may stand there only once.
pub(super) fn once(field: Field<'_>, last: u32) -> Result<Field<'_>, DecodeError> {
    if field.number == last { Err(DecodeError::Field(field.at)) } else { Ok(field) }
}

/// Items of a list, at most.
pub(super) const MAX_LIST: usize = 256;

pub(super) use messages;
