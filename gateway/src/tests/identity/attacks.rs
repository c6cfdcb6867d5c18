//! O16 and M9: tokens that somebody has made up, and issuers that misbehave.

use super::*;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

#[tokio::test]
async fn o16_m9_what_is_no_good_token_is_401() {
    let issuer = Issuer::start().await;
    let skew = json!({ "clockSkewSeconds": 60 });
    let gateway = Setup::default().issuer(&issuer, &skew).grant("*", &["x/**"]).start().await;
    let (claims, kid) = (issuer.claims(), "key-1");
    let good = issuer.token(&Value::Null);
    assert_eq!(whoami(&gateway, &good).await.status, 200);
    let public = json!({ "keys": [issuer.signer.jwk()] }).to_string();
    let hmac = |secret: &[u8]| {
        let text = parts(&json!({ "alg": "HS256", "kid": kid }), &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let (stranger, header) = (Signer::new(kid), json!({ "alg": "ES256", "kid": kid }));
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        issuer.signer.sign(&header, &claims)
    };
    let mut own_key = header.clone();
    own_key["jwk"] = stranger.jwk();
    own_key["jku"] = json!("http://127.0.0.1:1/keys");
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let twice = URL_SAFE_NO_PAD.encode(format!("{},\"sub\":\"bob\"}}", claims.to_string().trim_end_matches('}')));
    let cases = [
        ("alg none", format!("{}.", parts(&json!({ "alg": "none", "kid": kid }), &claims))),
        ("alg None", format!("{}.{signature}", parts(&json!({ "alg": "None", "kid": kid }), &claims))),
        ("no signature", format!("{head}.{body}.")),
        (
            "another's claims",
            format!(
                "{head}.{}.{signature}",
                URL_SAFE_NO_PAD.encode(issuer.changed(&json!({ "sub": "root" })).to_string())
            ),
        ),
        ("HS with the key set", hmac(public.as_bytes())),
        ("HS with the point", hmac(issuer.signer.jwk()["x"].as_str().unwrap().as_bytes())),
        ("HS with nothing", hmac(b"")),
        ("RS with a key for ES", with("alg", json!("RS256"))),
        ("ES384 with a key for ES256", with("alg", json!("ES384"))),
        ("PS256 is not allowed here", with("alg", json!("PS256"))),
        ("kid traversal", with("kid", json!("../../../../dev/null"))),
        ("kid SQL", with("kid", json!("key-1' OR '1'='1"))),
        ("kid with NUL", with("kid", json!("key-1\u{0}"))),
        ("kid too long", with("kid", json!("k".repeat(300)))),
        ("kid no text", with("kid", json!(["key-1"]))),
        ("jwks swap", stranger.sign(&own_key, &claims)),
        ("a stranger's key under the name", stranger.token(&claims)),
        ("crit", with("crit", json!(["exp"]))),
        ("a logout token", with("typ", json!("logout+jwt"))),
        ("a DPoP proof", with("typ", json!("dpop+jwt"))),
        ("sub twice", format!("{head}.{twice}.{signature}")),
        ("expired", issuer.token(&json!({ "exp": now() - 62 }))),
        ("not yet", issuer.token(&json!({ "nbf": now() + 64 }))),
        ("no exp", issuer.token(&json!({ "exp": null }))),
        ("exp as text", issuer.token(&json!({ "exp": "tomorrow" }))),
        ("M9 another audience", issuer.token(&json!({ "aud": "grafana" }))),
        ("no audience", issuer.token(&json!({ "aud": null }))),
        ("no audiences", issuer.token(&json!({ "aud": [] }))),
        ("audience with more", issuer.token(&json!({ "aud": "aperium2" }))),
        ("another issuer", issuer.token(&json!({ "iss": "https://evil.example.com" }))),
        ("issuer with a slash", issuer.token(&json!({ "iss": format!("{}/", issuer.url) }))),
        ("issuers", issuer.token(&json!({ "iss": [issuer.url] }))),
        ("no subject", issuer.token(&json!({ "sub": null }))),
        ("empty subject", issuer.token(&json!({ "sub": "" }))),
        ("subject with NUL", issuer.token(&json!({ "sub": "alice\u{0}acme" }))),
        ("too long", issuer.token(&json!({ "x": "x".repeat(20_000) }))),
        ("four parts", format!("{good}.x")),
        ("two parts", format!("{head}.{body}")),
    ];
    for (what, token) in cases {
        let answer = whoami(&gateway, &token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        let says = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(says.starts_with("Bearer error=\"invalid_token\", resource_metadata="), "{what}: {says}");
        assert!(!answer.text.contains("alice"), "{what}");
    }
    for (what, claims) in [
        ("60 s late", json!({ "exp": now() - 55 })),
        ("60 s early", json!({ "nbf": now() + 55 })),
        ("one of several audiences", json!({ "aud": ["grafana", "aperium"] })),
    ] {
        assert_eq!(whoami(&gateway, &issuer.token(&claims)).await.status, 200, "{what}");
    }
    assert_eq!(issuer.origin.asked().len(), 2, "no token made the gateway ask anybody else, or again");
}

#[tokio::test]
async fn o16_an_issuer_whose_documents_cannot_be_used_lets_nobody_in() {
    let stranger = Signer::new("key-1");
    for what in ["other issuer", "oversized", "no keys", "too many keys", "secret", "foreign place", "metadata service"]
    {
        let issuer = Issuer::start().await;
        {
            let mut published = issuer.published.lock().unwrap();
            match what {
                "other issuer" => published.document["issuer"] = json!("https://evil.example.com"),
                "oversized" => {
                    published.keys = json!({ "keys": [issuer.signer.jwk()], "x": "x".repeat(300_000) }).to_string();
                }
                "no keys" => published.keys = "<html>".to_owned(),
                "too many keys" => published.keys = json!({ "keys": vec![stranger.jwk(); 101] }).to_string(),
                "secret" => {
                    published.keys = json!({ "keys": [{ "kty": "oct", "kid": "key-1", "k": "c2VjcmV0" }] }).to_string();
                }
                "foreign place" => published.document["jwks_uri"] = json!("http://127.0.0.1:1/keys"),
                _ => published.document["jwks_uri"] = json!("https://169.254.169.254/keys"),
            }
        }
        let gateway = Setup::default().issuer(&issuer, &Value::Null).grant("*", &["x/**"]).start().await;
        let answer = whoami(&gateway, &issuer.token(&Value::Null)).await;
        assert_eq!(answer.status, if what == "secret" { 401 } else { 503 }, "{what}: {}", answer.text);
        assert!(!answer.text.contains("127.0.0.1"), "{what}: {}", answer.text);
    }
}

/// T5 for `/api`: every operation that is described, with every kind of caller that may not.
#[tokio::test]
async fn no_operation_of_the_api_answers_whom_it_should_not() {
    let issuer = Issuer::start().await;
    let setup = Setup::default().issuer(&issuer, &json!({ "claims": { "tenant": "org" } }));
    let gateway = setup.grant("user:alice@example.com", &["odoo/**"]).grant("tenant:acme", &["odoo/**"]).start().await;
    let description: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let nobody = issuer.token(&json!({ "org": "beta", "email": "eve@example.com" }));
    let tokens = [
        ("no token", String::new(), 401),
        ("expired", issuer.token(&json!({ "exp": now() - 90 })), 401),
        ("another audience", issuer.token(&json!({ "aud": "grafana" })), 401),
        ("other user of another tenant", nobody, 403),
    ];
    let user = issuer.token(&Value::Null);
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.split('/').map(|segment| if segment.starts_with('{') { "odoo" } else { segment });
        let path = path.collect::<Vec<_>>().join("/");
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            operations += 1;
            let ask = |token: &str| {
                let mut request = post_as(token, &path, "{}");
                *request.method_mut() = method.to_ascii_uppercase().parse().unwrap();
                if token.is_empty() {
                    request.headers_mut().remove("authorization");
                }
                gateway.send(request)
            };
            for (who, token, status) in &tokens {
                let answer = ask(token).await;
                assert_eq!(answer.status, *status, "{who}: {method} {path}: {}", answer.text);
            }
            let changes = matches!(method.as_str(), "put" | "patch" | "delete");
            let answer = ask(&user).await;
            assert!(!changes || answer.status >= 400, "not admin: {method} {path}: {}", answer.text);
        }
    }
    assert!(operations > 10, "{operations}");
}
