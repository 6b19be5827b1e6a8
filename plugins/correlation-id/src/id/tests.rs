//! Ids are as their standards say, and never come twice.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use super::{Format, Maker, valid};

const MILLIS: u128 = 0x0198_c2a4_7f00;
const RANDOM: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

#[test]
fn ids_have_the_form_of_their_format() {
    assert_eq!(Format::UuidV7.write(MILLIS, RANDOM), "0198c2a4-7f00-7def-8123-456789abcdef");
    assert_eq!(Format::UuidV4.write(MILLIS, RANDOM), "01234567-89ab-4def-8123-456789abcdef");
    assert_eq!(Format::Ulid.write(0, 0), "00000000000000000000000000");
    assert_eq!(Format::Ulid.write((1 << 48) - 1, u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(Format::Hex.write(MILLIS, RANDOM), "0123456789abcdef0123456789abcdef");
}

#[test]
fn ids_by_time_sort_by_time() {
    for format in [Format::UuidV7, Format::Ulid] {
        assert!(format.write(MILLIS, u128::MAX) < format.write(MILLIS + 1, 0));
    }
}

#[test]
fn no_id_comes_twice_in_one_instance_or_in_two() {
    let now = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    for format in [Format::UuidV7, Format::UuidV4, Format::Ulid, Format::Hex] {
        let (mut one, mut two) = (Maker::new(format), Maker::new(format));
        let ids: HashSet<_> = (0..1000).flat_map(|_| [one.make(now), two.make(now)]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| valid(id.as_bytes()).is_some()));
    }
}

#[test]
fn an_id_is_plain_and_short() {
    assert_eq!(valid(b"abc-123_X.~+/=:@"), Some("abc-123_X.~+/=:@"));
    let long = [b'a'; 129];
    for wrong in [&b""[..], b"a b", b"a\"b", b"a,b", b"\xc3\xa4", b"a\0", &long] {
        assert_eq!(valid(wrong), None, "{wrong:?}");
    }
    assert!(valid(&long[..128]).is_some());
}
