//! The one form of a path in which it is matched and forwarded, so that both mean the same resource.
//! It knows no rule.
//!
//! A rule for `/admin` must also see `/a/../admin`, `/%61dmin` and `/a/%2e%2e/admin`, because the service behind us will
//! read them as `/admin`. So a path is brought into the form of RFC 3986, section 6.2.2, before it is matched, and is forwarded in
//! the same form: escaped letters, digits, `-`, `.`, `_`, `~` are unescaped, the hex digits of other escapes are in upper
//! case, and dot segments are resolved. All of these are equal by the RFC, so no correct service can tell.
//!
//! What services disagree about is refused instead of guessed: a path that climbs above its root, a dot segment hidden behind an escaped
//! slash, a backslash or a path parameter (`..%2f`, `..\`, `..;x`), an escape that is not one, and `%00`.
//! An escaped slash anywhere else stays as it is and is not a border of segments. Empty segments (`//`) stay too.

use std::borrow::Cow;

use memchr::memchr_iter;

/// Why a path is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    #[error("the path climbs above its root")]
    AboveRoot,
    #[error("the path hides a `.` or `..` segment behind an escape, a backslash or a parameter")]
    HiddenDots,
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    Escape,
    #[error("the path has a null byte")]
    Nul,
}

/// Brings a path (without query) into its one form; borrowed where it already is, which is nearly always.
/// The `*` of `OPTIONS *` stays as it is.
///
/// # Errors
/// Where the path could mean different things to us and to the service behind us; answer 400.
pub fn path(text: &str) -> Result<Cow<'_, str>, Bad> {
    if text == "*" {
        return Ok(Cow::Borrowed(text));
    }
    if !text.starts_with('/') {
        return Err(Bad::NotAbsolute);
    }
    let unescaped = unescape(text)?;
    if !needs_resolving(&unescaped) {
        return Ok(unescaped);
    }
    let resolved = resolve(&unescaped)?;
    Ok(if resolved == unescaped { unescaped } else { Cow::Owned(resolved) })
}

/// Unescapes what need not be escaped, and writes other escapes in upper case.
fn unescape(text: &str) -> Result<Cow<'_, str>, Bad> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(Bad::Escape)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Bad::Escape);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Bad::Escape)?;
        match byte {
            0 => return Err(Bad::Nul),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                out.push(char::from(byte))
            }
            _ => {
                out.push('%');
                out.extend(digits.chars().map(|digit| digit.to_ascii_uppercase()));
            }
        }
        out.push_str(rest);
    }
    Ok(if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) })
}

/// Whether a segment might be, or hide, a dot segment: all of them have a dot after a slash or a backslash, plain or escaped.
fn needs_resolving(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr_iter(b'.', bytes).any(|dot| matches!(bytes.get(..dot), Some([.., b'/' | b'\\'])))
        || (bytes.contains(&b'%') && (text.contains("%2F.") || text.contains("%5C.")))
}

fn resolve(text: &str) -> Result<String, Bad> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop().ok_or(Bad::AboveRoot)?;
            }
            _ if hides_dots(segment) => return Err(Bad::HiddenDots),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // `/a/.` and `/a/b/..` are the directory `/a/`.
        if last {
            kept.push("");
        }
    }
    let mut out = String::with_capacity(text.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Whether a service that also splits at `\`, `%2F`, `%5C` or `;` would see a dot segment here.
fn hides_dots(segment: &str) -> bool {
    segment
        .split('\\')
        .flat_map(|part| part.split("%2F"))
        .flat_map(|part| part.split("%5C"))
        .map(|part| part.split(';').next().unwrap_or(part))
        .map(|part| part.split("%3B").next().unwrap_or(part))
        .any(|part| part == "." || part == "..")
}
