//! Levels of log messages (RFC 5424 names, specification 2025-11-25, "Logging").

/// From the most to the least.
const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// A level, ordered by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Level {
    /// Reads a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok()).map(Self)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("emergency")
    }

    /// As a number from 1; 0 stands for none.
    pub(super) fn number(level: Option<Self>) -> u8 {
        level.map_or(0, |level| level.0 + 1)
    }

    /// From such a number.
    pub(super) fn of_number(number: u8) -> Option<Self> {
        number.checked_sub(1).filter(|at| usize::from(*at) < NAMES.len()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_survive_as_numbers() {
        assert!(Level::parse("debug") < Level::parse("emergency"));
        assert_eq!(Level::parse("Debug"), None);
        for name in NAMES {
            let level = Level::parse(name);
            assert_eq!(Level::of_number(Level::number(level)), level);
            assert_eq!(level.unwrap().name(), name);
        }
        assert_eq!(Level::of_number(0), None);
        assert_eq!(Level::of_number(9), None);
    }
}
