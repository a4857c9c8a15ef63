use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn secret() -> Arc<SecretKey> {
    Arc::new(SecretKey::from_seed(&Seed::new([1; 32])))
}

fn torrent(number: u8) -> InfoHash {
    InfoHash::new([number; 20])
}

fn item(seq: i64, number: u8) -> Item {
    Item::sign(&secret(), b"salt", seq, &torrent_value(torrent(number))).unwrap()
}

fn machine(now: Instant) -> MutableTorrent {
    let config = MutableTorrentConfig::default();
    MutableTorrent::new(now, config, secret().public_key(), b"salt", &Seed::new([2; 32])).unwrap()
}

fn finished(stored: usize) -> Outcome {
    Outcome::Finished { stored, scrape: None }
}

/// Lets the machine wait and demands that it looks the item up. Returns the time.
fn asks(machine: &mut MutableTorrent) -> Instant {
    let at = machine.poll_timeout().unwrap();
    machine.handle_timeout(at);
    assert_eq!(machine.poll_request(), Some(ItemRequest::Get));
    assert_eq!((machine.poll_request(), machine.poll_timeout()), (None, None));
    machine.handle_timeout(at + 10 * MINUTE);
    assert_eq!(machine.poll_request(), None, "one request at a time");
    at
}

fn puts(machine: &mut MutableTorrent) -> (Item, Option<i64>) {
    match machine.poll_request() {
        Some(ItemRequest::Put { item, cas }) => (item, cas),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_higher_sequence_number_counts() {
    let mut now = Instant::now();
    let mut machine = machine(now);
    let foreign = Item::sign(&secret(), b"other", 9, &torrent_value(torrent(9))).unwrap();
    for (seq, number, heard) in [(5, 1, true), (4, 2, false), (5, 3, false), (6, 4, true)] {
        now = asks(&mut machine);
        machine.handle_found(now, Some(item(seq, number)), &finished(0));
        let event = machine.poll_event();
        let expected = MutableTorrentEvent::Updated { seq, info_hash: torrent(number) };
        assert_eq!(event, heard.then_some(expected), "{seq}");
        if let Some(ItemRequest::Put { .. }) = machine.poll_request() {
            machine.handle_stored(now, &finished(8));
            assert!(matches!(machine.poll_event(), Some(MutableTorrentEvent::StoredAgain { .. })));
        }
    }
    machine.handle_known(now, foreign);
    assert_eq!(machine.newest().and_then(Item::seq), Some(6));
    // Something that is no torrent is told, and not kept alive.
    now = asks(&mut machine);
    let other = Item::sign(&secret(), b"salt", 7, b"i1e").unwrap();
    machine.handle_found(now, Some(other), &finished(0));
    let error = TorrentValueError::NotADictionary;
    assert_eq!(machine.poll_event(), Some(MutableTorrentEvent::NoTorrent { seq: 7, error }));
    for _ in 0..20 {
        now = asks(&mut machine);
        machine.handle_found(now, None, &finished(0));
        assert_eq!(machine.poll_request(), None);
    }
}

#[test]
fn a_version_is_stored_again_each_hour_and_asked_for_in_between() {
    let begin = Instant::now();
    let mut machine = machine(begin);
    let (mut questions, mut stored) = (0, Vec::new());
    let mut now = begin;
    while now < begin + 600 * MINUTE {
        now = asks(&mut machine);
        questions += 1;
        machine.handle_found(now, Some(item(3, 1)), &finished(0));
        if let Some(ItemRequest::Put { item: again, cas }) = machine.poll_request() {
            assert_eq!((again, cas), (item(3, 1), None));
            machine.handle_stored(now, &finished(8));
            stored.push(now);
        }
    }
    let gaps = stored.windows(2).map(|two| two[1] - two[0]);
    assert!(stored[0] < begin + 61 * MINUTE && gaps.clone().count() >= 9, "{stored:?}");
    assert!(gaps.into_iter().all(|gap| (45 * MINUTE..=61 * MINUTE).contains(&gap)));
    assert!((600 / 20..=600 / 15 + 20).contains(&questions), "{questions}");
}

#[test]
fn what_is_not_found_is_asked_for_ever_less_often() {
    let begin = Instant::now();
    let mut machine = machine(begin);
    let mut questions = 0;
    let mut now = begin;
    while now < begin + 120 * MINUTE {
        now = asks(&mut machine);
        questions += 1;
        machine.handle_found(now, None, &Outcome::NoNodes);
        assert_eq!(machine.poll_request(), None);
    }
    assert!((12..=17).contains(&questions), "{questions}");
}

#[test]
fn a_publication_follows_on_the_newest_version() {
    let now = Instant::now();
    let mut machine = machine(now);
    let other = Arc::new(SecretKey::from_seed(&Seed::new([3; 32])));
    assert_eq!(machine.publish(now, other, torrent(1)), Err(PublishError::WrongKey(secret().public_key())));
    machine.publish(now, secret(), torrent(1)).unwrap();
    assert_eq!(machine.poll_request(), Some(ItemRequest::Get));
    machine.handle_found(now, None, &finished(0));
    assert_eq!(puts(&mut machine), (item(1, 1), None));
    machine.handle_stored(now, &finished(8));
    assert_eq!(machine.poll_event(), Some(MutableTorrentEvent::Published { seq: 1, info_hash: torrent(1), stored: 8 }));
    // Somebody else with the key has got as far as 7 by now.
    machine.publish(now, secret(), torrent(2)).unwrap();
    assert_eq!(machine.poll_request(), Some(ItemRequest::Get));
    machine.handle_found(now, Some(item(7, 9)), &finished(0));
    assert_eq!(machine.poll_event(), Some(MutableTorrentEvent::Updated { seq: 7, info_hash: torrent(9) }));
    assert_eq!(puts(&mut machine), (item(8, 2), Some(7)));
    machine.handle_stored(now, &finished(8));
    assert_eq!(machine.poll_event(), Some(MutableTorrentEvent::Published { seq: 8, info_hash: torrent(2), stored: 8 }));
    // What is the newest version already needs no new number.
    machine.publish(now, secret(), torrent(2)).unwrap();
    assert_eq!(machine.poll_request(), Some(ItemRequest::Get));
    machine.handle_found(now, Some(item(8, 2)), &finished(0));
    assert_eq!(puts(&mut machine), (item(8, 2), None));
    machine.handle_stored(now, &finished(8));
    assert!(matches!(machine.poll_event(), Some(MutableTorrentEvent::Published { seq: 8, .. })));
    // There is no number after the last.
    machine.handle_known(now, item(i64::MAX, 3));
    machine.publish(now, secret(), torrent(4)).unwrap();
    assert_eq!(machine.poll_request(), Some(ItemRequest::Get));
    machine.handle_found(now, None, &finished(0));
    let failed = MutableTorrentEvent::NotPublished { info_hash: torrent(4), error: PublishError::NoSeq };
    assert_eq!(machine.poll_event(), Some(failed));
}

#[test]
fn a_publication_that_is_refused_begins_again_and_is_given_up_in_the_end() {
    let now = Instant::now();
    let mut machine = machine(now);
    machine.publish(now, secret(), torrent(1)).unwrap();
    let _ = machine.poll_request();
    // Others are always one ahead.
    for seq in 1..=5 {
        machine.handle_found(now, Some(item(seq, 9)), &finished(0));
        assert_eq!(puts(&mut machine), (item(seq + 1, 1), Some(seq)));
        machine.handle_stored(now, &Outcome::Refused(ErrorCode::CAS_MISMATCH));
        if seq < 5 {
            asks(&mut machine);
        }
    }
    let told: Vec<MutableTorrentEvent> = std::iter::from_fn(|| machine.poll_event()).collect();
    let failed = MutableTorrentEvent::NotPublished { info_hash: torrent(1), error: PublishError::Conflict };
    assert_eq!(told.last(), Some(&failed), "{told:?}");
    assert_eq!(told.len(), 6);
    // It is a node that has missed the newest version which refuses, as there is no newer one: it is no longer asked whether it has it.
    machine.publish(now, secret(), torrent(1)).unwrap();
    let _ = machine.poll_request();
    for cas in [Some(5), None] {
        machine.handle_found(now, Some(item(5, 9)), &finished(0));
        assert_eq!(puts(&mut machine), (item(6, 1), cas));
        let outcome = if cas.is_some() { Outcome::Refused(ErrorCode::CAS_MISMATCH) } else { finished(1) };
        machine.handle_stored(now, &outcome);
        if cas.is_some() {
            asks(&mut machine);
        }
    }
    assert!(matches!(machine.poll_event(), Some(MutableTorrentEvent::Published { seq: 6, .. })));
}

#[test]
fn a_publication_that_reaches_nobody_fails() {
    let now = Instant::now();
    let mut machine = machine(now);
    machine.publish(now, secret(), torrent(1)).unwrap();
    let _ = machine.poll_request();
    for attempt in 1..=5 {
        // Nobody knows which number it would have to have, so nothing is stored.
        machine.handle_found(now, None, &Outcome::NoNodes);
        assert_eq!(machine.poll_request(), None);
        if attempt < 5 {
            asks(&mut machine);
        }
    }
    let failed = MutableTorrentEvent::NotPublished { info_hash: torrent(1), error: PublishError::NoNodes };
    assert_eq!(machine.poll_event(), Some(failed));
}

/// The targets of the test vectors of BEP 46.
#[test]
fn targets_are_those_of_bep_46() {
    let hex = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
    let mut key = [0; 32];
    key.iter_mut().zip(hex.as_bytes().chunks(2)).for_each(|(byte, two)| {
        *byte = u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    });
    let target = |salt| crate::item::mutable_target(&PublicKey::new(key), salt).to_string();
    assert_eq!(target(b""), "cc3f9d90b572172053626f9980ce261a850d050b");
    assert_eq!(target(b"n"), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
}
