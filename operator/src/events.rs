//! Conditions before and after → events for people, on transitions only.

use aperium_crds::condition::types;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

/// The most characters of a note: the API server refuses more than 1 kB.
const MAX_NOTE: usize = 1024;
/// Events that may wait to be written; more are dropped: an event is a courtesy, the status is the record.
const WAITING: usize = 1024;

/// Hands events to the task that writes them, so that a reconcile never waits for one.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<(Notice, ObjectReference)>,
}

/// An event that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should act.
    pub warning: bool,
    /// `PascalCase`.
    pub reason: String,
    /// What was done when it came up.
    pub action: &'static str,
    /// For people.
    pub note: String,
}

impl Events {
    /// Starts the task that writes.
    #[must_use]
    pub fn start(client: Client, instance: &str) -> Self {
        let (sender, mut waiting) = mpsc::channel::<(Notice, ObjectReference)>(WAITING);
        let reporter = Reporter { controller: "aperium-operator".to_owned(), instance: Some(instance.to_owned()) };
        let recorder = Recorder::new(client, reporter);
        tokio::spawn(async move {
            while let Some((event, regarding)) = waiting.recv().await {
                let event = Event {
                    type_: if event.warning { EventType::Warning } else { EventType::Normal },
                    reason: event.reason,
                    action: event.action.to_owned(),
                    note: Some(event.note),
                    secondary: None,
                };
                if let Err(error) = recorder.publish(&event, &regarding).await {
                    tracing::warn!(%error, reason = event.reason, "an event could not be written");
                }
            }
        });
        Self { sender }
    }

    /// Publishes an event about an object of ours.
    pub fn publish(&self, event: Notice, kind: &str, meta: &ObjectMeta) {
        let regarding = ObjectReference {
            api_version: Some("aperium.dev/v1alpha1".to_owned()),
            kind: Some(kind.to_owned()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..ObjectReference::default()
        };
        if self.sender.try_send((event, regarding)).is_err() {
            tracing::debug!("too many events wait; one is dropped");
        }
    }
}

/// An event with a note that the API server takes.
#[must_use]
pub fn event(warning: bool, reason: &str, action: &'static str, note: &str) -> Notice {
    // Cut by bytes at a character: the limit is one of bytes.
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    let note = note.get(..end).unwrap_or_default().to_owned();
    Notice { warning, reason: reason.to_owned(), action, note }
}

/// The events of a change of conditions: what went wrong, by its own condition, and when all is well.
#[must_use]
pub fn of_conditions(old: &[Condition], new: &[Condition]) -> Vec<Notice> {
    let mut events = Vec::new();
    for now in new {
        let before = old.iter().find(|before| before.type_ == now.type_);
        if before.is_some_and(|before| before.status == now.status && before.reason == now.reason) {
            continue;
        }
        let text = if now.message.is_empty() { now.type_.clone() } else { format!("{}: {}", now.type_, now.message) };
        match (now.type_.as_str(), now.status.as_str()) {
            (types::READY, "True") => events.push(event(false, "Ready", "Reconcile", "the Connector can be used")),
            // Ready repeats the reason of the condition that fails.
            (types::READY, _) => {}
            // A pod that is starting is no news; one that was available and is not any more is.
            (types::AVAILABLE, "False")
                if before.is_none_or(|before| before.status != "True")
                    && now.reason == "MinimumReplicasUnavailable" => {}
            (_, "False") => events.push(event(now.reason != "Suspended", &now.reason, "Reconcile", &text)),
            (types::RESOLVED_REFS, "True") if now.reason != "ResolvedRefs" => {
                events.push(event(true, &now.reason, "Reconcile", &text));
            }
            (types::ACCEPTED, "True") => {
                events.push(event(false, "Accepted", "Reconcile", "the Connector is accepted"));
            }
            _ => {}
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_crds::condition::{Verdict, condition};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn said(kind: &str, verdict: Verdict, reason: &str) -> Condition {
        condition(kind, verdict, reason, "why", None, Time(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn nothing_is_said_twice() {
        let conditions = [said(types::ACCEPTED, Verdict::False, "Invalid")];
        assert_eq!(of_conditions(&[], &conditions).len(), 1);
        assert!(of_conditions(&conditions, &conditions).is_empty());
        assert_eq!(
            of_conditions(&conditions, &[said(types::ACCEPTED, Verdict::False, "Conflicted")])[0].reason,
            "Conflicted"
        );
    }

    #[test]
    fn a_failure_is_said_once_by_its_own_condition_and_not_again_by_ready() {
        let new = [
            said(types::CREDENTIALS_AVAILABLE, Verdict::False, "AuthFailed"),
            said(types::READY, Verdict::False, "AuthFailed"),
        ];
        let events = of_conditions(&[], &new);
        assert_eq!(events.len(), 1);
        assert!(events[0].warning);
    }

    #[test]
    fn a_starting_pod_is_no_warning_and_a_lost_one_is() {
        let down = [said(types::AVAILABLE, Verdict::False, "MinimumReplicasUnavailable")];
        assert!(of_conditions(&[], &down).is_empty());
        assert_eq!(of_conditions(&[said(types::AVAILABLE, Verdict::True, "MinimumReplicasAvailable")], &down).len(), 1);
    }

    #[test]
    fn a_note_is_cut_to_what_the_api_server_takes() {
        let long = event(true, "R", "A", &"é".repeat(2000));
        assert!(long.note.len() <= 1024 && long.note.chars().all(|c| c == 'é'));
    }
}
