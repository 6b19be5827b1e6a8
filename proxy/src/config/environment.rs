//! `${NAME}` and `${NAME:-default}` in values; `$$` is a dollar sign.
//! It does not know where a value stands, nor whose it is.

/// What is wrong with a substitution, and which characters of the value it concerns.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub offset: usize,
    pub length: usize,
    pub message: String,
    pub help: String,
}

/// Replaces every variable in a text. A variable that is set to nothing counts as missing where there is a default.
pub fn substitute(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, from) = rest.split_at(start);
        result.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            result.push('$');
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let offset = text.len() - from.len();
            let offset = text.get(..offset).map_or(0, |before| before.chars().count());
            let fault =
                |length: usize, message: String, help: &str| Fault { offset, length, message, help: help.into() };
            let Some((inner, after)) = after.split_once('}') else {
                let message = "`${` without `}`".to_owned();
                return Err(fault(from.chars().count(), message, "write `$$` for a dollar sign"));
            };
            let length = inner.chars().count() + 3;
            let (name, default) = match inner.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            if !is_name(name) {
                let message = format!("`{name}` is not the name of a variable");
                return Err(fault(length, message, "a name has letters, digits and `_`, and no digit at its start"));
            }
            match (environment(name), default) {
                (Some(value), None) => result.push_str(&value),
                (Some(value), Some(_)) if !value.is_empty() => result.push_str(&value),
                (_, Some(default)) => result.push_str(default),
                (None, None) => {
                    let message = format!("the environment has no variable `{name}`");
                    return Err(fault(length, message, &format!("set it, or give a default: `${{{name}:-default}}`")));
                }
            }
            rest = after;
        } else {
            result.push('$');
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    result.push_str(rest);
    Ok(result)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::substitute;

    fn get(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_dollar_signs() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${HOST}", "example.com"),
            ("https://${HOST}:${PORT:-443}/", "https://example.com:443/"),
            ("${EMPTY}", ""),
            ("${EMPTY:-full}", "full"),
            ("${NONE:-}", ""),
            ("$$HOST costs 5$", "$HOST costs 5$"),
            ("$${HOST}", "${HOST}"),
            ("^a$|é$b", "^a$|é$b"),
        ] {
            assert_eq!(substitute(text, &get).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_and_where() {
        let fault = substitute("é ${NONE} x", &get).unwrap_err();
        assert_eq!((fault.offset, fault.length), (2, 7));
        assert!(fault.message.contains("no variable `NONE`"), "{}", fault.message);
        assert!(substitute("a ${HOST", &get).unwrap_err().message.contains("without"));
        assert!(substitute("${1A}", &get).unwrap_err().message.contains("not the name"));
        assert!(substitute("${}", &get).is_err());
    }
}
