use super::answer::parse;
use super::*;
use serde_json::json;

fn answer(ready: bool, reason: &str, message: &str) -> Answer {
    let body = json!({"ready": ready, "checks": {"credentials": {"ok": ready, "reason": reason, "message": message}}, "tools": 3});
    parse(body.to_string().as_bytes(), ready).unwrap()
}

fn seen(answer: Answer) -> Seen {
    Seen { pods: 1, answer: Some(answer), error: None }
}

#[test]
fn a_pod_is_ready_only_if_both_code_and_body_say_so() {
    let body = json!({"ready": true, "checks": {}}).to_string();
    assert!(parse(body.as_bytes(), true).unwrap().ready);
    assert!(!parse(body.as_bytes(), false).unwrap().ready);
    for nonsense in ["", "[]", "{}", "{\"ready\": 1}", "<html>"] {
        assert!(parse(nonsense.as_bytes(), true).is_err(), "{nonsense}");
    }
}

#[test]
fn what_a_pod_says_is_bounded_and_plain() {
    let body = json!({
        "ready": false, "tools": 4_000_000_000_u32, "toolsDigest": "sha256:nonsense",
        "checks": {"credentials": {"ok": false, "reason": "not a reason\n", "message": format!("a\u{1b}[31m\n{}", "x".repeat(5000))}},
    });
    let answer = parse(body.to_string().as_bytes(), false).unwrap();
    let check = &answer.checks["credentials"];
    assert_eq!(check.reason, "Unnamed");
    assert!(check.message.chars().count() <= 256 && !check.message.contains(char::is_control));
    assert_eq!((answer.tools, answer.tools_digest), (Some(i32::MAX), None));
}

#[test]
fn other_words_are_no_news_and_another_reason_is() {
    let before = seen(answer(false, "AuthFailed", "refused at 10:00"));
    assert!(before.says_the_same(&seen(answer(false, "AuthFailed", "refused at 10:05"))));
    assert!(!before.says_the_same(&seen(answer(false, "UpstreamUnreachable", "refused at 10:00"))));
    assert!(!before.says_the_same(&seen(answer(true, "Ok", ""))));
    assert!(!before.says_the_same(&Seen { pods: 1, answer: None, error: Some("no answer".to_owned()) }));
}

#[test]
fn a_ready_pods_answer_counts_before_that_of_an_unready_one() {
    let answers =
        vec![Err("pod a: no answer".to_owned()), Ok(answer(false, "AuthFailed", "")), Ok(answer(true, "Ok", ""))];
    let seen = Seen::of(&[], answers);
    assert!(seen.ready() && seen.error.is_none());
    assert_eq!(Seen::of(&[], vec![Err("a".to_owned()), Err("b".to_owned())]).error.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_unready_are_asked_often_the_ready_seldom_and_the_changed_at_once() {
    let readiness = Readiness::default();
    let key = Key::new("ns", "a");
    readiness.look(&key);
    assert_eq!(readiness.take(Instant::now()).0, std::slice::from_ref(&key));
    assert!(readiness.take(Instant::now()).0.is_empty(), "not twice at a time");
    assert!(readiness.answered(&key, Some(seen(answer(false, "AuthFailed", "")))));
    let next = readiness.take(Instant::now()).1.unwrap();
    assert!(next - Instant::now() <= UNREADY_PERIOD.mul_f64(1.1));
    tokio::time::advance(UNREADY_PERIOD.mul_f64(1.1)).await;
    assert_eq!(readiness.take(Instant::now()).0.len(), 1);
    assert!(readiness.answered(&key, Some(seen(answer(true, "Ok", "")))));
    let next = readiness.take(Instant::now()).1.unwrap();
    assert!(next - Instant::now() >= READY_PERIOD.mul_f64(0.9));
    readiness.look(&key);
    assert_eq!(readiness.take(Instant::now()).0.len(), 1);
    assert!(!readiness.answered(&key, Some(seen(answer(true, "Ok", "")))), "no news");
}

#[tokio::test(start_paused = true)]
async fn without_pods_nothing_is_asked_or_remembered() {
    let readiness = Readiness::default();
    let key = Key::new("ns", "a");
    readiness.look(&key);
    readiness.take(Instant::now());
    assert!(readiness.awaited(&key));
    assert!(readiness.answered(&key, None), "whoever waits for an answer has one");
    assert!(!readiness.awaited(&key));
    assert_eq!(readiness.take(Instant::now()), (Vec::new(), None));
    assert!(readiness.seen(&key).is_none());
}
