//! Bytes as PostgreSQL sends them, and what becomes of them. The real server is asked in `tests/postgres.rs`.

use serde_json::json;

use super::*;

fn cell(ty: &Type, raw: &[u8]) -> Value {
    Cell::from_sql(ty, raw).unwrap().0
}

#[test]
fn integers_that_readers_would_round_are_text() {
    assert_eq!(cell(&Type::INT8, &EXACT.to_be_bytes()), json!(EXACT));
    assert_eq!(cell(&Type::INT8, &(EXACT + 1).to_be_bytes()), json!("9007199254740992"));
    assert_eq!(cell(&Type::INT8, &i64::MIN.to_be_bytes()), json!("-9223372036854775808"));
    assert_eq!(cell(&Type::INT4, &i32::MIN.to_be_bytes()), json!(i32::MIN));
}

#[test]
fn floats_keep_their_shortest_digits_and_their_special_values() {
    assert_eq!(cell(&Type::FLOAT4, &0.1_f32.to_be_bytes()), json!(0.1));
    assert_eq!(cell(&Type::FLOAT8, &0.1_f64.to_be_bytes()), json!(0.1));
    assert_eq!(cell(&Type::FLOAT8, &f64::NAN.to_be_bytes()), json!("NaN"));
    assert_eq!(cell(&Type::FLOAT4, &f32::NEG_INFINITY.to_be_bytes()), json!("-Infinity"));
}

fn numeric_bytes(digits: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
    let count = u16::try_from(digits.len()).unwrap();
    [count, weight.cast_unsigned(), sign, scale].iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn a_numeric_is_its_exact_text() {
    for (digits, weight, sign, scale, text) in [
        (&[][..], 0, 0, 0, "0"),
        (&[], 0, 0, 2, "0.00"),
        (&[1], 0, 0, 0, "1"),
        (&[1], 1, 0, 0, "10000"),
        (&[1, 2], 1, 0, 0, "10002"),
        (&[1234, 5000], 0, 0x4000, 1, "-1234.5"),
        (&[1], -1, 0, 4, "0.0001"),
        (&[1], -2, 0, 8, "0.00000001"),
        (&[9999, 9999], 0, 0, 4, "9999.9999"),
        (&[], 0, 0xC000, 0, "NaN"),
    ] {
        assert_eq!(cell(&Type::NUMERIC, &numeric_bytes(digits, weight, sign, scale)), json!(text));
    }
}

#[test]
fn every_year_that_can_be_stored_has_a_date() {
    for (days, text) in [
        (0, "2000-01-01"),
        (59, "2000-02-29"),
        (-10_957, "1970-01-01"),
        (-730_119, "0001-01-01"),
        (-730_120, "0000-12-31"),
        (2_921_939, "9999-12-31"),
        (2_921_940, "+10000-01-01"),
        (i32::MAX, "infinity"),
    ] {
        assert_eq!(time::date(days), text, "{days}");
    }
}

#[test]
fn times_are_rfc_3339() {
    assert_eq!(time::timestamp(0, "Z"), "2000-01-01T00:00:00Z");
    assert_eq!(time::timestamp(-1, ""), "1999-12-31T23:59:59.999999");
    assert_eq!(time::timestamp(1_500_000, "Z"), "2000-01-01T00:00:01.5Z");
    assert_eq!(time::timestamp(i64::MIN, "Z"), "-infinity");
}

#[test]
fn json_that_a_reader_would_change_stays_text() {
    for (text, value) in [
        ("{\"a\": [1, 2.5, null]}", json!({"a": [1, 2.5, null]})),
        ("{\"a\": 1, \"a\": 2}", json!("{\"a\": 1, \"a\": 2}")),
        ("12345678901234567890.5", json!("12345678901234567890.5")),
        ("{\"a\": 1e400}", json!("{\"a\": 1e400}")),
        ("\"1234567890123456789012345\"", json!("1234567890123456789012345")),
    ] {
        assert_eq!(cell(&Type::JSON, text.as_bytes()), value, "{text}");
    }
}

#[test]
fn no_bytes_from_outside_make_it_panic() {
    let mut seed: u64 = 0x5eed;
    for round in 0..20_000 {
        let mut raw = Vec::new();
        for _ in 0..round % 40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            raw.push((seed >> 56) as u8);
        }
        for ty in SIMPLE.iter().chain(&[Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::NUMERIC_ARRAY]) {
            let _ = Cell::from_sql(ty, &raw);
        }
    }
}

#[test]
fn an_array_that_claims_to_be_huge_allocates_nothing() {
    let mut raw = Vec::new();
    for word in [1_i32, 0, 23, i32::MAX, 1] {
        raw.extend(word.to_be_bytes());
    }
    assert!(Cell::from_sql(&Type::INT4_ARRAY, &raw).is_err());
    // Zero-sized inner dimensions would loop long without taking a byte.
    let mut raw = Vec::new();
    for word in [2_i32, 0, 23, i32::MAX, 1, 0, 1] {
        raw.extend(word.to_be_bytes());
    }
    assert!(Cell::from_sql(&Type::INT4_ARRAY, &raw).is_err());
}
