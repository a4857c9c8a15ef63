//! What a torrent is to say.

use super::Kind;
use super::tree::Tree;
use unchoke_core::seed::Rng;
use unchoke_metainfo::merkle::{FileHasher, FileHashes};

/// A torrent whose fields fit one another, as far as its kind goes.
pub(super) struct Plan {
    v1: bool,
    v2: bool,
    name: Vec<u8>,
    piece_length: u64,
    /// One file and no directory.
    single: bool,
    files: Vec<Planned>,
    /// Entries of the info dictionary that are not needed.
    more: Vec<(&'static str, Tree)>,
    /// Entries around it.
    around: Vec<(&'static str, Tree)>,
    /// Whether a hybrid has padding after its last file.
    pad_end: bool,
    /// Whether it has the hash of BEP 30 instead of those of pieces.
    root_hash: bool,
}

struct Planned {
    path: Vec<Vec<u8>>,
    utf_8: Option<Vec<Vec<u8>>>,
    length: u64,
    attributes: &'static str,
    link: Option<Vec<Vec<u8>>>,
    /// What its bytes are.
    fill: u8,
}

impl Plan {
    pub(super) fn random(rng: &mut Rng, kind: Kind) -> Self {
        let (v1, v2) =
            [(true, false), (false, true), (true, true)].get(rng.below(3) as usize).copied().unwrap_or((true, true));
        let is_odd = kind == Kind::Layout;
        let mut piece_length = 16_384_u64 << rng.below(3);
        if is_odd && rng.below(3) == 0 {
            let odd = [1_u64, 3, 1000, 16_383, 16_385, 40_000, 65_537, 1 << 28, 1 << 29, 1 << 30, 1 << 23, 8_192];
            piece_length = rng.choose(&odd).copied().unwrap_or(piece_length);
        }
        // So many pieces are not needed to see what comes of them.
        let longest = piece_length.saturating_mul(300);
        let single = rng.below(4) == 0;
        let most = if rng.below(8) == 0 { 30 } else { 5 };
        let count = if single { 1 } else { 1 + rng.below(most) };
        let mut files: Vec<_> = (0..count).map(|_| Planned::random(rng, kind, v2, longest)).collect();
        if kind != Kind::Names {
            for (number, file) in files.iter_mut().enumerate() {
                if let Some(last) = file.path.last_mut() {
                    last.extend_from_slice(number.to_string().as_bytes());
                }
            }
        }
        if is_odd && rng.below(2) == 0 {
            link(&mut files, rng);
        }
        if kind == Kind::Names && rng.below(2) == 0 {
            clash(&mut files, rng);
        }
        if v2 {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            files.dedup_by(|a, b| a.path == b.path);
            // A name is a file or a directory.
            let directories: Vec<_> = files
                .iter()
                .flat_map(|file| (1..file.path.len()).map(|end| file.path.get(..end).unwrap_or_default().to_vec()))
                .collect();
            files.retain(|file| !directories.contains(&file.path));
        }
        if !is_odd
            && files.iter().all(|file| file.length == 0)
            && let Some(file) = files.first_mut()
        {
            file.length = 1;
        }
        let name = if kind == Kind::Names && rng.below(3) == 0 { odd_name(rng) } else { plain_name(rng) };
        let mut more = Vec::new();
        if rng.below(4) == 0 {
            more.push(("private", Tree::int(1)));
        }
        if rng.below(6) == 0 {
            more.push(("source", Tree::bytes("where")));
        }
        if kind == Kind::Names && rng.below(4) == 0 {
            more.push(("name.utf-8", Tree::bytes(odd_name(rng))));
        }
        let mut around = Vec::new();
        for (key, value) in [
            ("announce", Tree::bytes("http://tracker.test/announce")),
            ("announce-list", Tree::List(vec![Tree::List(vec![Tree::bytes("udp://one.test:6969")])])),
            ("comment", Tree::bytes("text")),
            ("created by", Tree::bytes("oracle")),
            ("creation date", Tree::int(1_700_000_000)),
            ("nodes", Tree::List(vec![Tree::List(vec![Tree::bytes("127.0.0.1"), Tree::int(6881)])])),
            ("url-list", Tree::bytes("http://seed.test/")),
        ] {
            if rng.below(4) == 0 {
                around.push((key, value));
            }
        }
        let pad_end = v1 && v2 && rng.below(4) == 0;
        let root_hash = is_odd && v1 && !v2 && rng.below(10) == 0;
        let mut plan = Self { v1, v2, name, piece_length, single, files, more, around, pad_end, root_hash };
        if is_odd && rng.below(300) == 0 {
            plan.make_huge();
        }
        plan
    }

    /// Makes it one file that is as long as its piece hashes allow for.
    fn make_huge(&mut self) {
        (self.v1, self.v2, self.single, self.root_hash) = (true, false, true, false);
        self.piece_length = 1 << 28;
        self.files.truncate(1);
        for file in &mut self.files {
            (file.length, file.attributes, file.link) = (self.piece_length * MAX_PIECES, "", None);
        }
    }

    pub(super) fn into_tree(mut self) -> Tree {
        let mut info = std::mem::take(&mut self.more);
        info.push(("piece length", Tree::int(self.piece_length)));
        if self.single
            && let Some(file) = self.files.first_mut()
        {
            file.path = vec![self.name.clone()];
        }
        info.push(("name", Tree::bytes(&self.name)));
        let mut around = std::mem::take(&mut self.around);
        if self.v2 {
            let (tree, layers) = self.tree();
            info.push(("file tree", tree));
            info.push(("meta version", Tree::int(2)));
            around.push(("piece layers", layers));
        }
        if self.v1 {
            let total = self.list(&mut info);
            let most = if self.piece_length == 1 << 28 { MAX_PIECES } else { 10_000 };
            let pieces = total.div_ceil(self.piece_length.max(1)).min(most);
            if self.root_hash {
                info.push(("root hash", Tree::bytes([7; 20])));
            } else {
                let hashes: Vec<u8> = (0..pieces * 20).map(|at| at.to_le_bytes()[0]).collect();
                info.push(("pieces", Tree::bytes(hashes)));
            }
        }
        around.push(("info", Tree::dict(info)));
        Tree::dict(around)
    }

    /// Adds the v1 description and tells its length.
    fn list(&self, info: &mut Vec<(&'static str, Tree)>) -> u64 {
        if self.single {
            let length = self.files.first().map_or(0, |file| file.length);
            info.push(("length", Tree::int(length)));
            return length;
        }
        let (mut list, mut total) = (Vec::new(), 0_u64);
        let last = self.files.iter().rposition(|file| file.length > 0);
        for (number, file) in self.files.iter().enumerate() {
            list.push(file.entry());
            total += file.length;
            let gap = total.next_multiple_of(self.piece_length.max(1)) - total;
            let is_last = last.is_none_or(|last| number >= last);
            if self.v2 && gap > 0 && file.length > 0 && (!is_last || self.pad_end) {
                let path = [b".pad".to_vec(), gap.to_string().into_bytes()];
                list.push(Tree::dict([
                    ("attr", Tree::bytes("p")),
                    ("length", Tree::int(gap)),
                    ("path", Tree::path(&path)),
                ]));
                total += gap;
            }
        }
        info.push(("files", Tree::List(list)));
        total
    }

    /// The file tree and the piece layers.
    fn tree(&self) -> (Tree, Tree) {
        let (mut root, mut layers) = (Tree::Dict(Vec::new()), Vec::new());
        for file in &self.files {
            let mut leaf = Vec::new();
            if !file.attributes.is_empty() {
                leaf.push(("attr", Tree::bytes(file.attributes)));
            }
            if let Some(link) = &file.link {
                leaf.push(("symlink path", Tree::path(link)));
            }
            leaf.push(("length", Tree::int(file.length)));
            if file.length > 0
                && let Some(hashes) = self.hashes(file)
                && let Some(root) = hashes.root()
            {
                leaf.push(("pieces root", Tree::bytes(root.as_bytes())));
                let layer: Vec<u8> = hashes.layer().iter().flat_map(|hash| hash.as_bytes().to_vec()).collect();
                if !layer.is_empty() {
                    layers.push((root.as_bytes().to_vec(), Tree::bytes(layer)));
                }
            }
            insert(&mut root, &file.path, Tree::dict([("", Tree::dict(leaf))]));
        }
        layers.sort_by(|(a, _), (b, _)| a.cmp(b));
        layers.dedup_by(|(a, _), (b, _)| a == b);
        (root, Tree::Dict(layers))
    }

    /// What BEP 52 hashes of a file are where its length and that of pieces allow for any; else one that is made up.
    fn hashes(&self, file: &Planned) -> Option<FileHashes> {
        let piece_length = u32::try_from(self.piece_length).ok();
        let piece_length = piece_length.filter(|it| *it <= 1 << 23 && FileHasher::new(*it).is_some());
        let length = if file.length > MOST_HASHED { 1 } else { file.length };
        let mut hasher = FileHasher::new(piece_length.unwrap_or(16_384))?;
        hasher.update(&vec![file.fill; usize::try_from(length).ok()?]);
        Some(hasher.finish())
    }
}

impl Planned {
    fn random(rng: &mut Rng, kind: Kind, v2: bool, longest: u64) -> Self {
        let is_odd = kind == Kind::Names;
        let depth = if rng.below(3) == 0 { 1 + rng.below(3) } else { 1 };
        let path = |rng: &mut Rng| -> Vec<_> {
            (0..depth).map(|_| if is_odd && rng.below(2) == 0 { odd_name(rng) } else { plain_name(rng) }).collect()
        };
        let utf_8 = (is_odd && !v2 && rng.below(6) == 0).then(|| path(rng));
        let lengths = [0_u64, 1, 5, 1000, 16_383, 16_384, 16_385, 32_768, 40_000, 65_536, 70_000, 131_073];
        let mut length = rng.choose(&lengths).copied().unwrap_or_default().min(longest);
        let mut attributes = "";
        if kind == Kind::Layout {
            attributes = rng.choose(&["", "", "", "x", "h", "hx", "p", "xyz", "l"]).copied().unwrap_or_default();
            if rng.below(12) == 0 {
                let huge =
                    [1_u64 << 31, (1 << 32) + 1, 1 << 40, (1 << 48) - 1, 1 << 48, 1 << 62, i64::MAX.unsigned_abs()];
                length = rng.choose(&huge).copied().unwrap_or_default();
            }
            if v2 && attributes == "p" && rng.below(4) > 0 {
                attributes = "";
            }
        }
        let fill = rng.below(3).to_le_bytes()[0];
        Self { path: path(rng), utf_8, length, attributes, link: None, fill }
    }

    fn entry(&self) -> Tree {
        let mut entry = vec![("length", Tree::int(self.length)), ("path", Tree::path(&self.path))];
        if !self.attributes.is_empty() {
            entry.push(("attr", Tree::bytes(self.attributes)));
        }
        if let Some(path) = &self.utf_8 {
            entry.push(("path.utf-8", Tree::path(path)));
        }
        if let Some(link) = &self.link {
            entry.push(("symlink path", Tree::path(link)));
        }
        Tree::dict(entry)
    }
}

/// Makes some files links: to others, to directories, to nothing, out of the torrent.
fn link(files: &mut [Planned], rng: &mut Rng) {
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    for file in files.iter_mut().filter(|file| file.attributes == "l" || file.attributes == "x") {
        let mut target = rng.choose(&paths).cloned().unwrap_or_default();
        match rng.below(6) {
            0 => target.truncate(1),
            1 => target.insert(0, b"..".to_vec()),
            2 => target = vec![b"nothing".to_vec()],
            _ => {}
        }
        file.attributes = "l";
        file.link = Some(target);
        file.length = 0;
    }
}

/// Gives some files the path of another one, or nearly so.
fn clash(files: &mut [Planned], rng: &mut Rng) {
    for at in 1..files.len() {
        let other = files.get(at - 1).map(|file| file.path.clone()).unwrap_or_default();
        let Some(file) = files.get_mut(at) else { continue };
        let text = other.last().and_then(|name| String::from_utf8(name.clone()).ok()).unwrap_or_default();
        let name = match rng.below(8) {
            0 => text.to_uppercase(),
            1 => text.to_lowercase(),
            2 => format!("{text}.1"),
            3 | 4 => text,
            5 => format!("{}.{}", "x".repeat(236 + rng.below(6) as usize), "y".repeat(1 + rng.below(12) as usize)),
            _ => continue,
        };
        file.path = other;
        if let Some(last) = file.path.last_mut() {
            *last = name.into_bytes();
        }
    }
}

fn insert(directory: &mut Tree, path: &[Vec<u8>], file: Tree) {
    let (Some((name, rest)), Tree::Dict(entries)) = (path.split_first(), directory) else { return };
    if rest.is_empty() {
        entries.push((name.clone(), file));
        return;
    }
    if entries.last().is_none_or(|(last, _)| last != name) {
        entries.push((name.clone(), Tree::Dict(Vec::new())));
    }
    if let Some((_, inner)) = entries.last_mut() {
        insert(inner, rest, file);
    }
}

fn plain_name(rng: &mut Rng) -> Vec<u8> {
    let names = ["a", "b", "B", "file.txt", "data", "sub", "x y", "é", "日本", ".hidden"];
    rng.choose(&names).copied().unwrap_or("a").as_bytes().to_vec()
}

fn odd_name(rng: &mut Rng) -> Vec<u8> {
    let long = [b'x'; 120];
    let parts: [&[u8]; 40] = [
        b"a",
        b"b",
        b"A",
        b".",
        b"..",
        b"/",
        b"\\",
        b"\0",
        b"\n",
        b" ",
        b":",
        b"*",
        b"?",
        b"\"",
        b"|",
        b"<",
        b"CON",
        b"nul",
        b"com1",
        b".txt",
        b".tar",
        b".1",
        b"_",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xc0\xae",
        b"\xf8\x88\x80\x80\x80",
        "é".as_bytes(),
        "É".as_bytes(),
        "\u{202e}".as_bytes(),
        "\u{200b}".as_bytes(),
        "\u{feff}".as_bytes(),
        "\u{85}".as_bytes(),
        "😀".as_bytes(),
        &long,
        b".extension",
        b"a.1",
    ];
    (0..rng.below(4)).flat_map(|_| rng.choose(&parts).copied().unwrap_or_default().to_vec()).collect()
}

/// Hashes are made for no more pieces than this: enough for 2^48 bytes in pieces of 2^28.
const MAX_PIECES: u64 = 1 << 20;

/// Longer files are not hashed: their roots are made up.
const MOST_HASHED: u64 = 1 << 20;
