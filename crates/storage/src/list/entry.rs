//! One torrent of a list, as bytes: a bencoded dictionary, and the SHA-1 of it, which tells what a disk has changed.

use crate::folder::{Access, StorageFolder};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unchoke_bencode::{DecodeLimits, Dict, Value, decode, encode};
use unchoke_core::hash::sha1;
use unchoke_core::{InfoHashes, Sha1Hash, Sha256Hash};
use unchoke_metainfo::info::MAX_TORRENT_LEN;
use unchoke_metainfo::parts::Parts;
use unchoke_metainfo::{Info, Metainfo, MetainfoError};

/// The longest file that is read or written: a torrent file and something.
pub(super) const MAX_LEN: u64 = MAX_TORRENT_LEN as u64 + (1 << 20);

/// A torrent of a list: what a client needs to have it again as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedTorrent {
    /// Its names.
    pub info_hashes: InfoHashes,
    /// Its info dictionary; `None` while only the name is known, as of a magnet link.
    pub info: Option<Arc<Info>>,
    /// Addresses of trackers, in tiers.
    pub trackers: Vec<Vec<String>>,
    /// Where its data is, if that is a folder of the system.
    pub folder: Option<StorageFolder>,
    /// How much files are wanted. Of several that name a file the last one counts; a file that none names is normal.
    pub file_priorities: Vec<FilesPriority>,
    /// Download limit in bytes per second; `None` is unlimited.
    pub download_limit: Option<u64>,
    /// Upload limit in bytes per second; `None` is unlimited.
    pub upload_limit: Option<u64>,
}

/// How much files are wanted: 0 not at all, 1 after all others, 2 normally, 3 before all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a range and what holds for it")]
pub struct FilesPriority {
    /// The number of the first file.
    pub first: u32,
    /// The number of the last file.
    pub last: u32,
    /// How much they are wanted.
    pub priority: u8,
}

/// Why bytes list no torrent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// They are not bencoded.
    #[error("not bencoded")]
    Bencode(#[from] unchoke_bencode::Error),
    /// A field is missing or makes no sense.
    #[error("no {0}, or one without sense")]
    Field(&'static str),
    /// They are not as they were written.
    #[error("checksum does not match")]
    Checksum,
    /// The info dictionary describes no torrent.
    #[error("bad info dictionary")]
    Info(#[from] MetainfoError),
    /// There are too many of them.
    #[error("too long")]
    TooLong,
}

impl ListedTorrent {
    /// A torrent of which only the name is known.
    #[must_use]
    pub fn new(info_hashes: InfoHashes) -> Self {
        Self {
            info_hashes,
            info: None,
            trackers: Vec::new(),
            folder: None,
            file_priorities: Vec::new(),
            download_limit: None,
            upload_limit: None,
        }
    }

    /// The torrent as it is written to a list.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entry = self.entry();
        encode(|value| {
            value.dict(|fields| {
                fields.bytes("entry", &entry);
                fields.bytes("sha1", sha1(&entry).as_bytes());
            })
        })
    }

    fn entry(&self) -> Vec<u8> {
        let limit = |limit: Option<u64>| limit.map(|rate| i64::try_from(rate).unwrap_or(i64::MAX));
        let folder = self.folder.as_ref().and_then(|folder| Some((folder.access(), whole_path(folder.path())?)));
        encode(|value| {
            value.dict(|fields| {
                if let Some((access, _)) = &folder {
                    fields.bytes("access", word(*access));
                }
                limit(self.download_limit).into_iter().for_each(|rate| fields.int("download", rate));
                if let Some((_, path)) = &folder {
                    fields.bytes("folder", path);
                }
                if let Some(info) = self.info.as_ref().filter(|info| info.missing_layers().next().is_some()) {
                    fields.bytes("info", info.raw());
                }
                if !self.file_priorities.is_empty() {
                    fields.entry("priorities", |value| {
                        value.list(|list| {
                            for it in self.file_priorities.iter() {
                                list.item(|item| {
                                    item.list(|numbers| {
                                        let triple = [it.first, it.last, it.priority.into()];
                                        triple.iter().for_each(|number| numbers.int((*number).into()));
                                    })
                                });
                            }
                        })
                    });
                }
                if let Some(info) = self.info.as_ref().filter(|info| info.missing_layers().next().is_none()) {
                    // With the piece layers, which are no part of the info dictionary.
                    fields.bytes("torrent", Metainfo::new(Arc::clone(info), Parts::default()).to_bytes());
                }
                fields.entry("trackers", |value| {
                    value.list(|tiers| {
                        for tier in self.trackers.iter() {
                            let urls = tier.iter();
                            tiers.item(|item| item.list(|list| urls.for_each(|url| list.bytes(url))));
                        }
                    })
                });
                limit(self.upload_limit).into_iter().for_each(|rate| fields.int("upload", rate));
                self.info_hashes.get_v1().iter().for_each(|hash| fields.bytes("v1", hash.as_bytes()));
                self.info_hashes.get_v2().iter().for_each(|hash| fields.bytes("v2", hash.as_bytes()));
            })
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has written. Fields that are unknown are left out.
    ///
    /// # Errors
    /// If the bytes list no torrent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut limits = DecodeLimits::default();
        limits.max_len = usize::try_from(MAX_LEN).unwrap_or(usize::MAX);
        let document = decode(bytes, &limits)?;
        let outer = document.root().as_dict().ok_or(EntryError::Field("dictionary"))?;
        let entry = outer.get(b"entry").and_then(Value::as_bytes).ok_or(EntryError::Field("entry"))?;
        if outer.get(b"sha1").and_then(Value::as_bytes) != Some(sha1(entry).as_bytes()) {
            return Err(EntryError::Checksum);
        }
        let document = decode(entry, &limits)?;
        let fields = document.root().as_dict().ok_or(EntryError::Field("dictionary"))?;
        let bytes = |key: &[u8]| fields.get(key).and_then(Value::as_bytes);
        let info = match (bytes(b"torrent"), bytes(b"info")) {
            (Some(torrent), _) => Some(Arc::clone(Metainfo::from_bytes(torrent)?.info())),
            (None, Some(info)) => Some(Arc::new(Info::from_bytes(info.to_vec())?)),
            (None, None) => None,
        };
        let (v1, v2) = (
            bytes(b"v1").and_then(|hash| hash.try_into().ok()).map(Sha1Hash::new),
            bytes(b"v2").and_then(|hash| hash.try_into().ok()).map(Sha256Hash::new),
        );
        let info_hashes = match (v1, v2) {
            (Some(v1), Some(v2)) => InfoHashes::hybrid(v1, v2),
            (Some(v1), None) => InfoHashes::v1(v1),
            (None, Some(v2)) => InfoHashes::v2(v2),
            (None, None) => return Err(EntryError::Field("info-hash")),
        };
        // A magnet link may have named one half of a hybrid.
        let is_of = |info: &Arc<Info>| {
            let its = info.info_hashes();
            (v1.is_none() || its.get_v1() == v1) && (v2.is_none() || its.get_v2() == v2)
        };
        if !info.as_ref().is_none_or(is_of) {
            return Err(EntryError::Field("info-hash"));
        }
        Ok(Self {
            info_hashes,
            info,
            trackers: trackers(fields).ok_or(EntryError::Field("trackers"))?,
            folder: folder(fields)?,
            file_priorities: priorities(fields).ok_or(EntryError::Field("priorities"))?,
            download_limit: limit(fields, b"download").ok_or(EntryError::Field("download"))?,
            upload_limit: limit(fields, b"upload").ok_or(EntryError::Field("upload"))?,
        })
    }
}

fn trackers(fields: Dict<'_, '_>) -> Option<Vec<Vec<String>>> {
    let Some(tiers) = fields.get(b"trackers") else { return Some(Vec::new()) };
    let url = |value: Value<'_, '_>| value.as_str().map(str::to_owned);
    tiers.as_list()?.iter().map(|tier| tier.as_list()?.iter().map(url).collect()).collect()
}

fn priorities(fields: Dict<'_, '_>) -> Option<Vec<FilesPriority>> {
    let Some(list) = fields.get(b"priorities") else { return Some(Vec::new()) };
    let priority = |value: Value<'_, '_>| {
        let numbers: Vec<u64> = value.as_list()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
        let [first, last, priority] = *numbers else { return None };
        let (first, last) = (u32::try_from(first).ok()?, u32::try_from(last).ok()?);
        u8::try_from(priority).ok().filter(|it| *it <= 3 && first <= last).map(|priority| FilesPriority {
            first,
            last,
            priority,
        })
    };
    list.as_list()?.iter().map(priority).collect()
}

/// `None` if there is one without sense.
#[expect(clippy::option_option, reason = "no limit is a limit, too")]
fn limit(fields: Dict<'_, '_>, key: &[u8]) -> Option<Option<u64>> {
    match fields.get(key) {
        Some(value) => value.as_u64().map(Some),
        None => Some(None),
    }
}

fn folder(fields: Dict<'_, '_>) -> Result<Option<StorageFolder>, EntryError> {
    let Some(folder) = fields.get(b"folder") else { return Ok(None) };
    let path = folder.as_bytes().and_then(path).ok_or(EntryError::Field("folder"))?;
    let access = fields.get(b"access").and_then(Value::as_bytes).ok_or(EntryError::Field("access"))?;
    let known = [Access::ReadWrite, Access::Preallocate, Access::ReadOnly].into_iter().find(|it| word(*it) == access);
    Ok(Some(StorageFolder::new(path, known.ok_or(EntryError::Field("access"))?)))
}

fn word(access: Access) -> &'static [u8] {
    match access {
        Access::Preallocate => b"preallocate",
        Access::ReadWrite => b"write",
        Access::ReadOnly => b"read",
    }
}

/// The whole path, as bytes; `None` if it cannot be written down.
fn whole_path(path: &Path) -> Option<Vec<u8>> {
    path_bytes(&std::path::absolute(path).ok()?)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not every path has bytes")]
fn path_bytes(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(path.as_os_str().as_bytes().to_vec())
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Option<Vec<u8>> {
    path.to_str().map(|path| path.as_bytes().to_vec())
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
    (path.is_absolute() && !bytes.contains(&0)).then(|| path.to_owned())
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    let path = Path::new(std::str::from_utf8(bytes).ok()?);
    (path.is_absolute() && !bytes.contains(&0)).then(|| path.to_owned())
}
