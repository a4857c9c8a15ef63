//! Torrents in an object store.

use crate::{content, local, same, seed, within};
use std::io::{BufRead as _, BufReader, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use unchoke_core::{Block, PieceIndex};
use unchoke_storage::{CachedStorage, FileStorage, Storage as _, StorageErrorKind};
use unchoke_tokio::{AddTorrent, Client, ObjectStorage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_takes_a_download_and_seeds_it_after_a_restart() {
    let (from, bucket, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let origin = seed(from.path(), &metainfo).await;
    let url = format!("file://{}", bucket.path().display());
    let storage = || {
        let objects = ObjectStorage::builder(&url).group_len(300_000).memory(1 << 20).build().unwrap();
        CachedStorage::new(objects, 1 << 20)
    };
    let total = metainfo.info().geometry().total_len();
    for fetched in [total, 0] {
        let client = Client::builder().build().await.unwrap();
        let add = AddTorrent::from_metainfo(&metainfo, storage()).peers(origin.local_addr());
        let torrent = client.add(add).await.unwrap();
        within(torrent.completed()).await.unwrap();
        assert_eq!(torrent.stats().unwrap().downloaded, fetched);
        client.shutdown().await.unwrap();
    }
    origin.shutdown().await.unwrap();
    let seed = Client::builder().listen(local()).build().await.unwrap();
    seed.add(AddTorrent::from_metainfo(&metainfo, storage())).await.unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
    within(leech.add(add).await.unwrap().completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
}

/// What a TLS connection begins with.
const TLS: u8 = 22;

/// A server that gives every request the answer that is set, and does not speak TLS.
fn answering(answer: Arc<Mutex<String>>) -> SocketAddr {
    let listener = TcpListener::bind(local()).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |stream: TcpStream| -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        if reader.fill_buf()?.first() == Some(&TLS) {
            return Ok(());
        }
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
        let answer = answer.lock().unwrap().clone();
        reader.into_inner().write_all(answer.as_bytes())
    };
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(|stream| drop(serve(stream))));
    address
}

#[test]
fn what_a_server_answers_is_told_by_its_kind() {
    let from = tempfile::tempdir().unwrap();
    let metainfo = content(from.path());
    let answer = Arc::new(Mutex::new(String::new()));
    let address = answering(Arc::clone(&answer));
    let objects = |url: &str| {
        let options = [("region", "a"), ("access_key_id", "b"), ("secret_access_key", "c"), ("allow_http", "true")];
        let builder = ObjectStorage::builder(url).option("endpoint", &format!("http://{address}"));
        options.iter().fold(builder, |builder, (name, value)| builder.option(name, value)).build().unwrap()
    };
    let set = |status: &str, body: &str| {
        let length = body.len();
        let text =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"e\"\r\nConnection: close\r\n\r\n{body}");
        *answer.lock().unwrap() = text;
    };
    let store = objects("s3://bucket/prefix").open(metainfo.info()).unwrap();
    store.write(PieceIndex(0), 0, &[IoSlice::new(&[7; 65_536])]).unwrap();
    store.commit(PieceIndex(0)).unwrap();
    for (status, body, kind) in [
        ("503 Slow Down", "<Error><Code>SlowDown</Code></Error>", StorageErrorKind::Io),
        ("429 Too Many Requests", "", StorageErrorKind::Io),
        ("400 Bad Request", "", StorageErrorKind::Io),
        ("507 Insufficient Storage", "", StorageErrorKind::Full),
        ("403 Forbidden", "<Error><Code>QuotaExceeded</Code></Error>", StorageErrorKind::Full),
        ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>", StorageErrorKind::Denied),
        ("401 Unauthorized", "", StorageErrorKind::Denied),
        ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>", StorageErrorKind::Denied),
    ] {
        set(status, body);
        let error = store.sync().unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error:?}");
    }
    set("200 OK", "");
    store.sync().unwrap();

    // What is said to be there and is not.
    let name = format!("prefix/{}/00000000-00000000", metainfo.info_hashes());
    let entry = format!("<Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>65536</Size>");
    set("200 OK", &format!("<ListBucketResult><Contents>{entry}</Contents></ListBucketResult>"));
    let store = objects("s3://bucket/prefix").open(metainfo.info()).unwrap();
    assert_eq!(store.recover().unwrap().verified, [PieceIndex(0)]);
    set("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>");
    let block = Block { piece: PieceIndex(0), offset: 0, length: 16 };
    assert_eq!(store.read(block, &mut [0; 16]).unwrap_err().kind(), StorageErrorKind::Missing);
    set("200 OK", "a whole object instead of a range of it");
    assert_eq!(store.read(block, &mut [0; 16]).unwrap_err().kind(), StorageErrorKind::Io);
    // The other side ends the handshake; nothing panics for want of a provider.
    let secure = ObjectStorage::builder("s3://bucket").option("endpoint", &format!("https://{address}"));
    let secure = [("region", "a"), ("access_key_id", "b"), ("secret_access_key", "c")]
        .iter()
        .fold(secure, |builder, (name, value)| builder.option(name, value));
    let store = secure.build().unwrap().open(metainfo.info()).unwrap();
    assert_eq!(store.recover().unwrap_err().kind(), StorageErrorKind::Io);
}
