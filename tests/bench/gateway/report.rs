//! Tables and goals as Markdown.

use std::fmt::Write as _;

/// What is printed and kept.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tables: String,
    goals: Vec<Goal>,
}

/// A goal and what came of it.
#[derive(Debug)]
struct Goal {
    what: String,
    goal: String,
    result: String,
    met: bool,
}

impl Report {
    /// Adds a table, and prints it: the whole run takes minutes.
    #[expect(clippy::print_stdout, reason = "the report is this program's output")]
    pub(crate) fn table(&mut self, title: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut text = format!("## {title}\n\n| {} |\n|---|{}\n", head.join(" | "), "---:|".repeat(head.len() - 1));
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        println!("{text}");
        self.tables += &text;
        self.tables.push('\n');
    }

    /// A goal that is met from `goal` upwards.
    pub(crate) fn at_least(&mut self, what: &str, goal: f64, result: f64) {
        self.goal(what, format!("≥ {goal}"), digits(result), result >= goal);
    }

    /// A goal that is met up to `goal`.
    pub(crate) fn at_most(&mut self, what: &str, goal: f64, result: f64) {
        self.goal(what, format!("≤ {goal}"), digits(result), result <= goal);
    }

    fn goal(&mut self, what: &str, goal: String, result: String, met: bool) {
        self.goals.push(Goal { what: what.to_owned(), goal, result, met });
    }

    /// The goals beside the results.
    pub(crate) fn goals(&self) -> String {
        let mut text = "| what | goal | result | met |\n|---|---:|---:|---|\n".to_owned();
        for Goal { what, goal, result, met } in &self.goals {
            let _ = writeln!(text, "| {what} | {goal} | {result} | {} |", if *met { "yes" } else { "**no**" });
        }
        text
    }

    /// The whole text under a heading.
    pub(crate) fn whole(&self, heading: &str) -> String {
        format!("{heading}\n## Goals\n\n{}\n{}", self.goals(), self.tables.trim_end()) + "\n"
    }
}

/// Three figures that count.
pub(crate) fn digits(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_is_told_as_such() {
        let mut report = Report::default();
        report.at_least("rate", 0.4, 0.399);
        report.at_most("memory", 20.0, 19.96);
        let goals = report.goals();
        assert!(goals.contains("| rate | ≥ 0.4 | 0.40 | **no** |"), "{goals}");
        assert!(goals.contains("| memory | ≤ 20 | 20.0 | yes |"), "{goals}");
    }
}
