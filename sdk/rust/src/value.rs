//! A typed value of a log field or a span attribute.
//! It does not know which of them it becomes.

use std::borrow::Cow;

use crate::{Bytes, Label};

/// A value: text, whole number, number, or truth. Most things become one by `into`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Text as it came; the host replaces what is not UTF-8.
    Bytes(Bytes),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

macro_rules! from {
    ($($from:ty => |$value:ident| $into:expr;)*) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from($value: $from) -> Self { $into }
        }
    )*};
}

from! {
    &'a str => |value| Self::Text(value.into());
    &'a String => |value| Self::Text(value.into());
    String => |value| Self::Text(value.into());
    Cow<'a, str> => |value| Self::Text(value);
    Label => |value| Self::Text(value.as_str().into());
    Bytes => |value| Self::Bytes(value);
    &'a Bytes => |value| Self::Text(value.to_str_lossy());
    bool => |value| Self::Bool(value);
    i32 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    u8 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    // Beyond 2^63 there is no such whole number in a log line or an attribute; the nearest one is kept.
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    usize => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    f32 => |value| Self::Float(value.into());
    f64 => |value| Self::Float(value);
}
