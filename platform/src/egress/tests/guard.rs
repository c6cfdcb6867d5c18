//! The guard: spellings, names, answers of a hostile DNS.

use std::time::Duration;

use super::{canary::Canary, *};

fn external(rules: EgressRules, reach: Reach, dns: &Dns) -> ExternalClient {
    ExternalClient::new(EgressPolicy::with_resolver(rules, dns.clone()).unwrap(), reach).unwrap()
}

#[tokio::test]
async fn loopback_is_refused_in_every_spelling() {
    let canary = Canary::ok().await;
    let port = canary.address.port();
    let spellings = [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "017700000001",
        "0x7f.0x0.0x0.0x1",
        "127.0.0.001",
        "127.255.255.254",
        "0",
        "0.0.0.0",
        "%31%32%37.0.0.1",
        "127%2e0.0.1",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::5efe:127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ip6-localhost",
        "localhost.localdomain",
    ];
    let dns = Dns::answering([&["127.0.0.1"]]);
    for reach in [Reach::Admin, Reach::Untrusted] {
        let client = external(known(), reach, &dns);
        let mut sent = 0;
        for host in spellings {
            // Percent signs make no URL for the http crate: nothing to send.
            let Ok(uri) = format!("http://{host}:{port}/").parse::<http::Uri>() else { continue };
            let mut request = get("http://x.example/");
            *request.uri_mut() = uri;
            let error = client.send(request).await.unwrap_err();
            assert!(error.refused() && error.before_send(), "{host}: {error:?}");
            sent += 1;
        }
        assert!(sent >= 30, "{sent}");
    }
    assert_eq!((canary.connections(), dns.asked().len()), (0, 0), "refused without asking anybody");
    // The canary is alive, and the same spellings reach it where loopback is open.
    let client = external(open_loopback(), Reach::Admin, &dns);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "127.0.0.1."] {
        assert_eq!(client.send(get(&format!("http://{host}:{port}/"))).await.unwrap().status(), 200, "{host}");
    }
    assert!(canary.requests().iter().all(|request| request.contains(&format!("host: 127.0.0.1:{port}"))
        || request.contains(&format!("host: localhost:{port}"))));
}

/// Every URL of the corpus, under a DNS that answers with the metadata address: nothing is dialled.
#[tokio::test]
async fn no_url_of_the_corpus_is_dialled() {
    let dns = Dns::answering([&["169.254.169.254"]]);
    let policy = EgressPolicy::with_resolver(known(), dns.clone()).unwrap();
    let client = ExternalClient::new(policy.clone(), Reach::Untrusted).unwrap();
    let (mut lines, mut asked, mut dialled) = (0, 0, Vec::new());
    for line in include_str!("ssrf_urls.txt").lines() {
        lines += 1;
        // As settings read it, and, where the text is a URL of the http crate too, as a request carries it.
        let read = url::Url::parse(line).ok().filter(|url| policy.check_url(Reach::Untrusted, url).is_ok());
        let texts = [read.map(String::from), Some(line.to_owned())];
        for uri in texts.iter().flatten().filter_map(|text| text.parse::<http::Uri>().ok()) {
            asked += 1;
            let mut request = get("http://x.example/");
            *request.uri_mut() = uri;
            match client.send(request).await {
                Err(error) if error.refused() => {}
                _ => dialled.push(line),
            }
        }
    }
    assert_eq!(lines, 259);
    assert!(asked > 100, "{asked}");
    assert!(dialled.is_empty(), "{dialled:?}");
}

#[tokio::test]
async fn user_information_foreign_schemes_and_odd_ports_are_refused() {
    let client = external(open_loopback(), Reach::Admin, &Dns::default());
    for text in [
        "http://user@8.8.8.8/",
        "http://user:pw@8.8.8.8/",
        "http://@8.8.8.8/",
        "ftp://8.8.8.8/",
        "ws://8.8.8.8/",
        "/relative",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:/",
        "http://8.8.8.8:99999/",
    ] {
        let Ok(uri) = text.parse::<http::Uri>() else { continue };
        let mut request = get("http://x.example/");
        *request.uri_mut() = uri;
        let error = client.send(request).await.unwrap_err();
        assert!(error.refused(), "{text}: {error:?}");
        assert!(!error.to_string().contains("pw"), "{error}");
    }
    let policy = policy(known());
    for text in [
        "http://user@example.com/",
        "http://:pw@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://127.1/",
        "https://odoo/",
    ] {
        assert!(policy.check_url(Reach::Admin, &text.parse().unwrap()).unwrap_err().refused(), "{text}");
    }
    assert!(policy.check_url(Reach::Admin, &"https://example.com/mcp".parse().unwrap()).is_ok());
    assert!(policy.check_url(Reach::Admin, &"https://10.1.2.3/mcp".parse().unwrap()).is_ok());
    assert!(policy.check_url(Reach::Untrusted, &"https://10.1.2.3/mcp".parse().unwrap()).is_err());
}

#[tokio::test]
async fn one_denied_address_refuses_the_whole_answer() {
    let answers: [(&[&str], &str); 7] = [
        (&["127.0.0.1"], "LoopbackAddress"),
        (&["8.8.8.8", "10.0.0.1"], "PrivateAddress"),
        (&["10.0.0.1", "8.8.8.8"], "PrivateAddress"),
        (&["8.8.8.8", "fd00::1"], "PrivateAddress"),
        (&["8.8.8.8", "::ffff:127.0.0.1"], "LoopbackAddress"),
        (&["8.8.8.8", "169.254.169.254"], "MetadataAddress"),
        (&["8.8.8.8", "1.1.1.1", "9.9.9.9", "10.42.0.9"], "PrivateAddress"),
    ];
    for (answer, reason) in answers {
        let dns = Dns::answering([answer]);
        let policy = EgressPolicy::with_resolver(known(), dns.clone()).unwrap();
        let error =
            GuardedDialer::new(policy.clone(), Reach::Untrusted).connect("example.com", 5432).await.unwrap_err();
        assert_eq!((error.reason(), error.before_send()), (reason, true), "{answer:?}");
        let client = ExternalClient::new(policy, Reach::Untrusted).unwrap();
        let error = client.send(get("https://example.com/")).await.unwrap_err();
        assert_eq!((error.reason(), error.before_send()), (reason, true), "{answer:?}");
        assert_eq!(dns.asked(), ["example.com.", "example.com."], "once per connection, fully qualified");
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_judged_address_is_dialled() {
    let canary = Canary::ok().await;
    // The second answer would be another address: nobody may ask twice.
    let dns = Dns::answering([&["127.0.0.1"], &["169.254.169.254"]]);
    let client = external(open_loopback(), Reach::Admin, &dns);
    let url = format!("http://Rebind.Example.COM:{}/", canary.address.port());
    for _ in 0..2 {
        let response = client.send(get(&url)).await.unwrap();
        assert_eq!(super::exchange::text(response).await, "hello");
    }
    assert_eq!(dns.asked(), ["rebind.example.com."]);
    assert_eq!((canary.connections(), canary.requests().len()), (1, 2), "the kept connection was judged when opened");
    assert!(canary.requests()[0].contains(&format!("host: rebind.example.com:{}\r\n", canary.address.port())));
}

#[tokio::test]
async fn allow_hosts_names_are_asked_as_written() {
    let canary = Canary::ok().await;
    let port = canary.address.port();
    let dns = Dns::answering([&["127.0.0.1"]]);
    let rules =
        EgressRules { allow_hosts: vec![format!("pg.erp.svc:{port}").parse().unwrap()], ..EgressRules::default() };
    let dialer = GuardedDialer::new(EgressPolicy::with_resolver(rules, dns.clone()).unwrap(), Reach::Untrusted);
    dialer.connect("PG.erp.svc", port).await.unwrap();
    assert_eq!(dns.asked(), ["pg.erp.svc"]);
    assert_eq!(dialer.connect("pg.erp.svc", port.wrapping_add(1).max(1)).await.unwrap_err().reason(), "LocalName");
    canary.accepted(1).await;
    assert_eq!(canary.connections(), 1);
}

#[tokio::test]
async fn names_without_an_address_or_with_too_many_fail_before_sending() {
    let nothing = GuardedDialer::new(policy(known()), Reach::Admin).connect("example.com", 1).await.unwrap_err();
    assert_eq!((nothing.reason(), nothing.before_send()), ("ResolveFailed", true));
    let many: Vec<String> = (0..=256).map(|n| format!("8.8.{}.{}", n / 256, n % 256)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for answer in [&[][..], &many] {
        let policy = EgressPolicy::with_resolver(known(), Dns::answering([answer])).unwrap();
        let error = GuardedDialer::new(policy, Reach::Admin).connect("example.com", 1).await.unwrap_err();
        assert_eq!((error.reason(), error.before_send()), ("ResolveFailed", true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_is_given_up() {
    struct Never;
    impl Resolve for Never {
        fn resolve(&self, _: &str) -> Answer {
            Box::pin(std::future::pending())
        }
    }
    let policy = EgressPolicy::with_resolver(known(), Never).unwrap();
    let error = GuardedDialer::new(policy, Reach::Admin).connect("example.com", 1).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("ResolveTimeout", true));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let canary = Canary::ok().await;
    // Nobody listens at 127.0.0.2 on the canary's port.
    let dns = Dns::answering([&["127.0.0.2", "127.0.0.1"]]);
    let policy = EgressPolicy::with_resolver(open_loopback(), dns).unwrap();
    GuardedDialer::new(policy, Reach::Admin).connect("two.example.com", canary.address.port()).await.unwrap();
}

#[tokio::test]
async fn own_ports_are_refused_where_loopback_is_open() {
    let canary = Canary::ok().await;
    let port = canary.address.port();
    let rules = EgressRules { loopback: Some(LoopbackOpening { own_ports: vec![port] }), ..known() };
    let client = external(rules, Reach::Admin, &Dns::answering([&["127.0.0.1"]]));
    for host in ["127.0.0.1", "localhost", "[::1]", "own.example.com", "127.9.9.9"] {
        let error = client.send(get(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert_eq!(error.reason(), "BlockedAddress", "{host}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_dialer_takes_names_and_literals_and_nothing_else() {
    let dialer = GuardedDialer::new(policy(known()), Reach::Admin).with_connect_timeout(Duration::from_millis(50));
    for host in
        ["", "a b", "user@host", "host:1", "http://host", "a/b", "/var/run/postgresql", "[::1", "127.1", "2130706433"]
    {
        assert!(dialer.connect(host, 5432).await.unwrap_err().refused(), "{host}");
    }
    for host in ["::1", "[::1]", "127.0.0.1", "169.254.169.254"] {
        assert!(dialer.connect(host, 5432).await.unwrap_err().refused(), "{host}");
    }
}

#[test]
fn a_nat64_prefix_of_an_unknown_length_makes_no_policy() {
    let rules = EgressRules { nat64_prefixes: vec!["64:ff9b::/97".parse().unwrap()], ..known() };
    assert_eq!(EgressPolicy::new(rules).unwrap_err().reason(), "InvalidNat64Prefix");
}

#[tokio::test]
async fn the_system_resolver_answers() {
    let answer = SystemResolver.resolve("localhost").await.unwrap();
    assert!(answer.iter().all(IpAddr::is_loopback) && !answer.is_empty());
}
