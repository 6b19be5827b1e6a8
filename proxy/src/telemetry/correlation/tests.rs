//! Which ids are taken over from a client, and what is made instead of the others.

use std::time::Duration;

use http::HeaderValue;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

fn begin(pairs: &[(HeaderName, &[u8])]) -> Correlation {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    Correlation::begin(&headers, UNIX_EPOCH + Duration::from_millis(0x0123_4567_89ab), &mut SmallRng::seed_from_u64(1))
}

#[test]
fn a_harmless_id_is_taken_over() {
    let longest = "a".repeat(128);
    for id in ["0", "0198-abc", "A.b_c:d/e=f+g@h-i", &longest] {
        let taken = begin(&[(X_REQUEST_ID, id.as_bytes())]);
        assert_eq!((&*taken.id, taken.header), (id, X_REQUEST_ID));
    }
    let taken = begin(&[(X_REQUEST_ID, b"b"), (X_CORRELATION_ID, b"a")]);
    assert_eq!((&*taken.id, taken.header), ("a", X_CORRELATION_ID));
    let taken = begin(&[(X_REQUEST_ID, b"b"), (X_CORRELATION_ID, b"a b")]);
    assert_eq!((&*taken.id, taken.header), ("b", X_REQUEST_ID));
}

#[test]
fn any_other_is_replaced() {
    let too_long = "a".repeat(129);
    for id in ["", "a b", "a\"b", "a\tb", "a'b", "a;b", "a,b", "a\\b", "{a}", "<a>", &too_long] {
        let made = begin(&[(X_REQUEST_ID, id.as_bytes())]);
        assert_eq!(made.id.len(), 36, "{id}");
    }
    assert_eq!(begin(&[(X_REQUEST_ID, b"caf\xc3\xa9")]).id.len(), 36);
    assert_eq!(begin(&[(X_REQUEST_ID, b"\xff")]).id.len(), 36);
    // The header that was refused must not reach the upstream as it was.
    assert_eq!(begin(&[(X_CORRELATION_ID, b"a b")]).header, X_CORRELATION_ID);
}

#[test]
fn a_new_id_is_a_uuid_of_version_7() {
    let made = begin(&[]);
    assert_eq!(made.header, X_REQUEST_ID);
    assert!(made.id.starts_with("01234567-89ab-7"), "{}", made.id);
    let bytes = made.id.as_bytes();
    assert_eq!([bytes[8], bytes[13], bytes[18], bytes[23]], [b'-'; 4]);
    assert!(matches!(bytes[19], b'8' | b'9' | b'a' | b'b'), "{}", made.id);
    assert!(made.id.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f')));
}
