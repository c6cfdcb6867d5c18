//! Servers that have registered themselves with one replica or another, and what goes with a Connector, in both databases.

use crate::databases::{Database, ring};
use crate::{odoo, of, password, save};
use aperium_core::id::ConnectorId;
use aperium_store::{Admitted, Flow, Holding, NewToken, Quotas, Store, TokenKey};
use std::collections::BTreeSet;

const AT_ONCE: usize = 24;

fn wish(replica: &str, at: usize, caller: &str) -> Holding {
    let (holder, url) = (format!("{replica}-{at}"), format!("http://server-{at}.example/mcp"));
    Holding { holder, replica: replica.to_owned(), number: 0, caller: caller.to_owned(), url }
}

#[tokio::test]
async fn replicas_that_register_at_once_give_each_number_once_and_no_more_than_there_may_be() {
    for database in Database::both() {
        let replicas = [database.store(&ring(&[1])).await, database.store(&ring(&[1])).await];
        let quotas = Quotas { per_caller: 30, all: 40 };
        let asked = (0..2 * AT_ONCE).map(|at| {
            let store = replicas[at % 2].clone();
            // The same server of the same caller at both replicas is one.
            let wish = wish(["one", "other"][at % 2], at / 4, ["ada", "ben"][at / 2 % 2]);
            let wish = Holding { holder: format!("h{at}"), ..wish };
            tokio::spawn(async move { store.platform().register(&wish, quotas, 0, 60_000).await.unwrap() })
        });
        let asked: Vec<_> = asked.collect();
        let mut numbers = BTreeSet::new();
        for one in asked {
            match one.await.unwrap() {
                Admitted::As(number) => drop(numbers.insert(number)),
                refused => panic!("{refused:?}"),
            }
        }
        let held = replicas[1].platform().registrations().await.unwrap();
        let servers: BTreeSet<(&str, &str)> = held.iter().map(|held| (&*held.caller, &*held.url)).collect();
        assert_eq!(
            (held.len(), servers.len(), numbers.len()),
            (2 * AT_ONCE, AT_ONCE, AT_ONCE),
            "one number for each server"
        );
        assert_eq!(numbers, (1..=i64::try_from(servers.len()).unwrap()).collect(), "none is left out");
        let room = quotas.all - servers.len();
        for at in 100..100 + room {
            let admitted = replicas[0].platform().register(&wish("one", at, "carl"), quotas, 0, 60_000).await.unwrap();
            assert!(matches!(admitted, Admitted::As(_)), "{admitted:?}");
        }
        let admitted = replicas[1].platform().register(&wish("other", 999, "dora"), quotas, 0, 60_000).await.unwrap();
        assert_eq!(admitted, Admitted::Quota);
    }
}

#[tokio::test]
async fn t9_what_was_stored_for_a_deleted_connector_is_gone_for_every_tenant() {
    for database in Database::both() {
        let store = database.store(&ring(&[1])).await;
        for tenant in ["acme", "globex"] {
            save(&store, tenant, "hunter2").await;
            oauth(&store, tenant).await;
        }
        // Two fields, a token, a flow and a client of each tenant.
        assert_eq!(store.every_tenant().forget_connector(&odoo()).await, Ok(10));
        for tenant in ["acme", "globex"] {
            assert_eq!(password(&store, tenant).await, Ok(None));
            let of = of(&store, tenant);
            let token = |connector| TokenKey { connector, person: "ada", upstream: "https://mcp.example/" };
            assert!(of.oauth_token(&token("odoo")).await.unwrap().is_none());
            assert!(of.oauth_client("odoo", "https://as.example").await.unwrap().is_none());
            assert!(of.take_oauth_flow("f-odoo", "odoo").await.unwrap().is_none());
            let slack = ConnectorId::parse("slack").unwrap();
            assert!(of.load_credential(&slack).await.unwrap().is_some(), "the other has lost nothing");
            assert!(of.oauth_token(&token("slack")).await.unwrap().is_some());
            assert!(of.oauth_client("slack", "https://as.example").await.unwrap().is_some());
            assert!(of.take_oauth_flow("f-slack", "slack").await.unwrap().is_some());
        }
        save(&store, "acme", "another").await;
        assert_eq!(password(&store, "acme").await, Ok(Some("another".to_owned())), "one of the same id begins anew");
    }
}

async fn oauth(store: &Store, tenant: &str) {
    let of = of(store, tenant);
    for id in ["odoo", "slack"] {
        let key = TokenKey { connector: id, person: "ada", upstream: "https://mcp.example/" };
        let token = NewToken { renew_ms: None, refreshable: true, content: b"token" };
        of.save_oauth_token(&key, "https://as.example", &token).await.unwrap();
        of.save_oauth_client(id, "https://as.example", b"client").await.unwrap();
        let (connector, person) = (id.to_owned(), "ada".to_owned());
        let flow = Flow { connector, person, browser: String::new(), content: b"flow".to_vec().into() };
        of.begin_oauth_flow(&format!("f-{id}"), &flow, i64::MAX).await.unwrap();
    }
}
