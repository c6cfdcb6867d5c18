//! Results as JSON: record batches come in, rows within the caps go out.
//!
//! Rows are arrays in the order of the columns, because two columns of one result may have the same name.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use super::super::protocol::{Cap, Caps, Column, Failure, FailureKind, Rows};

/// The longest cell, in bytes of its JSON; longer ones are shortened and counted.
const MAX_CELL: usize = 20_000;

/// Most columns of a result or a description.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// Gathers rows until a cap is reached.
pub(super) struct Collector {
    caps: Caps,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    cut_by: Option<Cap>,
    shortened: u64,
}

impl Collector {
    /// An empty result.
    ///
    /// # Errors
    /// When it would have too many columns: leaving some out would give rows that fit nothing.
    pub(super) fn new(schema: &Schema, caps: Caps) -> Result<Self, Failure> {
        let count = schema.fields().len();
        if count > MAX_COLUMNS {
            let message = format!("the result has {count} columns; name at most {MAX_COLUMNS} in the SELECT");
            return Err(Failure::new(FailureKind::InvalidQuery, message));
        }
        let columns = columns(schema);
        Ok(Self { caps, columns, rows: Vec::new(), bytes: 0, cut_by: None, shortened: 0 })
    }

    /// Adds the rows of a batch; `Break` once a cap is reached.
    ///
    /// # Errors
    /// When a column has a type that cannot be written as JSON.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<ControlFlow<()>, Failure> {
        let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Exactly));
        let schema = batch.schema();
        let mut cells = Vec::with_capacity(batch.num_columns());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let encoder = make_encoder(field, array.as_ref(), &options).map_err(|error| unwritable(&error))?;
            cells.push(Cells { array: array.as_ref(), encoder });
        }
        for index in 0..batch.num_rows() {
            if self.rows.len() >= self.caps.rows {
                self.cut_by = Some(Cap::Rows);
                return Ok(ControlFlow::Break(()));
            }
            let mut row = Vec::with_capacity(cells.len());
            for cell in &mut cells {
                let (value, size) = cell.value(index, &mut self.shortened)?;
                self.bytes += size + 1;
                row.push(value);
            }
            self.bytes += 3;
            if self.bytes > self.caps.bytes {
                self.cut_by = Some(Cap::Bytes);
                return Ok(ControlFlow::Break(()));
            }
            self.rows.push(row);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The result.
    ///
    /// # Errors
    /// When not even one row fits into the byte cap: an empty result would be a lie.
    pub(super) fn finish(self) -> Result<Rows, Failure> {
        if self.rows.is_empty() && self.cut_by == Some(Cap::Bytes) {
            let message = format!("a single row is larger than the {} bytes that a result may have", self.caps.bytes);
            return Err(Failure::new(FailureKind::InvalidQuery, message));
        }
        Ok(Rows { columns: self.columns, rows: self.rows, cut_by: self.cut_by, shortened_cells: self.shortened })
    }
}

/// One column of a batch.
struct Cells<'a> {
    array: &'a dyn Array,
    encoder: NullableEncoder<'a>,
}

impl Cells<'_> {
    /// A cell and the bytes of its JSON.
    fn value(&mut self, index: usize, shortened: &mut u64) -> Result<(Value, usize), Failure> {
        if self.encoder.is_null(index) {
            return Ok((Value::Null, 4));
        }
        // A text is looked at before it is copied: it may be as large as the memory limit.
        if let Some(text) = text_at(self.array, index).filter(|text| text.len() > MAX_CELL) {
            *shortened += 1;
            return Ok(cut(text));
        }
        let mut json = Vec::new();
        self.encoder.encode(index, &mut json);
        if json.len() > MAX_CELL {
            *shortened += 1;
            return Ok(cut(&String::from_utf8_lossy(&json)));
        }
        let value = serde_json::from_slice(&json)
            .map_err(|_| Failure::new(FailureKind::Internal, "a value could not be written as JSON"))?;
        Ok((value, json.len()))
    }
}

fn text_at(array: &dyn Array, index: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(index)),
        DataType::Utf8View => Some(array.as_string_view().value(index)),
        _ => None,
    }
}

fn cut(text: &str) -> (Value, usize) {
    let mut end = MAX_CELL;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let short = format!("{}…", text.get(..end).unwrap_or_default());
    let size = short.len() + 2;
    (Value::String(short), size)
}

/// Writes what JSON numbers cannot hold exactly as text: decimals, and floats that are not finite.
#[derive(Debug)]
struct Exactly;

impl EncoderFactory for Exactly {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if !array.data_type().is_decimal() && !array.data_type().is_floating() {
            return Ok(None);
        }
        let floating = array.data_type().is_floating();
        let texts = ArrayFormatter::try_new(array, &FORMAT)?;
        Ok(Some(NullableEncoder::new(Box::new(Texts { texts, floating }), array.nulls().cloned())))
    }
}

static FORMAT: FormatOptions<'static> = FormatOptions::new().with_display_error(true);

struct Texts<'a> {
    texts: ArrayFormatter<'a>,
    floating: bool,
}

impl Encoder for Texts<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        let text = self.texts.value(index).to_string();
        let number = self.floating && text.parse::<f64>().is_ok_and(f64::is_finite);
        let quotes: &[u8] = if number { b"" } else { b"\"" };
        out.extend_from_slice(quotes);
        // Digits, signs, `NaN`, `inf`: nothing that JSON would want escaped.
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(quotes);
    }
}

fn unwritable(error: &ArrowError) -> Failure {
    Failure::new(FailureKind::InvalidQuery, format!("a column cannot be shown; cast it to a text: {error}"))
}

/// The first [`MAX_COLUMNS`] columns of a schema, with types in plain words.
pub(super) fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &FieldRef| Column { name: field.name().clone(), data_type: type_name(field.data_type()) };
    schema.fields().iter().take(MAX_COLUMNS).map(column).collect()
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Float16 | DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp({zone})"),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests;
