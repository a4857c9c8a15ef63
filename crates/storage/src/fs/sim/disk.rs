//! What a simulated disk holds: as programs see it, and as a crash would leave it.

use super::Survival;
use crate::fs::FileStamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use unchoke_core::{Rng, Seed};

/// The number of a file or folder. Numbers are never used again.
pub(super) type NodeId = usize;

#[derive(Debug)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    /// Changes of names that are not durable, in order.
    names: Vec<NameChange>,
    /// Ticks once for each change.
    clock: i64,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Folder(FolderNode),
}

#[derive(Clone, Default, Debug)]
struct FileNode {
    live: Vec<u8>,
    modified: i64,
    durable: Vec<u8>,
    durable_modified: i64,
    pending: Vec<Change>,
}

#[derive(Clone, Default, Debug)]
struct FolderNode {
    live: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// One step in which names change: `(folder, name, what has it then)`.
type NameChange = Vec<(NodeId, String, Option<NodeId>)>;

const ROOT: NodeId = 0;
const SECTOR: usize = 512;

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Node::Folder(FolderNode::default())], names: Vec::new(), clock: 0 }
    }
}

impl Disk {
    /// The regular file at a path.
    pub(super) fn file(&self, path: &[&str]) -> io::Result<NodeId> {
        let node = self.walk(path)?;
        match self.nodes.get(node) {
            Some(Node::File(_)) => Ok(node),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn content(&self, node: NodeId) -> Option<&[u8]> {
        match self.nodes.get(node) {
            Some(Node::File(file)) => Some(&file.live),
            _ => None,
        }
    }

    pub(super) fn stamp(&self, node: NodeId) -> io::Result<FileStamp> {
        match self.nodes.get(node) {
            Some(Node::File(file)) => Ok(FileStamp { length: file.live.len() as u64, modified: file.modified }),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        let length = |node: &Node| match node {
            Node::File(file) => file.live.len() as u64,
            Node::Folder(_) => 0,
        };
        self.nodes.iter().map(length).sum()
    }

    /// The paths of all files.
    pub(super) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, node)) = open.pop() {
            match self.nodes.get(node) {
                Some(Node::File(_)) => found.push(path),
                Some(Node::Folder(folder)) => {
                    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                    open.extend(folder.live.iter().map(|(name, node)| (join(name), *node)));
                }
                None => {}
            }
        }
        found.sort();
        found
    }

    /// The names in a folder.
    pub(super) fn list(&self, path: &[&str]) -> io::Result<Vec<String>> {
        Ok(self.folder(self.walk(path)?)?.live.keys().cloned().collect())
    }

    /// The first folder on the way to a path that is not there.
    pub(super) fn missing_folder<'p>(&self, path: &'p [&'p str]) -> io::Result<Option<&'p [&'p str]>> {
        for length in 1..path.len() {
            let part = path.get(..length).unwrap_or_default();
            match self.walk(part) {
                Ok(node) => drop(self.folder(node)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(part)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(super) fn make_folder(&mut self, path: &[&str]) -> io::Result<NodeId> {
        self.make(path, Node::Folder(FolderNode::default()))
    }

    pub(super) fn make_file(&mut self, path: &[&str]) -> io::Result<NodeId> {
        let modified = self.tick();
        self.make(path, Node::File(FileNode { modified, ..FileNode::default() }))
    }

    pub(super) fn write(&mut self, node: NodeId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(node, Change::Write { offset, bytes: bytes.to_vec() })
    }

    pub(super) fn set_len(&mut self, node: NodeId, length: u64) -> io::Result<()> {
        self.change(node, Change::Length(usize::try_from(length).map_err(io::Error::other)?))
    }

    pub(super) fn sync(&mut self, node: NodeId) -> io::Result<()> {
        let file = self.file_mut(node)?;
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    /// What is pending never becomes durable.
    pub(super) fn forget_pending(&mut self, node: NodeId) {
        if let Ok(file) = self.file_mut(node) {
            file.pending.clear();
        }
    }

    pub(super) fn rename(&mut self, from: &[&str], to: &[&str]) -> io::Result<()> {
        let node = self.file(from)?;
        let (old, old_name) = self.parent(from)?;
        let (new, new_name) = self.parent(to)?;
        if self.walk(to).is_ok_and(|there| matches!(self.nodes.get(there), Some(Node::Folder(_)))) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.name(vec![(old, old_name, None), (new, new_name, Some(node))]);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &[&str], to: &[&str]) -> io::Result<()> {
        let node = self.file(from)?;
        let (folder, name) = self.parent(to)?;
        if self.walk(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.name(vec![(folder, name, Some(node))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &[&str]) -> io::Result<()> {
        let node = self.walk(path)?;
        if let Some(Node::Folder(folder)) = self.nodes.get(node)
            && !folder.live.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (folder, name) = self.parent(path)?;
        self.name(vec![(folder, name, None)]);
        Ok(())
    }

    /// Makes the changes of a folder's names durable, with those that came before and cannot be told apart from them.
    pub(super) fn sync_folder(&mut self, path: &[&str]) -> io::Result<()> {
        let node = self.walk(path)?;
        self.folder(node)?;
        let mut touched = BTreeSet::from([node]);
        loop {
            let before = touched.len();
            for change in &self.names {
                if change.iter().any(|(folder, ..)| touched.contains(folder)) {
                    touched.extend(change.iter().map(|(folder, ..)| *folder));
                }
            }
            if touched.len() == before {
                break;
            }
        }
        let (durable, pending) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|change| change.iter().any(|(folder, ..)| touched.contains(folder)));
        self.names = pending;
        durable.iter().for_each(|change| self.settle(change));
        Ok(())
    }

    /// The disk as the next start finds it.
    pub(super) fn after_crash(&self, survival: Survival) -> Self {
        let (seed, torn) = match survival {
            Survival::Random(seed) => (seed, false),
            Survival::Torn(seed) => (seed, true),
            Survival::All | Survival::Nothing => (0, false),
        };
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(seed.to_be_bytes()).for_each(|(to, from)| *to = from);
        let mut rng = Seed::new(bytes).rng();
        let survives = |rng: &mut Rng| match survival {
            Survival::All => true,
            Survival::Nothing => false,
            Survival::Random(_) | Survival::Torn(_) => rng.below(2) == 0,
        };
        let mut left = Self { nodes: self.nodes.clone(), names: Vec::new(), clock: self.clock };
        // Later changes of a folder do not survive without the earlier ones.
        let mut lost: BTreeSet<NodeId> = BTreeSet::new();
        for change in &self.names {
            if change.iter().any(|(folder, ..)| lost.contains(folder)) || !survives(&mut rng) {
                lost.extend(change.iter().map(|(folder, ..)| *folder));
            } else {
                left.settle(change);
            }
        }
        for node in &mut left.nodes {
            match node {
                Node::Folder(folder) => folder.live = folder.durable.clone(),
                Node::File(file) => {
                    for change in std::mem::take(&mut file.pending) {
                        if torn {
                            let sectors = change.sectors();
                            sectors
                                .into_iter()
                                .filter(|_| survives(&mut rng))
                                .for_each(|it| it.apply(&mut file.durable));
                        } else if survives(&mut rng) {
                            change.apply(&mut file.durable);
                        }
                    }
                    // The process alone has ended: the system still has what a failed sync has not brought to the disk.
                    if survival == Survival::All {
                        file.durable = file.live.clone();
                    }
                    if survives(&mut rng) {
                        file.durable_modified = file.modified;
                    }
                    file.live = file.durable.clone();
                    file.modified = file.durable_modified;
                }
            }
        }
        left
    }

    fn change(&mut self, node: NodeId, change: Change) -> io::Result<()> {
        let modified = self.tick();
        let file = self.file_mut(node)?;
        change.apply(&mut file.live);
        file.modified = modified;
        file.pending.push(change);
        Ok(())
    }

    fn tick(&mut self) -> i64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    fn make(&mut self, path: &[&str], node: Node) -> io::Result<NodeId> {
        let (folder, name) = self.parent(path)?;
        let id = self.nodes.len();
        self.nodes.push(node);
        self.name(vec![(folder, name, Some(id))]);
        Ok(id)
    }

    /// Changes names as programs see them.
    fn name(&mut self, change: NameChange) {
        for (folder, name, node) in &change {
            if let Some(Node::Folder(folder)) = self.nodes.get_mut(*folder) {
                put(&mut folder.live, name, *node);
            }
        }
        self.names.push(change);
    }

    /// Makes a change durable.
    fn settle(&mut self, change: &NameChange) {
        for (folder, name, node) in change {
            if let Some(Node::Folder(folder)) = self.nodes.get_mut(*folder) {
                put(&mut folder.durable, name, *node);
            }
        }
    }

    fn walk(&self, path: &[&str]) -> io::Result<NodeId> {
        path.iter().try_fold(ROOT, |node, name| {
            self.folder(node)?.live.get(*name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    /// The folder of the last name of a path, and that name.
    fn parent(&self, path: &[&str]) -> io::Result<(NodeId, String)> {
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let node = self.walk(folders)?;
        self.folder(node)?;
        Ok((node, (*name).to_owned()))
    }

    fn folder(&self, node: NodeId) -> io::Result<&FolderNode> {
        match self.nodes.get(node) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset.saturating_add(bytes.len());
                if content.len() < end && !bytes.is_empty() {
                    content.resize(end, 0);
                }
                if let Some(part) = content.get_mut(*offset..end) {
                    part.copy_from_slice(bytes);
                }
            }
        }
    }

    /// The change in parts that a disk does one by one.
    fn sectors(self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self] };
        let first = SECTOR.saturating_sub(offset % SECTOR).min(bytes.len());
        let (head, tail) = bytes.split_at(first);
        let mut at = offset;
        let parts = std::iter::once(head).chain(tail.chunks(SECTOR)).filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let begin = at;
                at = at.saturating_add(part.len());
                Self::Write { offset: begin, bytes: part.to_vec() }
            })
            .collect()
    }
}

fn put(names: &mut BTreeMap<String, NodeId>, name: &str, node: Option<NodeId>) {
    match node {
        Some(node) => drop(names.insert(name.to_owned(), node)),
        None => drop(names.remove(name)),
    }
}
