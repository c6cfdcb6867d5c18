//! Rows of all rounds → medians and ratios as text.

use std::fmt;

/// One target in one round.
pub(crate) struct Row {
    pub(crate) target: &'static str,
    pub(crate) per_second: f64,
    pub(crate) cpu_micros: Option<f64>,
    pub(crate) p50_micros: u128,
    pub(crate) p99_micros: u128,
    pub(crate) upstream_requests: u64,
    pub(crate) resident_mib: Option<u64>,
}

/// All rounds of one kind of request.
pub(crate) struct Table {
    title: &'static str,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn of(&self, target: &str) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.target == target).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: 32 connections, target on one core, medians of the rounds, every answer checked", self.title)?;
        writeln!(
            f,
            "  {:16} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>12}",
            "target", "requests/s", "of direct", "of nginx", "CPU µs", "p50 µs", "p99 µs", "asked above"
        )?;
        let rate = |target: &str| median(self.of(target).iter().map(|row| row.per_second).collect());
        let (direct, nginx) = (rate("direct"), rate("nginx"));
        let mut seen = Vec::new();
        for target in self.rows.iter().map(|row| row.target) {
            if seen.contains(&target) {
                continue;
            }
            seen.push(target);
            let rows = self.of(target);
            let per_second = rate(target);
            let cpu: Vec<f64> = rows.iter().filter_map(|row| row.cpu_micros).collect();
            let cpu = if cpu.is_empty() { "-".to_owned() } else { format!("{:.1}", median(cpu)) };
            let micros = |pick: fn(&Row) -> u128| median(rows.iter().map(|row| pick(row) as f64).collect());
            let asked: u64 = rows.iter().map(|row| row.upstream_requests).sum();
            let resident = rows
                .iter()
                .filter_map(|row| row.resident_mib)
                .max()
                .map_or(String::new(), |mib| format!("  {mib} MiB"));
            writeln!(
                f,
                "  {target:16} {per_second:10.0} {:10.2} {:10.2} {cpu:>9} {:9.0} {:9.0} {asked:12}{resident}",
                per_second / direct,
                per_second / nginx,
                micros(|row| row.p50_micros),
                micros(|row| row.p99_micros),
            )?;
        }
        Ok(())
    }
}
