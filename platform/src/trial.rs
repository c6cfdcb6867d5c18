//! What a service says of credentials that it has tried step by step, before anybody saves them.

use serde::{Deserialize, Serialize};

/// A step on the way to the upstream, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The values can be read: a port is a number, a URL is one.
    Fields,
    /// The name of the host has addresses.
    Dns,
    /// The egress policy lets the service go there.
    Policy,
    /// Somebody listens there.
    Tcp,
    /// The certificate is trusted and of that name.
    Tls,
    /// The upstream lets these credentials in, and answers.
    Auth,
    /// The service offers tools.
    Tools,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [Self::Fields, Self::Dns, Self::Policy, Self::Tcp, Self::Tls, Self::Auth, Self::Tools];
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// It failed, and the steps behind it were not reached.
    Failed,
    /// It was not reached, or there is no such step on the way.
    Skipped,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub step: Step,
    /// What became of it.
    pub outcome: Outcome,
    /// For people. Never a secret.
    pub message: String,
}

/// All steps, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// One for each of [`Step::ALL`].
    pub steps: Vec<Tried>,
}

impl Trial {
    /// Whether the credentials can be used.
    #[must_use]
    pub fn works(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|tried| tried.outcome != Outcome::Failed)
    }
}
