use super::*;
use crate::file::tests::info;
use crate::fs::sim::{Failure, SimFs, Survival};
use crate::store::Storage as _;
use crate::{Access, FileStorage, StorageFolder};
use unchoke_core::{Sha1Hash, Sha256Hash};

fn magnet(number: u8) -> ListedTorrent {
    let mut torrent = ListedTorrent::new(InfoHashes::v1(Sha1Hash::new([number; 20])));
    torrent.trackers = vec![vec!["udp://a:1".to_owned(), "http://b/announce".to_owned()], vec!["udp://c:2".to_owned()]];
    torrent
}

fn whole(folder: &Path) -> ListedTorrent {
    let info = info("t", &[("a", 40_000), ("b", 60_000)]);
    let mut torrent = ListedTorrent::new(info.info_hashes());
    torrent.info = Some(info);
    torrent.folder = FileStorage::new(folder).preallocate().folder();
    torrent.file_priorities =
        vec![FilesPriority { first: 0, last: u32::MAX, priority: 0 }, FilesPriority { first: 1, last: 1, priority: 3 }];
    (torrent.download_limit, torrent.upload_limit) = (Some(0), Some(u64::MAX));
    torrent
}

#[test]
fn what_is_read_is_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let list = TorrentList::new(root.path().join("list"));
    assert!(list.load().unwrap().torrents.is_empty() && !root.path().join("list").exists());
    list.put(&magnet(7)).unwrap();
    let listed = whole(root.path());
    list.put(&listed).unwrap();
    let found = list.load().unwrap();
    assert!(found.faults.is_empty() && found.torrents.len() == 2);
    let mut torrents = found.torrents;
    torrents.sort_by_key(|torrent| torrent.info.is_none());
    let [read, link] = &torrents[..] else { panic!() };
    assert_eq!((link.info_hashes, &link.trackers), (magnet(7).info_hashes, &magnet(7).trackers));
    assert!(link.folder.is_none() && link.download_limit.is_none());
    assert_eq!(read.info.as_ref().unwrap().raw(), listed.info.as_ref().unwrap().raw());
    assert_eq!(read.file_priorities, listed.file_priorities);
    assert_eq!(
        (read.download_limit, read.upload_limit),
        (Some(0), Some(i64::MAX as u64)),
        "as far as there are numbers"
    );
    assert_eq!(read.folder, Some(StorageFolder::new(root.path(), Access::Preallocate)));
    assert_eq!(FileStorage::from(read.folder.clone().unwrap()).folder(), read.folder);
    list.remove(&listed.info_hashes).unwrap();
    list.remove(&listed.info_hashes).unwrap();
    assert_eq!(list.load().unwrap().torrents.len(), 1);
}

#[test]
fn only_a_folder_of_the_system_is_a_place_to_come_back_to() {
    assert_eq!(FileStorage::on(SimFs::new()).folder(), None);
    let mut torrent = magnet(1);
    torrent.folder = Some(StorageFolder::new("relative", Access::ReadOnly));
    let folder = ListedTorrent::from_bytes(&torrent.to_bytes()).unwrap().folder.unwrap();
    assert!(folder.path().is_absolute() && folder.path().ends_with("relative") && folder.access() == Access::ReadOnly);
}

#[test]
fn b18_a_file_that_is_damaged_is_told_and_hinders_no_other() {
    let root = tempfile::tempdir().unwrap();
    let list = TorrentList::new(root.path());
    [1, 2, 3].iter().for_each(|number| list.put(&magnet(*number)).unwrap());
    let bad = root.path().join(format!("{}.entry", magnet(2).info_hashes));
    let sound = std::fs::read(&bad).unwrap();
    let fault = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        let mut found = list.load().unwrap();
        assert_eq!(found.torrents.len(), 2);
        match found.faults.pop() {
            Some(ListError::Damaged { path, source }) if found.faults.is_empty() && path == bad => source,
            other => panic!("{other:?}"),
        }
    };
    for at in 0..sound.len() {
        let _ = fault(&sound[..at]);
        let mut changed = sound.clone();
        changed[at] ^= 1;
        let _ = fault(&changed);
    }
    assert!(matches!(fault(&magnet(3).to_bytes()), EntryError::Field("info-hash")), "it is another torrent's");
    let entry = b"d2:v120:aaaaaaaaaaaaaaaaaaaa7:unknowni5e6:folder8:relativee";
    assert!(matches!(fault(&signed(entry)), EntryError::Field("folder")));
    std::fs::File::options().write(true).open(&bad).unwrap().set_len(entry::MAX_LEN + 1).unwrap();
    let found = list.load().unwrap();
    assert!(matches!(found.faults[..], [ListError::Damaged { source: EntryError::TooLong, .. }]), "{found:?}");
    std::fs::remove_file(&bad).unwrap();
    std::fs::create_dir(&bad).unwrap();
    assert!(matches!(list.load().unwrap().faults[..], [ListError::Io { .. }]));
    std::fs::remove_dir(&bad).unwrap();
    std::fs::write(root.path().join("notes.txt"), "mine").unwrap();
    let found = list.load().unwrap();
    assert_eq!((found.torrents.len(), found.faults.len()), (2, 0));
}

fn signed(entry: &[u8]) -> Vec<u8> {
    unchoke_bencode::encode(|value| {
        value.dict(|fields| {
            fields.bytes("entry", entry);
            fields.bytes("sha1", unchoke_core::hash::sha1(entry).as_bytes());
        })
    })
}

#[test]
fn fields_that_make_no_sense_are_named_and_unknown_ones_left_out() {
    let read = |rest: &str| {
        let entry = format!("d{rest}2:v120:aaaaaaaaaaaaaaaaaaaae");
        ListedTorrent::from_bytes(&signed(entry.as_bytes())).map_err(|error| error.to_string())
    };
    assert!(read("5:thingl1:ae").is_ok());
    for (rest, field) in [
        ("6:access5:write6:folder3:abc", "folder"),
        ("6:access4:what6:folder4:/abc", "access"),
        ("8:downloadi-1e", "download"),
        ("10:prioritiesll1:aee", "priorities"),
        ("10:prioritiesli1ei2ei3ee", "priorities"),
        ("10:prioritieslli2ei1ei3eee", "priorities"),
        ("10:prioritieslli1ei2ei4eee", "priorities"),
        ("8:trackersli1ee", "trackers"),
        ("6:upload1:a", "upload"),
        ("7:torrent2:de", "bad info dictionary"),
        ("4:info2:de", "bad info dictionary"),
    ] {
        let error = read(rest).unwrap_err();
        assert!(error.contains(field), "{rest}: {error}");
    }
    assert!(ListedTorrent::from_bytes(&signed(b"de")).is_err());
    // The info dictionary of another torrent is none of this one.
    let mut other = whole(Path::new("/x"));
    other.info_hashes = magnet(1).info_hashes;
    assert!(matches!(ListedTorrent::from_bytes(&other.to_bytes()), Err(EntryError::Field("info-hash"))));
    let mut half = magnet(9);
    half.info_hashes = InfoHashes::v2(Sha256Hash::new([9; 32]));
    assert_eq!(ListedTorrent::from_bytes(&half.to_bytes()).unwrap().info_hashes, half.info_hashes);
}

/// What a client does with its list.
type Step = fn(&TorrentList) -> Result<(), ListError>;

const STEPS: [Step; 6] = [
    |list| list.put(&magnet(1)),
    |list| list.put(&magnet(2)),
    |list| list.put(&magnet(3)),
    |list| list.remove(&magnet(2).info_hashes),
    |list| {
        let mut changed = magnet(3);
        changed.download_limit = Some(5);
        list.put(&changed)
    },
    |list| list.remove(&magnet(1).info_hashes),
];

fn state(list: &TorrentList, what: &str) -> Vec<Vec<u8>> {
    let found = list.load().unwrap();
    assert!(found.faults.is_empty(), "{what}: {:?}", found.faults);
    found.torrents.iter().map(ListedTorrent::to_bytes).collect()
}

/// The states before the first step and after each.
fn states() -> Vec<Vec<Vec<u8>>> {
    let list = TorrentList::on(SimFs::new());
    let mut states = vec![state(&list, "at the start")];
    for step in STEPS {
        step(&list).unwrap();
        states.push(state(&list, "without a crash"));
    }
    states
}

#[test]
fn after_a_crash_at_any_operation_each_step_has_been_made_or_not() {
    let states = states();
    for at in 0.. {
        let mut is_over = false;
        for survival in [Survival::All, Survival::Nothing, Survival::Random(at), Survival::Torn(at)] {
            let what = format!("crash at {at}, {survival:?}");
            let fs = SimFs::new();
            fs.fail_at(at, Failure::Crash);
            let list = TorrentList::on(fs.clone());
            let made = STEPS.iter().take_while(|step| step(&list).is_ok()).count();
            is_over = made == STEPS.len();
            let list = TorrentList::on(fs.crash(survival));
            let left = state(&list, &what);
            let may_be = states.get(made..=(made + 1).min(STEPS.len())).unwrap();
            assert!(may_be.contains(&left), "{what}: {made} steps were made, {} torrents are there", left.len());
            STEPS[made.min(5)..].iter().for_each(|step| step(&list).unwrap());
            assert_eq!(state(&list, &what), *states.last().unwrap(), "{what}");
        }
        if is_over {
            assert!(at > 20, "{at}");
            return;
        }
    }
}

#[test]
fn a_disk_that_fails_is_told_and_nothing_is_torn() {
    let states = states();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for at in 0.. {
            let fs = SimFs::new();
            fs.fail_at(at, Failure::Once(kind));
            let list = TorrentList::on(fs.clone());
            let mut failed = false;
            for (number, step) in STEPS.iter().enumerate() {
                if let Err(error) = step(&list) {
                    assert!(matches!(error, ListError::Io { .. }) && !failed, "{error:?}");
                    failed = true;
                    assert!(states[number..=number + 1].contains(&state(&list, "failed")), "at {at}");
                    step(&list).unwrap();
                }
                assert_eq!(state(&list, "made"), states[number + 1], "at {at}");
            }
            if !failed {
                break;
            }
        }
    }
}
