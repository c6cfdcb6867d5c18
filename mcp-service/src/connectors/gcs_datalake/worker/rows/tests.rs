//! Values and caps, without a query engine.

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;
use serde_json::json;

use super::*;

fn collect(columns: Vec<(&str, ArrayRef)>, caps: Caps) -> Result<Rows, Failure> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut collector = Collector::new(&batch.schema(), caps)?;
    let _ = collector.push(&batch)?;
    collector.finish()
}

const WIDE: Caps = Caps { rows: 100, bytes: 1_000_000 };

#[test]
fn every_kind_of_value_keeps_its_meaning() {
    let decimal = Decimal128Array::from(vec![12_345_678_901_234_567_890]).with_precision_and_scale(38, 2).unwrap();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let rows = collect(
        vec![
            ("i", Arc::new(Int64Array::from(vec![9_007_199_254_740_993]))),
            ("d", Arc::new(decimal)),
            ("f", Arc::new(Float64Array::from(vec![0.5]))),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("b", Arc::new(BooleanArray::from(vec![true]))),
            ("s", Arc::new(StringArray::from(vec!["a \"quoted\"\nline"]))),
            ("n", Arc::new(StringArray::from(vec![None::<&str>]))),
            ("day", Arc::new(Date32Array::from(vec![20_000]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_000_000]))),
            ("x", Arc::new(BinaryArray::from(vec![&[0xca_u8, 0xfe][..]]))),
            ("l", Arc::new(list)),
        ],
        WIDE,
    )
    .unwrap();
    assert_eq!(
        json!(rows.rows),
        json!([[
            9_007_199_254_740_993_i64,
            "123456789012345678.90",
            0.5,
            "NaN",
            true,
            "a \"quoted\"\nline",
            null,
            "2024-10-04",
            "1970-01-01T00:00:01",
            "cafe",
            [1, null]
        ]])
    );
    let types: Vec<_> = rows.columns.iter().map(|column| column.data_type.as_str()).collect();
    let expected = "int64 decimal(38,2) double double boolean string string date timestamp binary list<int32>";
    assert_eq!(types.join(" "), expected);
}

#[test]
fn each_cap_announces_itself() {
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from_iter_values(0..10)) };
    let cut = collect(vec![("n", numbers())], Caps { rows: 3, ..WIDE }).unwrap();
    assert_eq!((cut.rows.len(), cut.cut_by), (3, Some(Cap::Rows)));
    let cut = collect(vec![("n", numbers())], Caps { bytes: 22, ..WIDE }).unwrap();
    assert_eq!((cut.rows.len(), cut.cut_by), (4, Some(Cap::Bytes)));
    let whole = collect(vec![("n", numbers())], Caps { rows: 10, ..WIDE }).unwrap();
    assert_eq!((whole.rows.len(), whole.cut_by), (10, None));
}

#[test]
fn a_long_cell_is_shortened_at_a_character_and_counted() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["ä".repeat(MAX_CELL), "short".to_owned()]));
    let rows = collect(vec![("t", texts)], WIDE).unwrap();
    assert_eq!(rows.shortened_cells, 1);
    let cell = rows.rows[0][0].as_str().unwrap();
    assert!(cell.ends_with('…') && cell.len() <= MAX_CELL + '…'.len_utf8());
    assert_eq!(rows.rows[1][0], "short");
}

#[test]
fn a_row_that_does_not_fit_at_all_is_an_error_and_no_empty_result() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(500)]));
    let failure = collect(vec![("t", texts)], Caps { rows: 1, bytes: 100 }).unwrap_err();
    assert!(failure.message.contains("larger than the 100 bytes"));
}

#[test]
fn too_many_columns_are_refused_and_not_cut() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let names: Vec<String> = (0..=MAX_COLUMNS).map(|number| format!("c{number}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), Arc::clone(&column))).collect();
    assert!(collect(columns, WIDE).unwrap_err().message.contains("1001 columns"));
}
