//! Relative links of the Markdown files, and the anchors that they lead to.
//! It follows no link to elsewhere.

use std::path::{Component, Path, PathBuf};

use tidegate_tests::workspace;

use crate::house::files;

/// Every link to a file or an anchor that is not there.
pub(super) fn broken() -> Vec<String> {
    let pages = files("", ".md");
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for link in links(text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { resolved(path, file) };
            let page = pages.iter().find(|(page, _)| *page == target);
            let exists = match page {
                Some((_, text)) => anchor.is_empty() || anchors(text).iter().any(|known| known == anchor),
                None => anchor.is_empty() && workspace().join(&target).exists(),
            };
            if !exists {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    broken
}

/// The anchors of a page, as GitHub makes them: of headings, and given by hand.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    });
    headings.collect()
}

/// Lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

fn links(text: &str) -> Vec<&str> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut target = page.parent().unwrap().to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(target.pop()),
            Component::Normal(name) => target.push(name),
            _ => {}
        }
    }
    target
}
