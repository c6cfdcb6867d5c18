//! A document as a source: what it says of registration → the settings of the Manager, now and whenever it changes.
//! Connectors, Grants and Secrets go the way of every other source.

use super::store::DocumentStore;
use crate::discovery::{Event, Events};
use crate::pipeline::authn::static_tokens::TokenFiles;
use aperium_crds::Settings;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The settings as the document completes them: either may switch registration on.
pub(crate) fn complete(settings: &Settings, accept_registrations: bool) -> Settings {
    let mut settings = settings.clone();
    settings.registration.accept |= accept_registrations;
    settings
}

/// Tells it until the token is cancelled. `settings` are those without the document.
pub(crate) async fn run(
    store: Arc<DocumentStore>,
    settings: Settings,
    tokens: TokenFiles,
    events: Events,
    shutdown: CancellationToken,
) {
    let mut changes = store.subscribe();
    let mut told = None;
    let looking = tokio::spawn(Arc::clone(&store).look_again(shutdown.clone()));
    loop {
        let accept = changes.borrow_and_update().reading.accept_registrations;
        if told != Some(accept) {
            let settings = Arc::new(complete(&settings, accept));
            if events.send(Event::Settings(settings, tokens.clone())).await.is_err() {
                break;
            }
            told = Some(accept);
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    looking.abort();
}
