//! The example data of the project: made here, committed under `deploy/examples/datalake`, compared by a test.
//!
//! A supplier of hospitals: customers (CSV), inventory and two years of orders (Parquet, partitioned by year) and
//! shipments (one JSON object per line). Every number comes from a counter and a fixed mixing function, so that
//! every run makes the same bytes. To write the files anew:
//! `cargo test -p aperium-mcp-service --test datalake -- --ignored write_the_example_data`

use aperium_tests::binaries::repository;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::support::example_folder;

const CUSTOMERS: u64 = 48;
const ORDERS: u64 = 1_200;
/// 2025-01-01 and 2026-01-01, in seconds since 1970.
const YEARS: [(&str, u64); 2] = [("2025", 1_735_689_600), ("2026", 1_767_225_600)];

const CITIES: [(&str, &str); 8] = [
    ("Hamburg", "DE"),
    ("Lyon", "FR"),
    ("Porto", "PT"),
    ("Zürich", "CH"),
    ("Leeds", "GB"),
    ("Austin", "US"),
    ("Toronto", "CA"),
    ("Kraków", "PL"),
];
const KINDS: [&str; 4] = ["General Hospital", "Heart Centre", "Children's Clinic", "Care Home"];
const PRODUCTS: [(&str, &str, i128); 12] = [
    ("Nitrile gloves, box of 100", "consumables", 890),
    ("Surgical masks, box of 50", "consumables", 625),
    ("Syringes 5 ml, box of 100", "consumables", 1_450),
    ("Saline 0.9 %, 500 ml", "fluids", 315),
    ("Ringer's solution, 1 l", "fluids", 420),
    ("Wound dressing 10 x 10 cm", "wound care", 275),
    ("Compression bandage", "wound care", 540),
    ("Infusion pump", "devices", 124_900),
    ("Patient monitor", "devices", 289_000),
    ("Pulse oximeter", "devices", 8_990),
    ("Wheelchair", "mobility", 21_500),
    ("Walking frame", "mobility", 6_450),
];
const STATUSES: [&str; 5] = ["delivered", "delivered", "delivered", "open", "returned"];
const CARRIERS: [&str; 3] = ["Northline", "Medfreight", "City Courier"];

/// One order, as it is written and as the expected results are computed from.
struct Order {
    id: u64,
    year: usize,
    customer: u64,
    product: usize,
    quantity: i32,
    placed: u64,
    status: &'static str,
}

/// SplitMix64: the same number for the same counter on every machine.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn pick(counter: u64, from: u64) -> u64 {
    mix(counter) % from
}

fn index(counter: u64, from: usize) -> usize {
    usize::try_from(pick(counter, from as u64)).unwrap()
}

fn orders() -> Vec<Order> {
    let per_year = ORDERS / YEARS.len() as u64;
    let order = |number: u64| {
        let year = usize::try_from(number / per_year).unwrap();
        let second = YEARS[year].1 + (number % per_year) * (365 * 86_400 / per_year) + pick(number, 40_000);
        Order {
            id: 10_000 + number,
            year,
            customer: 1 + pick(number * 7 + 1, CUSTOMERS),
            product: index(number * 7 + 2, PRODUCTS.len()),
            quantity: 1 + i32::try_from(pick(number * 7 + 3, 40)).unwrap(),
            placed: second,
            status: STATUSES[index(number * 7 + 4, STATUSES.len())],
        }
    };
    (0..ORDERS).map(order).collect()
}

fn city(customer: u64) -> (&'static str, &'static str) {
    CITIES[index(customer * 11, CITIES.len())]
}

fn sku(product: usize) -> String {
    format!("SKU-{:03}", product + 1)
}

fn customers() -> Vec<u8> {
    let mut text = "customer_id,name,city,country,beds,since\n".to_owned();
    for id in 1..=CUSTOMERS {
        let (city, country) = city(id);
        let kind = KINDS[index(id * 13, KINDS.len())];
        let (beds, year, month) = (20 + pick(id * 17, 900), 2012 + pick(id * 19, 13), 1 + pick(id * 23, 12));
        writeln!(text, "{id},\"{kind} {city}, No. {id}\",{city},{country},{beds},{year}-{month:02}-01").unwrap();
    }
    text.into_bytes()
}

fn inventory() -> Vec<u8> {
    let count = PRODUCTS.len();
    let stock = |shift: u64, from: u64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values((0..count as u64).map(|p| i32::try_from(pick(p + shift, from)).unwrap())))
    };
    parquet(vec![
        ("sku", Arc::new(StringArray::from_iter_values((0..count).map(sku)))),
        ("name", Arc::new(StringArray::from_iter_values(PRODUCTS.iter().map(|product| product.0)))),
        ("category", Arc::new(StringArray::from_iter_values(PRODUCTS.iter().map(|product| product.1)))),
        ("unit_price", money(PRODUCTS.iter().map(|product| product.2))),
        ("in_stock", stock(500, 2_000)),
        ("reorder_level", stock(900, 300)),
    ])
}

fn orders_of(year: usize) -> Vec<u8> {
    let orders: Vec<Order> = orders().into_iter().filter(|order| order.year == year).collect();
    let placed = orders.iter().map(|order| i64::try_from(order.placed * 1_000_000).unwrap());
    parquet(vec![
        ("order_id", Arc::new(Int64Array::from_iter_values(orders.iter().map(|o| i64::try_from(o.id).unwrap())))),
        (
            "customer_id",
            Arc::new(Int64Array::from_iter_values(orders.iter().map(|o| i64::try_from(o.customer).unwrap()))),
        ),
        ("sku", Arc::new(StringArray::from_iter_values(orders.iter().map(|order| sku(order.product))))),
        ("quantity", Arc::new(Int32Array::from_iter_values(orders.iter().map(|order| order.quantity)))),
        ("unit_price", money(orders.iter().map(|order| PRODUCTS[order.product].2))),
        ("placed_at", Arc::new(TimestampMicrosecondArray::from_iter_values(placed).with_timezone("UTC"))),
        ("status", Arc::new(StringArray::from_iter_values(orders.iter().map(|order| order.status)))),
    ])
}

fn shipments() -> Vec<u8> {
    let mut text = String::new();
    for order in orders().iter().filter(|order| order.status != "open").step_by(4) {
        let stops: Vec<&str> =
            (0..1 + index(order.id, 3)).map(|stop| CITIES[index(order.id + stop as u64, 8)].0).collect();
        let shipment = json!({
            "order_id": order.id,
            "carrier": CARRIERS[index(order.id * 3, CARRIERS.len())],
            "days": 1 + pick(order.id * 5, 9),
            "stops": stops,
        });
        writeln!(text, "{shipment}").unwrap();
    }
    text.into_bytes()
}

fn money(cents: impl Iterator<Item = i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(cents).with_precision_and_scale(10, 2).unwrap())
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("customers.csv".to_owned(), customers()),
        ("inventory.parquet".to_owned(), inventory()),
        ("shipments.ndjson".to_owned(), shipments()),
    ]);
    for (year, (name, _)) in YEARS.iter().enumerate() {
        files.insert(format!("orders/year={name}/part-0.parquet"), orders_of(year));
    }
    files
}

/// What the example must answer for orders per country, computed without a query engine.
pub(crate) fn totals_by_country() -> Value {
    let mut totals: BTreeMap<&str, (u64, i64, i128)> = BTreeMap::new();
    for order in orders() {
        let total = totals.entry(city(order.customer).1).or_default();
        total.0 += 1;
        total.1 += i64::from(order.quantity);
        total.2 += i128::from(order.quantity) * PRODUCTS[order.product].2;
    }
    let row = |(country, (count, quantity, cents)): (&str, (u64, i64, i128))| {
        json!([country, count, quantity, format!("{}.{:02}", cents / 100, cents % 100)])
    };
    totals.into_iter().map(row).collect()
}

#[test]
fn the_committed_example_data_is_what_this_program_makes() {
    let folder = example_folder();
    for (path, bytes) in files() {
        let committed = fs::read(folder.join(&path)).unwrap_or_default();
        assert!(committed == bytes, "{path} differs: write the example data anew (see the top of this file)");
    }
}

#[test]
#[ignore = "writes into the source tree"]
fn write_the_example_data() {
    let folder = repository().join("deploy/examples/datalake");
    for (path, bytes) in files() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
