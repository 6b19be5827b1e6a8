//! The rules of the house, read from its files: order of modules, length, what each file says of itself, examples that load.
//! It knows the text of the code, not its meaning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidegate_tests::{run, workspace};

/// All files below a folder of the workspace that have this ending, with their text.
pub(super) fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target" && name != ".git") {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                // Hostile texts for the parsers are among them.
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                found.push((path.strip_prefix(workspace()).unwrap().to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

fn rust() -> Vec<(PathBuf, String)> {
    files("", ".rs")
}

/// The modules of the proxy's library, in the order in which `lib.rs` lists them.
fn modules() -> Vec<String> {
    let library = std::fs::read_to_string(workspace().join("proxy/src/lib.rs")).unwrap();
    let lines = library.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    lines.map(|line| line.trim_end_matches(';').to_owned()).collect()
}

/// Which modules of the crate a file names, wherever `crate::` stands, but for its comments.
fn used(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let ends: &[char] = &[';', '}'];
        let list = if let Some(list) = rest.strip_prefix('{') { list.split(ends).next().unwrap() } else { rest };
        let names_of_list = list.split(if rest.starts_with('{') { ", " } else { "\0" });
        for name in names_of_list {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

/// A file of unit tests within a crate.
fn is_test(path: &Path) -> bool {
    path.components().skip(1).any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

#[test]
fn a_module_uses_only_modules_below_it() {
    const LEAVES: [&str; 5] = ["plugin", "upstream", "limit", "route", "listen"];
    const BELOW_LEAVES: [&str; 4] = ["wire", "telemetry", "error", "moment"];
    let modules = modules();
    let place = |name: &str| modules.iter().position(|module| module == name);
    assert!(modules.len() >= 9, "{modules:?}");
    let mut wrong = Vec::new();
    for (path, text) in files("proxy/src", ".rs") {
        let inside = path.strip_prefix("proxy/src").unwrap();
        let own = inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(own_place) = place(&own) else { continue };
        for name in used(&text) {
            let Some(its_place) = place(&name) else { continue };
            if its_place < own_place {
                wrong.push(format!("{}: {own} uses {name}, which stands above it", path.display()));
            }
            let leaf = LEAVES.contains(&own.as_str()) && name != own;
            // The configuration of a room may stand in the types of others; the rooms themselves may not meet.
            if leaf && !BELOW_LEAVES.contains(&name.as_str()) {
                wrong.push(format!("{}: the leaf {own} uses {name}", path.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_and_what_it_must_not_know() {
    let mut wrong = Vec::new();
    for (path, text) in rust() {
        let lead: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let sentences = lead.join(" ").matches(['.', '?']).count();
        if sentences < if is_test(&path) { 1 } else { 2 } {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_too_long() {
    const MOST: usize = 600;
    let is_test =
        |path: &Path| path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    let long: Vec<_> = rust()
        .into_iter()
        .filter(|(path, text)| !is_test(path) && text.lines().count() > MOST)
        .map(|(path, text)| format!("{}: {}", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn files_are_named_after_things() {
    let vague = ["utils", "util", "common", "helpers", "helper", "manager", "types", "misc", "mod"];
    let wrong: Vec<_> = rust()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| vague.contains(&path.file_stem().unwrap().to_string_lossy().as_ref()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_for_later_and_nothing_is_unsafe() {
    let words = ["TO", "FIX"].map(|half| match half {
        "TO" => ["TO", "DO"].concat(),
        other => [other, "ME"].concat(),
    });
    let ignored = ["#[", "ignore"].concat();
    let mut wrong = Vec::new();
    for (path, text) in rust() {
        if words.iter().any(|word| text.contains(word.as_str())) || text.contains(&ignored) {
            wrong.push(format!("{}: something is left for later", path.display()));
        }
        let allows = ["allow(", "unsafe_code"].concat();
        // Cached machine code has no other way in; the file says why it can be trusted.
        if text.contains(&allows)
            && !path.starts_with("sdk")
            && path != Path::new("proxy/src/plugin/compiled/trusted.rs")
        {
            wrong.push(format!("{}: unsafe", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_example_configuration_passes_the_check() {
    let mut examples = BTreeMap::new();
    for (path, text) in files("config", ".yaml").into_iter().chain(files("plugins", "example.yaml")) {
        // Files of other tools stand there too; ours have listeners.
        if text.lines().any(|line| line.starts_with("listeners:")) {
            examples.insert(path, text);
        }
    }
    assert!(examples.len() >= 3, "{:?}", examples.keys());
    for path in examples.keys() {
        let path = workspace().join(path);
        let name = path.file_name().unwrap().to_str().unwrap();
        let checked = run(path.parent().unwrap(), &["check", "-c", name]);
        assert_eq!(checked.code(), 0, "{}:\n{}", path.display(), checked.text());
    }
}

#[test]
fn configurations_in_the_documents_pass_the_check() {
    let folder = tidegate_tests::Scratch::new();
    let mut checked = 0;
    for path in ["README.md", "docs/plugin-guide.md", "docs/operations.md"] {
        let Ok(text) = std::fs::read_to_string(workspace().join(path)) else { continue };
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.lines().any(|line| line.starts_with("listeners:"))) {
            folder.write("tidegate.yaml", block);
            // Modules that the reader has built by then.
            for file in block.split("file: ").skip(1).filter_map(|rest| rest.split([' ', ',', '}', '\n']).next()) {
                folder.write(file, tidegate_tests::wasm("(memory (export \"memory\") 1)"));
            }
            let result = run(folder.path(), &["check"]);
            assert_eq!(result.code(), 0, "{path}:\n{block}\n{}", result.text());
            checked += 1;
        }
    }
    assert!(checked > 0, "the README shows a configuration");
}

#[test]
fn every_plugin_is_a_quartet() {
    let plugins = std::fs::read_dir(workspace().join("plugins")).unwrap();
    let mut count = 0;
    for plugin in plugins.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for part in ["Cargo.toml", "README.md", "example.yaml", "src/lib.rs"] {
            assert!(plugin.join(part).is_file(), "{}: {part} is missing", plugin.display());
        }
        let has_test = plugin.join("tests").is_dir() || plugin.join("src/tests.rs").is_file();
        assert!(has_test, "{}: a test is missing", plugin.display());
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = std::fs::read_to_string(workspace().join("docs/dependencies.md")).unwrap();
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim()));
    let missing: Vec<_> =
        names.filter(|name| !name.starts_with("tidegate") && !reasons.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_names_a_machine() {
    let mut wrong = Vec::new();
    for ending in [".rs", ".md", ".yaml", ".toml", ".sh"] {
        for (path, text) in files("", ending) {
            for trace in
                [["/w", "t/"].concat(), ["/cac", "he/"].concat(), ["/wo", "rk/"].concat(), ["../sha", "red"].concat()]
            {
                if text.contains(&trace) {
                    wrong.push(format!("{}: {trace}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
