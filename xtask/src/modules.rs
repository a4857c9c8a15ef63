//! Which top-level modules of a crate need which, read from the paths in their source.
//!
//! A file and the folder of the same name are one noun, so what happens between a module and its parts is not looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tokens::{tokens, without_tests};

/// Each top-level module and those that it names.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Builds the graph of one crate from its files: module path (`["picker", "blocks"]`, empty for the root) and source.
pub(crate) fn graph(files: &[(Vec<String>, String)]) -> Graph {
    let mut tests = BTreeSet::new();
    let mut parsed = Vec::new();
    for (path, source) in files {
        let (kept, declared) = without_tests(&tokens(source));
        tests.extend(declared.iter().map(|name| path.iter().cloned().chain([(*name).to_owned()]).collect::<Vec<_>>()));
        parsed.push((path, kept));
    }
    parsed.retain(|(path, _)| !tests.iter().any(|test| path.starts_with(test)));

    let nouns: BTreeSet<String> = parsed.iter().filter_map(|(path, _)| path.first().cloned()).collect();
    // What the root re-exports is named through the root, but stands in a module.
    let mut exports = BTreeMap::new();
    for (_, tokens) in parsed.iter().filter(|(path, _)| path.is_empty()) {
        for used in paths(tokens, &[]) {
            if let ([module, .., name], true) = (used.as_slice(), used.first().is_some_and(|it| nouns.contains(it))) {
                exports.insert(name.clone(), module.clone());
            }
        }
    }
    let mut graph: Graph = nouns.iter().map(|noun| (noun.clone(), BTreeSet::new())).collect();
    for (path, tokens) in &parsed {
        let Some(noun) = path.first() else { continue };
        for used in paths(tokens, path) {
            let Some(first) = used.first() else { continue };
            let target = if nouns.contains(first) { Some(first) } else { exports.get(first) };
            if let (Some(target), Some(needs)) = (target.filter(|it| *it != noun), graph.get_mut(noun)) {
                needs.insert(target.clone());
            }
        }
    }
    graph
}

/// The circles of a graph: for each module that is in one, the shortest; each told once, beginning with its least name.
pub(crate) fn circles(graph: &Graph) -> BTreeSet<Vec<String>> {
    graph.keys().filter_map(|start| shortest_circle(graph, start)).collect()
}

fn shortest_circle(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        for next in graph.get(*path.last()?)? {
            if next == start {
                let least = path.iter().enumerate().min_by_key(|(_, name)| **name)?.0;
                let turned = path.iter().cycle().skip(least).take(path.len());
                return Some(turned.map(|it| (*it).to_owned()).collect());
            }
            if seen.insert(next.as_str()) {
                queue.push_back(path.iter().copied().chain([next.as_str()]).collect());
            }
        }
    }
    None
}

/// The paths from the crate's root that the tokens of the module `here` name. At the root, `use` needs no `crate::` in front.
fn paths(tokens: &[&str], here: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inline: Vec<Option<&str>> = Vec::new();
    let mut at = 0;
    let word = |at: usize| tokens.get(at).copied().unwrap_or_default();
    while at < tokens.len() {
        let outside = at == 0 || word(at - 1) != "::";
        match word(at) {
            "{" => inline.push((at >= 2 && word(at - 2) == "mod").then(|| word(at - 1))),
            "}" => {
                inline.pop();
            }
            "crate" if word(at + 1) == "::" && outside => at = tree(tokens, at + 2, &[], &mut found),
            "super" | "self" if word(at + 1) == "::" && outside => {
                let mut base: Vec<String> = here.to_vec();
                base.extend(inline.iter().flatten().map(|it| (*it).to_owned()));
                let mut next = at;
                while matches!(word(next), "super" | "self") && word(next + 1) == "::" {
                    if word(next) == "super" {
                        base.pop();
                    }
                    next += 2;
                }
                at = tree(tokens, next, &base, &mut found);
            }
            "use" if here.is_empty() && inline.is_empty() && !matches!(word(at + 1), "crate" | "self" | "super") => {
                at = tree(tokens, at + 1, &[], &mut found);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads `a::b`, `a::{b, c::d}` or `*` from `at` on; adds every full path. Gives the last token that belongs to it.
fn tree(tokens: &[&str], at: usize, base: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let word = |at: usize| tokens.get(at).copied().unwrap_or_default();
    if word(at) == "{" {
        let mut next = at + 1;
        while next < tokens.len() && word(next) != "}" {
            // `a as b` and the comma are stepped over.
            next = if matches!(word(next), "," | "as") { next } else { tree(tokens, next, base, found) } + 1;
        }
        return next;
    }
    let mut path = base.to_vec();
    path.push(word(at).to_owned());
    if word(at + 1) == "::"
        && (word(at + 2) == "{" || word(at + 2).starts_with(|c: char| c.is_alphabetic() || c == '_'))
    {
        return tree(tokens, at + 2, &path, found);
    }
    found.push(path);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Graph {
        let path = |name: &str| name.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        graph(&files.iter().map(|(name, source)| (path(name), (*source).to_owned())).collect::<Vec<_>>())
    }

    fn needs(graph: &Graph, module: &str) -> Vec<String> {
        graph[module].iter().cloned().collect()
    }

    #[test]
    fn every_spelling_of_a_path_is_an_arrow() {
        let graph = crate_of(&[
            ("a", "use crate::{b::X, c::{Y, Z as W}}; fn f(_: crate::d::T) {} use super::e::U;"),
            ("a/part", "use super::super::f::V; use super::own; mod inner { use super::super::hidden; }"),
            ("b", ""),
            ("c", ""),
            ("d", ""),
            ("e", ""),
            ("f", ""),
        ]);
        assert_eq!(needs(&graph, "a"), ["b", "c", "d", "e", "f"]);
    }

    #[test]
    fn what_the_root_re_exports_stands_in_its_module() {
        let graph = crate_of(&[("", "mod a; mod b; pub use b::{X, sub::Y};"), ("a", "use crate::Y;"), ("b", "")]);
        assert_eq!(needs(&graph, "a"), ["b"]);
    }

    #[test]
    fn tests_and_comments_draw_no_arrow() {
        let graph = crate_of(&[
            ("a", "//! [`crate::b::X`]\n#[cfg(test)] mod tests { use crate::b::X; } #[cfg(test)] mod more;"),
            ("a/more", "use crate::b;"),
            ("b", "use crate::a;"),
        ]);
        assert!(needs(&graph, "a").is_empty());
        assert!(circles(&graph).is_empty());
    }

    #[test]
    fn a_circle_is_told_once_and_by_its_members() {
        let graph = crate_of(&[
            ("c", "use crate::a::X;"),
            ("a", "use crate::b::X;"),
            ("b", "use crate::c::X; use crate::d::X;"),
            ("d", ""),
        ]);
        assert_eq!(circles(&graph).into_iter().collect::<Vec<_>>(), [["a", "b", "c"]]);
    }
}
