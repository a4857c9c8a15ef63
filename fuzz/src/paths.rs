//! The target of the repair of file names.

use std::cell::RefCell;
use unchoke_metainfo::{Info, Layout};

#[derive(Default)]
struct Memory {
    torrent: Vec<u8>,
    /// The names that a torrent was given, in lower case, one after another, with where each ends.
    folded: String,
    names: Vec<(usize, usize)>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// File names: whatever the bytes, each file gets one path of safe components, no two files one place whatever the case, and what is given stays as it is
/// when it is read again.
///
/// The input is the name of the torrent and the paths of its files. `0xff` ends a path and `0xfe` a component, since neither is part of any text.
pub fn path(data: &[u8]) {
    MEMORY.with_borrow_mut(|memory| {
        let mut paths = data.split(|byte| *byte == PATH_END);
        let root = paths.next().unwrap_or_default();
        write(&mut memory.torrent, root, paths.map(|path| path.split(|byte| *byte == NAME_END)));
        let Ok(info) = Info::from_bytes(memory.torrent.clone()) else { return };
        let layout = info.layout();
        assert!(!layout.root_name().is_empty());
        check(layout.root_name());
        let mut is_kept = layout.root_name().as_bytes() == root;
        let mut paths = data.split(|byte| *byte == PATH_END).skip(1);
        for file in layout.files() {
            let given = paths.next().unwrap_or_default();
            let mut names = file.below_root().split('/').filter(|name| !name.is_empty());
            let mut is_same = true;
            for raw in given.split(|byte| *byte == NAME_END) {
                let name = names.next().unwrap_or_default();
                is_same &= name.as_bytes() == raw;
                assert!(!name.is_empty() || data == root, "{:?} has lost a component", file.path());
                check(name);
            }
            assert_eq!(names.next(), None, "{:?} has gained a component", file.path());
            assert!(is_same != file.is_renamed() || data == root, "{:?}", file.path());
            is_kept &= is_same;
        }
        distinct(layout, memory);
        if is_kept {
            assert!(info.warnings().is_empty(), "{:?}", info.warnings());
        } else {
            again(layout, memory);
        }
    });
}

const PATH_END: u8 = 0xff;
const NAME_END: u8 = 0xfe;

fn check(name: &str) {
    assert!(name.len() <= 255 && !name.ends_with(['.', ' ']), "{name:?}");
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}')
            || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!name.contains(is_harmful), "{name:?}");
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    for device in ["con", "prn", "aux", "nul", "com1", "com9", "lpt0"] {
        assert!(!stem.eq_ignore_ascii_case(device), "{name:?} is a device");
    }
}

/// Requires that the files can be in one directory that does not tell upper from lower case.
fn distinct(layout: &Layout, memory: &mut Memory) {
    let Memory { folded, names, .. } = memory;
    folded.clear();
    names.clear();
    for file in layout.files() {
        let start = folded.len();
        let text = file.below_root();
        if text.is_ascii() {
            folded.push_str(text);
            folded[start..].make_ascii_lowercase();
        } else {
            folded.extend(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase));
        }
        // Sorts a directory before what is in it, with nothing in between.
        folded.push('/');
        names.push((start, folded.len()));
    }
    let name = |(start, end): (usize, usize)| &folded[start..end];
    names.sort_unstable_by_key(|at| name(*at));
    for pair in names.windows(2) {
        assert!(!name(pair[1]).starts_with(name(pair[0])), "{:?} is a file and more", name(pair[0]));
    }
}

/// Requires that the names that were given are kept when they come in a torrent.
fn again(layout: &Layout, memory: &mut Memory) {
    let files = layout.files();
    // A torrent that is one file has no path below its root.
    let listed = files.iter().map(|file| file.below_root()).filter(|path| !path.is_empty());
    write(&mut memory.torrent, layout.root_name().as_bytes(), listed.map(|path| path.split('/').map(str::as_bytes)));
    match Info::from_bytes(memory.torrent.clone()) {
        Ok(info) => {
            assert!(info.warnings().is_empty(), "{:?} for {layout:?}", info.warnings());
            let same =
                info.layout().files().iter().zip(files).all(|(one, other)| one.below_root() == other.below_root());
            assert!(same && info.layout().root_name() == layout.root_name(), "{:?} and {layout:?}", info.layout());
        }
        Err(error) => panic!("{error} of {layout:?}"),
    }
}

/// Writes the info dictionary of a torrent of empty files.
fn write<'a, P: Iterator<Item = &'a [u8]>>(out: &mut Vec<u8>, root: &[u8], paths: impl Iterator<Item = P>) {
    out.clear();
    out.push(b'd');
    let mut paths = paths.peekable();
    if paths.peek().is_none() {
        out.extend_from_slice(b"6:lengthi0e");
    } else {
        out.extend_from_slice(b"5:filesl");
        for path in paths {
            out.extend_from_slice(b"d6:lengthi0e4:pathl");
            path.for_each(|name| string(name, out));
            out.extend_from_slice(b"ee");
        }
        out.push(b'e');
    }
    out.extend_from_slice(b"4:name");
    string(root, out);
    out.extend_from_slice(b"12:piece lengthi16384e6:pieces0:e");
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}
