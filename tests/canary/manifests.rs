//! Connectors with every kind of credential, who may use them, and the Secrets, which are the only home of their values.

use crate::company::REFUSED;
use aperium_tests::canary::Planted;
use aperium_tests::postgres::Postgres;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Connectors whose credential is shared: the name, which is the path at the company, and the type.
pub(crate) const SHARED: [&str; 6] = ["bearer", "keyheader", "keyquery", "basic", "client", "refused"];

/// All manifests but the Secrets, and the Secrets.
pub(crate) struct Manifests {
    pub(crate) open: String,
    pub(crate) secret: String,
}

/// The role that services use at the company's database.
pub(crate) const ROLE: &str = "reader";

pub(crate) fn manifests(control: &str, company: SocketAddr, database: &Postgres, planted: &Planted) -> Manifests {
    let (mut open, mut secret) = (Vec::new(), Vec::new());
    let own = json!({"protocol": "mcp", "id": control, "url": format!("http://{company}/mcp/{control}")});
    open.push(object("Connector", "control", &own));
    for kind in SHARED {
        for (name, protocol, path) in [(kind.to_owned(), "mcp", "mcp"), (format!("api{kind}"), "http", "api")] {
            let url = format!("http://{company}/{path}/{kind}");
            let spec = json!({"protocol": protocol, "url": url, "auth": auth(kind, company, &name)});
            open.push(object("Connector", &name, &spec));
            secret.push(secret_of(&name, &values(kind, &name, planted)));
        }
    }
    for (name, auth) in [("own", json!({"type": "oauth2_dcr"})), ("code", auth("code", company, "code"))] {
        let spec = json!({"protocol": "mcp", "url": format!("http://{company}/people"), "auth": auth});
        open.push(object("Connector", name, &spec));
    }
    secret.push(secret_of("code", &values("code", "code", planted)));
    let (stored, by_secret) =
        (json!({"module": "postgres"}), json!({"source": "secret", "secretRef": {"name": "books"}}));
    open.push(object("Connector", "ledger", &json!({"protocol": "mcp", "service": stored})));
    let service = json!({"module": "postgres", "credentials": by_secret});
    open.push(object("Connector", "books", &json!({"protocol": "mcp", "service": service})));
    let password = planted.plant("password in a Secret");
    database.create_role("books", &password);
    let mut fields = fields(database, &password);
    fields["username"] = json!("books");
    secret.push(secret_of("books", &fields));
    let everybody = ["client:acme", "client:globex", "client:boss", "group:people", "user:root", "(loopback)"];
    open.push(object("Grant", "all", &json!({"subjects": everybody, "connectors": ["**"], "readMetrics": true})));
    let admins = ["client:boss", "user:root", "(loopback)"];
    open.push(object("Grant", "admins", &json!({"subjects": admins, "role": "admin", "connectors": ["**"]})));
    Manifests { open: yaml(&open), secret: yaml(&secret) }
}

/// What a service needs to reach the company's database.
pub(crate) fn fields(database: &Postgres, password: &str) -> Value {
    json!({"host": database.host(), "port": database.port().to_string(), "database": "postgres",
        "username": ROLE, "password": password, "ssl_mode": "disable"})
}

fn auth(kind: &str, company: SocketAddr, name: &str) -> Value {
    let secret = json!({"name": name});
    match kind {
        "bearer" => json!({"type": "bearer_token", "bearerToken": {"secretRef": secret}}),
        "keyheader" => json!({"type": "api_key", "apiKey": {"in": "header", "name": "X-Api-Key", "secretRef": secret}}),
        "keyquery" => json!({"type": "api_key", "apiKey": {"in": "query", "name": "key", "secretRef": secret}}),
        "basic" => json!({"type": "basic", "basic": {"secretRef": secret}}),
        "code" => json!({"type": "oauth2_authorization_code", "authorizationCode": {"secretRef": secret,
            "authUrl": format!("http://{company}/authorize"), "tokenUrl": format!("http://{company}/token")}}),
        _ => json!({"type": "oauth2_client_credentials", "clientCredentials": {"secretRef": secret,
            "tokenUrl": format!("http://{company}/token")}}),
    }
}

fn values(kind: &str, name: &str, planted: &Planted) -> Value {
    let secret = planted.plant(&format!("credential of {name}"));
    match kind {
        "basic" => json!({"username": "somebody", "password": secret}),
        "client" | "code" => json!({"client_id": "client", "client_secret": secret}),
        "refused" => json!({"client_id": REFUSED, "client_secret": secret}),
        _ => json!({"secret": secret}),
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn secret_of(connector: &str, values: &Value) -> Value {
    let label = format!("connector.aperium.dev/{connector}");
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": connector, "labels": {label: "true"}}, "stringData": values})
}

/// JSON is YAML.
fn yaml(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}
