//! One cell: the bytes that PostgreSQL sends and their type come in; a JSON value that loses nothing goes out.
//!
//! Numbers that JSON readers would round (int8 beyond 2^53, every numeric) are strings; times are RFC 3339 and
//! ISO 8601; bytea is base64. What has no form here is cast to text by the server first ([`is_readable`]).

mod json;
mod numeric;
mod time;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postgres_types::{FromSql, Kind, Type};
use serde_json::Value;

/// The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
const EXACT: i64 = 9_007_199_254_740_991;

/// How deep array types nest in declarations such as domains over arrays over domains.
const MAX_DEPTH: u8 = 8;

/// A cell as JSON.
#[derive(Debug)]
pub(super) struct Cell(pub(super) Value);

/// The bytes are not what the type promises.
#[derive(Debug, thiserror::Error)]
#[error("a value of type {0} could not be read")]
pub(super) struct Unreadable(String);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        decode(ty, raw, MAX_DEPTH).map(Cell).ok_or_else(|| Unreadable(ty.name().to_owned()).into())
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(ty: &Type) -> bool {
        is_readable(ty)
    }
}

/// Whether a type has a form here; any other is selected as text.
pub(super) fn is_readable(ty: &Type) -> bool {
    readable(ty, MAX_DEPTH)
}

fn readable(ty: &Type, depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match ty.kind() {
        Kind::Enum(_) => true,
        Kind::Domain(base) => readable(base, depth),
        Kind::Array(element) => {
            // These two arrays have a binary form of another kind.
            *ty != Type::INT2_VECTOR && *ty != Type::OID_VECTOR && readable(element, depth)
        }
        Kind::Simple | Kind::Pseudo => SIMPLE.contains(ty),
        _ => false,
    }
}

const SIMPLE: &[Type] = &[
    Type::BOOL,
    Type::CHAR,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::XID,
    Type::CID,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::NUMERIC,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::NAME,
    Type::UNKNOWN,
    Type::BYTEA,
    Type::UUID,
    Type::JSON,
    Type::JSONB,
    Type::DATE,
    Type::TIME,
    Type::TIMETZ,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::INTERVAL,
    Type::INET,
    Type::CIDR,
    Type::MACADDR,
    Type::MACADDR8,
    Type::VOID,
];

fn decode(ty: &Type, raw: &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    match ty.kind() {
        Kind::Enum(_) => text(raw),
        Kind::Domain(base) => decode(base, raw, depth),
        Kind::Array(element) => array(element, raw, depth),
        _ => simple(ty, raw),
    }
}

fn simple(ty: &Type, raw: &[u8]) -> Option<Value> {
    Some(match *ty {
        Type::BOOL => Value::Bool(*raw.first()? != 0),
        Type::CHAR => Value::String(raw.iter().map(|byte| char::from(*byte)).collect()),
        Type::INT2 => i16::from_be_bytes(raw.try_into().ok()?).into(),
        Type::INT4 => i32::from_be_bytes(raw.try_into().ok()?).into(),
        Type::INT8 => exact(i64::from_be_bytes(raw.try_into().ok()?)),
        Type::OID | Type::XID | Type::CID => u32::from_be_bytes(raw.try_into().ok()?).into(),
        Type::FLOAT4 => float4(f32::from_be_bytes(raw.try_into().ok()?)),
        Type::FLOAT8 => float8(f64::from_be_bytes(raw.try_into().ok()?)),
        Type::NUMERIC => Value::String(numeric::decode(raw)?),
        Type::BYTEA => Value::String(STANDARD.encode(raw)),
        Type::UUID => Value::String(uuid::Uuid::from_slice(raw).ok()?.to_string()),
        Type::JSON => json::decode(raw)?,
        Type::JSONB => match raw.split_first()? {
            (1, json) => json::decode(json)?,
            _ => return None,
        },
        Type::DATE => Value::String(time::date(i32::from_be_bytes(raw.try_into().ok()?))),
        Type::TIME => Value::String(time::time(i64::from_be_bytes(raw.try_into().ok()?))),
        Type::TIMETZ => Value::String(time::time_with_zone(raw)?),
        Type::TIMESTAMP => Value::String(time::timestamp(i64::from_be_bytes(raw.try_into().ok()?), "")),
        Type::TIMESTAMPTZ => Value::String(time::timestamp(i64::from_be_bytes(raw.try_into().ok()?), "Z")),
        Type::INTERVAL => Value::String(time::interval(raw)?),
        Type::INET | Type::CIDR => Value::String(network(raw)?),
        Type::MACADDR | Type::MACADDR8 => {
            Value::String(raw.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
        }
        Type::VOID => Value::Null,
        _ => text(raw)?,
    })
}

fn text(raw: &[u8]) -> Option<Value> {
    std::str::from_utf8(raw).ok().map(|text| Value::String(text.to_owned()))
}

/// A number where every reader keeps it, else its digits.
pub(super) fn exact(number: i64) -> Value {
    if (-EXACT..=EXACT).contains(&number) { number.into() } else { Value::String(number.to_string()) }
}

fn float8(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or_else(|| special(number), Value::Number)
}

/// The shortest digits that mean this float4: widening it would show digits that were never stored.
fn float4(number: f32) -> Value {
    if !number.is_finite() {
        return special(f64::from(number));
    }
    number.to_string().parse().ok().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number)
}

/// As PostgreSQL spells what JSON has no number for.
fn special(number: f64) -> Value {
    let text = match number {
        n if n.is_nan() => "NaN",
        n if n > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    Value::String(text.to_owned())
}

/// `inet`: family, prefix length, is cidr, length, address.
fn network(raw: &[u8]) -> Option<String> {
    let [family, bits, is_cidr, _length, address @ ..] = raw else { return None };
    let (address, full) = match family {
        2 => (IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)), 32),
        3 => (IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)), 128),
        _ => return None,
    };
    Some(if *is_cidr == 0 && *bits == full { address.to_string() } else { format!("{address}/{bits}") })
}

/// Dimensions, then elements in row order.
fn array(element: &Type, raw: &[u8], depth: u8) -> Option<Value> {
    let mut reader = Reader(raw);
    let dimensions = reader.i32()?;
    let (_has_nulls, _oid) = (reader.i32()?, reader.i32()?);
    let mut sizes = Vec::new();
    for _ in 0..u8::try_from(dimensions).ok()? {
        let size = usize::try_from(reader.i32()?).ok()?;
        // Every element takes at least its length word, so more of them than bytes is a lie.
        if size == 0 || size > raw.len() {
            return None;
        }
        sizes.push(size);
        let _lower_bound = reader.i32()?;
    }
    match sizes.split_first() {
        None => Some(Value::Array(Vec::new())),
        Some((size, inner)) => level(element, *size, inner, &mut reader, depth),
    }
}

fn level(element: &Type, size: usize, inner: &[usize], reader: &mut Reader<'_>, depth: u8) -> Option<Value> {
    let mut items = Vec::new();
    for _ in 0..size {
        items.push(match inner.split_first() {
            Some((size, inner)) => level(element, *size, inner, reader, depth)?,
            None => match reader.i32()? {
                -1 => Value::Null,
                length => decode(element, reader.take(usize::try_from(length).ok()?)?, depth)?,
            },
        });
    }
    Some(Value::Array(items))
}

/// Takes bytes off the front; never more than there are.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests;
