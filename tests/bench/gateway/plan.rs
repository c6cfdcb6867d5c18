//! How long and how often.

use clap::Parser;
use std::time::Duration;

/// The gateway beside a direct call and its peers.
#[derive(Debug, Parser)]
pub(crate) struct Plan {
    /// Rounds of each load; the order of the targets is reversed in each.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Milliseconds of each load, without its warm-up.
    #[arg(long, default_value_t = 2000)]
    window: u64,
    /// Seconds of load during which the gateway's memory must not grow.
    #[arg(long, default_value_t = 20)]
    steady: u64,
    /// Only this part: rates, pace, crowd, identity, leased, memory or many. Prints, and writes nothing.
    #[arg(long)]
    only: Option<String>,
}

impl Plan {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window)
    }

    pub(crate) fn steady(&self) -> Duration {
        Duration::from_secs(self.steady)
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }

    /// Whether all of it is run, which alone makes a report.
    pub(crate) fn whole(&self) -> bool {
        self.only.is_none()
    }
}
