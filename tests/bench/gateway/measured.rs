//! What was measured, and medians over rounds.

use std::time::Duration;

/// One load on one target.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Requests a second within the window.
    pub(crate) per_second: f64,
    /// Half of them took no longer, in µs.
    pub(crate) p50: f64,
    /// 99 of 100 took no longer, in µs.
    pub(crate) p99: f64,
    /// CPU time of the target a request, in µs.
    pub(crate) cpu: Option<f64>,
    /// Requests with the warm-up, all answered and right.
    pub(crate) all: u64,
}

impl Measured {
    pub(crate) fn new(mut latencies: Vec<Duration>, all: u64, window: Duration, cpu: Option<Duration>) -> Self {
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        Self {
            per_second: latencies.len() as f64 / window.as_secs_f64(),
            p50: percentile(50),
            p99: percentile(99),
            cpu: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / all.max(1) as f64),
            all,
        }
    }
}

/// The rounds of one target.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<Measured>);

impl Rounds {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.0.push(measured);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.0.iter().map(|round| round.all).sum()
    }

    pub(crate) fn per_second(&self) -> f64 {
        median(self.0.iter().map(|round| round.per_second))
    }

    pub(crate) fn p50(&self) -> f64 {
        median(self.0.iter().map(|round| round.p50))
    }

    pub(crate) fn p99(&self) -> f64 {
        median(self.0.iter().map(|round| round.p99))
    }

    /// What it can do when nothing else disturbs it: others on the same machine make every figure worse and none better.
    /// What is compared to within a few percent is compared so.
    pub(crate) fn undisturbed(&self) -> Measured {
        let least = |figure: fn(&Measured) -> f64| self.0.iter().map(figure).fold(f64::INFINITY, f64::min);
        Measured {
            per_second: self.0.iter().map(|round| round.per_second).fold(0.0, f64::max),
            p50: least(|round| round.p50),
            p99: least(|round| round.p99),
            cpu: self.0.iter().filter_map(|round| round.cpu).min_by(f64::total_cmp),
            all: self.requests(),
        }
    }

    pub(crate) fn cpu(&self) -> Option<f64> {
        self.0.iter().any(|round| round.cpu.is_some()).then(|| median(self.0.iter().filter_map(|round| round.cpu)))
    }
}

/// The middle one; of an even number the upper of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undisturbed_is_the_best_of_each_figure() {
        let round = |at: u64, cpu| Measured {
            per_second: at as f64,
            p50: 9.0 - at as f64,
            p99: 20.0 - at as f64,
            cpu,
            all: at,
        };
        let best = Rounds(vec![round(1, Some(7.0)), round(3, None), round(2, Some(5.0))]).undisturbed();
        assert_eq!((best.per_second, best.p50, best.p99, best.cpu, best.all), (3.0, 6.0, 17.0, Some(5.0), 6));
    }

    #[test]
    fn percentiles_count_what_is_within_the_window_and_cpu_time_counts_all() {
        let latencies = (1..=200).rev().map(Duration::from_micros).collect();
        let measured = Measured::new(latencies, 400, Duration::from_secs(2), Some(Duration::from_millis(4)));
        assert_eq!((measured.per_second, measured.p50, measured.p99), (100.0, 101.0, 199.0));
        assert_eq!(measured.cpu, Some(10.0));
    }
}
