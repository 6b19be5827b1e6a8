//! The standard translation of OTLP names and units to those of a scrape.
//! It knows no metric in particular.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use super::Kind;

/// Whether OpenTelemetry allows the name; labels follow the same rule here.
pub(super) fn is_valid(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
}

/// The name of a label in the scrape.
pub(super) fn label(name: &str) -> String {
    translate(name)
}

/// The name of a metric in the scrape without `_total`, and the unit it ends in.
pub(super) fn scrape(name: &str, unit: &str, kind: Kind) -> (String, Option<String>) {
    let mut base = translate(name);
    if kind == Kind::Counter {
        base = base.strip_suffix("_total").map_or_else(|| base.clone(), str::to_owned);
    }
    let Some(word) = unit_word(unit, kind) else { return (base, None) };
    if base != word && !base.ends_with(&format!("_{word}")) {
        base = format!("{base}_{word}");
    }
    (base, Some(word))
}

fn translate(name: &str) -> String {
    let mut translated = String::with_capacity(name.len());
    for character in name.chars() {
        let character = if character.is_ascii_alphanumeric() { character } else { '_' };
        // A run of replaced characters is one underscore.
        if character != '_' || !translated.ends_with('_') {
            translated.push(character);
        }
    }
    translated
}

fn unit_word(unit: &str, kind: Kind) -> Option<String> {
    if unit == "1" {
        return (kind == Kind::Gauge).then(|| "ratio".to_owned());
    }
    let (amount, per) = match unit.split_once('/') {
        Some((amount, per)) => (amount, Some(per)),
        None => (unit, None),
    };
    let amount = word(amount, true);
    let per = per.and_then(|per| word(per, false)).map(|per| format!("per_{per}"));
    match (amount, per) {
        (Some(amount), Some(per)) => Some(format!("{amount}_{per}")),
        (amount, per) => amount.or(per),
    }
}

fn word(unit: &str, plural: bool) -> Option<String> {
    // `{request}` is an annotation: it says what is counted, it is no unit.
    let bare: String = unit.split('{').next().unwrap_or_default().into();
    let (one, many) = match bare.as_str() {
        "" | "1" => return None,
        "d" => ("day", "days"),
        "h" => ("hour", "hours"),
        "min" => ("minute", "minutes"),
        "s" => ("second", "seconds"),
        "ms" => ("millisecond", "milliseconds"),
        "us" => ("microsecond", "microseconds"),
        "ns" => ("nanosecond", "nanoseconds"),
        "By" => ("byte", "bytes"),
        "KiBy" => ("kibibyte", "kibibytes"),
        "MiBy" => ("mebibyte", "mebibytes"),
        "GiBy" => ("gibibyte", "gibibytes"),
        "kBy" | "KBy" => ("kilobyte", "kilobytes"),
        "MBy" => ("megabyte", "megabytes"),
        "GBy" => ("gigabyte", "gigabytes"),
        "Cel" => ("celsius", "celsius"),
        "%" => ("percent", "percent"),
        "m" => ("meter", "meters"),
        "V" => ("volt", "volts"),
        "A" => ("ampere", "amperes"),
        "J" => ("joule", "joules"),
        "W" => ("watt", "watts"),
        "g" => ("gram", "grams"),
        "Hz" => ("hertz", "hertz"),
        other => {
            let other = translate(other);
            let other = other.trim_matches('_');
            return (!other.is_empty()).then(|| other.to_owned());
        }
    };
    Some(if plural { many } else { one }.to_owned())
}
