//! Why two sides call a file by different names.

use super::classes::Class;
use super::reading::File;
use std::collections::BTreeSet;

/// The classes that explain why a file is called as it is here and otherwise there, or none if nothing does.
///
/// `all` are the files as the other side calls them: what one file is called depends on those before it.
pub(super) fn explain(ours: &File, theirs: &File, all: &[File]) -> BTreeSet<Class> {
    let (here, there) = (components(&ours.path), components(&theirs.path));
    let mut classes = BTreeSet::new();
    let mut there = there.as_slice();
    let mut here = here.as_slice();
    // A torrent without a name is called by its info-hash, or as the lone file in it.
    if let ([first, below_here @ ..], [other, below_there @ ..]) = (here, there)
        && *first == "_"
        && (is_hash(other) && below_here.len() == below_there.len())
    {
        classes.insert(Class::EmptyNames);
        (here, there) = (below_here, below_there);
    }
    if here.len() != there.len() {
        return BTreeSet::new();
    }
    for (here, there) in here.iter().zip(there) {
        if here == there {
            continue;
        }
        let portable = portable(there);
        if *here == portable {
            classes.insert(Class::WindowsNames);
        } else if here.len() > CUT_FROM && start(here) == start(&portable) {
            classes.insert(Class::LongNames);
        } else if portable_unnumbered(here) == portable_unnumbered(there) {
            match numbering(theirs, there, all) {
                Some(class) => classes.insert(class),
                None => return BTreeSet::new(),
            };
        } else {
            return BTreeSet::new();
        }
    }
    classes
}

/// Why another number is given here than there, or none. `name` is the component that differs.
fn numbering(theirs: &File, name: &str, all: &[File]) -> Option<Class> {
    let fold = |path: &str| path.to_uppercase().to_lowercase();
    let others = || all.iter().map(|file| file.path.as_str());
    // A file is also called otherwise for a directory that is there.
    let directories = || others().flat_map(|path| path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
    let same = others().filter(|path| path.eq_ignore_ascii_case(&theirs.path)).count();
    let own = unnumbered(&theirs.path);
    let is_other_case = |path: &str| {
        let path = unnumbered(path);
        !path.eq_ignore_ascii_case(&own) && fold(&path) == fold(&own)
    };
    let odd = is_odd(&theirs.path);
    let is_one_on_windows = |path: &str| {
        let (path, own) = (below(path), below(&theirs.path));
        path != own && (odd || is_odd(path)) && fold(&portable_path(path)) == fold(&portable_path(own))
    };
    if same > 1 {
        Some(Class::TakenNumbers)
    } else if others().chain(directories()).any(is_other_case) {
        Some(Class::Case)
    } else if name.rsplit('.').next().is_some_and(|extension| extension.len() > 100) {
        Some(Class::LongNames)
    } else if others().chain(directories()).any(is_one_on_windows) {
        Some(Class::WindowsNames)
    } else {
        // What comes after a number that is taken is numbered on.
        let distinct = others().map(str::to_ascii_lowercase).collect::<BTreeSet<_>>().len();
        (distinct < all.len()).then_some(Class::TakenNumbers)
    }
}

/// The path without the name of the torrent.
fn below(path: &str) -> &str {
    path.split_once('/').map_or("", |(_, below)| below)
}

fn is_odd(path: &str) -> bool {
    components(path).iter().any(|name| portable(name) != *name)
}

/// The path as Windows takes it, without numbers.
fn portable_path(path: &str) -> String {
    components(path).into_iter().map(portable_unnumbered).collect::<Vec<_>>().join("/")
}

/// The name as Windows takes it, without numbers.
fn portable_unnumbered(name: &str) -> String {
    portable(&unnumbered(name))
}

fn components(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// The name as Windows takes it.
fn portable(name: &str) -> String {
    let kept = name.replace([':', '*', '?', '"', '<', '>', '|'], "_");
    let kept = kept.trim_end_matches(['.', ' ']);
    let stem = kept.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_port = (stem.starts_with("COM") || stem.starts_with("LPT")) && stem.chars().count() == 4;
    let is_device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || is_port && stem.ends_with(|last: char| last.is_ascii_digit() || "¹²³".contains(last));
    match (kept, is_device) {
        ("", _) => "_".to_owned(),
        (kept, true) => format!("_{kept}"),
        (kept, false) => kept.to_owned(),
    }
}

/// The name without the parts between dots that are numbers.
fn unnumbered(name: &str) -> String {
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').filter(|part| !is_number(part)).collect::<Vec<_>>().join(".")
}

fn is_hash(name: &str) -> bool {
    [40, 64].contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What stays of a name wherever it is cut and numbered.
fn start(name: &str) -> String {
    unnumbered(name).chars().take(40).collect()
}

/// Bytes of the shortest name of which one side cuts something: the extension, when it gives a number.
const CUT_FROM: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        File { path: path.to_owned(), ..File::default() }
    }

    #[test]
    fn each_reason_for_another_name_is_told_and_others_are_not() {
        let long = |end: &str| format!("t/{}{end}", "x".repeat(238));
        let table: [(&str, &str, &[&str], Option<Class>); 9] = [
            ("t/_CON", "t/CON", &[], Some(Class::WindowsNames)),
            ("t/a_b", "t/a:b.", &[], Some(Class::WindowsNames)),
            ("t/_.1", "t/_", &["t/|"], Some(Class::WindowsNames)),
            ("_/a", "0123456789012345678901234567890123456789/a", &[], Some(Class::EmptyNames)),
            ("t/é.1", "t/é", &["t/É"], Some(Class::Case)),
            ("t/a.1.1", "t/a.1", &["t/a", "t/a.1"], Some(Class::TakenNumbers)),
            ("t/a.1", "t/a", &["t/b"], None),
            ("t/a", "t/b", &[], None),
            ("t/a", "t/u/a", &[], None),
        ];
        for (ours, theirs, others, class) in table {
            let all: Vec<_> = others.iter().chain([&theirs]).map(|path| file(path)).collect();
            assert_eq!(explain(&file(ours), &file(theirs), &all).into_iter().next(), class, "{ours} {theirs}");
        }
        let (ours, theirs) = (file(&long(".e")), file(&long(".ex")));
        assert_eq!(explain(&ours, &theirs, &[]), BTreeSet::from([Class::LongNames]));
    }
}
