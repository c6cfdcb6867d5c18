//! What an error of the query engine means to the caller: an error comes in, a kind and a sentence go out.

use std::io::Write as _;

use datafusion::common::DataFusionError;

use super::super::protocol::{ERROR_KIND, Failure, FailureKind};

/// The longest message, in characters; the engine repeats whole queries in some.
const MAX_MESSAGE: usize = 500;

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        let root = error.find_root();
        let kind = kind(root);
        let message = match kind {
            FailureKind::MemoryLimit => "the query needs more memory than it may use".to_owned(),
            FailureKind::Internal => "the query engine failed on this query".to_owned(),
            _ => shorten(&root.strip_backtrace()),
        };
        if kind == FailureKind::Internal {
            // For the log of the service. Only the kind: the text may hold values of the query or of the data.
            note(root);
        }
        Self::new(kind, message)
    }
}

fn kind(root: &DataFusionError) -> FailureKind {
    match root {
        DataFusionError::ResourcesExhausted(_) => FailureKind::MemoryLimit,
        // Some functions ask for their memory in a way that may fail, and say so.
        DataFusionError::Execution(message) if message.contains("memory allocation failed") => FailureKind::MemoryLimit,
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
            FailureKind::UnreadableData
        }
        // A cast that fails, a division by zero, an overflow, a wrong name: the query can be changed to fit the data.
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => FailureKind::InvalidQuery,
        _ => FailureKind::Internal,
    }
}

fn shorten(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    if line.chars().count() <= MAX_MESSAGE {
        return line.to_owned();
    }
    line.chars().take(MAX_MESSAGE).chain(['…']).collect()
}

fn note(root: &DataFusionError) {
    let kind = match root {
        DataFusionError::Internal(_) => "Internal",
        DataFusionError::ExecutionJoin(_) => "ExecutionJoin",
        DataFusionError::External(_) => "External",
        _ => "Other",
    };
    let _shown = writeln!(std::io::stderr().lock(), "{ERROR_KIND}{kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_memory_pool_is_recognised_below_its_context() {
        let error = DataFusionError::ResourcesExhausted("x".to_owned()).context("while sorting");
        assert_eq!(Failure::from(error).kind, FailureKind::MemoryLimit);
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let failure = Failure::from(DataFusionError::Plan(format!("{}\nmore", "ä".repeat(2_000))));
        assert_eq!(failure.kind, FailureKind::InvalidQuery);
        assert!(failure.message.chars().count() <= MAX_MESSAGE + 1);
        assert!(!failure.message.contains('\n'));
    }

    #[test]
    fn a_defect_of_the_engine_is_not_shown_to_the_caller() {
        let failure = Failure::from(DataFusionError::Internal("secret detail".to_owned()));
        assert_eq!((failure.kind, failure.message.contains("secret")), (FailureKind::Internal, false));
    }
}
