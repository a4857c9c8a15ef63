//! Trackers over HTTPS, with real TLS over loopback.

use crate::{answer, found_through, local};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use unchoke_core::{InfoHashes, Seed, Sha1Hash};
use unchoke_storage::MemoryStorage;
use unchoke_tokio::{
    AddTorrent, AnnounceError, Client, ClientBuilder, ClientError, HttpTrackerServer, TlsError, TrackerAnswer,
};

/// What a tracker that has no peers answers; the end of the connection ends it.
const NO_PEERS: &str = "HTTP/1.0 200 OK\r\n\r\nd8:intervali1800e5:peers0:e";

/// A server's half of TLS, and the certificate that it signs for itself.
struct Identity {
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Identity { acceptor: Arc::new(config).into(), certificate: made.cert.der().to_vec() }
}

/// Puts TLS in front of a server, and tells the URL.
async fn in_front_of(server: SocketAddr, acceptor: TlsAcceptor) -> String {
    let serving = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut near) = acceptor.accept(stream).await {
                let mut far = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        }
    });
    format!("https://{}/announce", serving.await)
}

/// A server that gives every request the same answer, and its address.
async fn answering(acceptor: Option<TlsAcceptor>, answer: String) -> SocketAddr {
    let answer: Arc<str> = answer.into();
    let serving = serve(move |stream| {
        let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
        async move {
            match acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        say(stream, &answer).await;
                    }
                }
                None => say(stream, &answer).await,
            }
        }
    });
    serving.await
}

/// Reads a request and answers it. The connection is closed without TLS being told.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.flush().await;
}

async fn serve<W: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(TcpStream) -> W + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(local()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// What comes of the first announce to a tracker.
async fn first_announce(builder: ClientBuilder, url: &str) -> Result<TrackerAnswer, Arc<AnnounceError>> {
    let client = builder.listen(local()).build().await.unwrap();
    let hashes = InfoHashes::v1(Sha1Hash::new([7; 20]));
    let add = AddTorrent::from_hashes(hashes, MemoryStorage::new()).trackers([url]);
    let torrent = client.add(add).await.unwrap();
    let result = answer(&torrent, 0).await;
    let report = torrent.trackers().unwrap().borrow().clone();
    assert_eq!(report.trackers[0].url, url);
    assert!(report.next_announce.is_some());
    result
}

fn trusting(certificate: &[u8]) -> ClientBuilder {
    Client::builder().tracker_root(certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_found_through_a_tracker_over_https() {
    let server = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    let plain = server.url().trim_start_matches("http://").trim_end_matches("/announce").parse().unwrap();
    let Identity { acceptor, certificate } = identity("127.0.0.1");
    let url = in_front_of(plain, acceptor).await;
    found_through(url.clone(), url, || trusting(&certificate)).await;
}

#[tokio::test]
async fn a_certificate_must_lead_to_a_trusted_root_and_bear_the_name() {
    let ours = identity("127.0.0.1");
    let address = answering(Some(ours.acceptor), NO_PEERS.to_owned()).await;
    let url = format!("https://{address}/announce");
    let answer = first_announce(trusting(&ours.certificate), &url).await.unwrap();
    assert_eq!(answer.peers, 0);
    let error = first_announce(Client::builder(), &url).await.unwrap_err();
    assert!(matches!(&*error, AnnounceError::Tls(TlsError::UnknownIssuer)), "{error:?}");

    let other = identity("tracker.example");
    let address = answering(Some(other.acceptor), NO_PEERS.to_owned()).await;
    let error = first_announce(trusting(&other.certificate), &format!("https://{address}/announce")).await.unwrap_err();
    assert!(
        matches!(&*error, AnnounceError::Tls(TlsError::WrongName(name)) if *name == address.ip().to_string()),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_without_tls_does_not_pass_for_one_with_it() {
    let address = serve(|mut stream| async move {
        let _ = stream.write_all(NO_PEERS.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let url = format!("https://{}/announce", address.await);
    let error = first_announce(Client::builder(), &url).await.unwrap_err();
    assert!(matches!(&*error, AnnounceError::Tls(TlsError::Handshake(_))), "{error:?}");
}

#[tokio::test]
async fn redirects_lead_into_https_and_not_out_of_it() {
    let redirect = |to: String| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let Identity { acceptor, certificate } = identity("127.0.0.1");
    let secure = answering(Some(acceptor.clone()), NO_PEERS.to_owned()).await;
    let plain = answering(None, redirect(format!("https://{secure}/announce"))).await;
    let answer = first_announce(trusting(&certificate), &format!("http://{plain}/announce")).await;
    assert_eq!(answer.unwrap().peers, 0);

    let plain = answering(None, NO_PEERS.to_owned()).await;
    let to = format!("http://{plain}/announce");
    let secure = answering(Some(acceptor), redirect(to.clone())).await;
    let error = first_announce(trusting(&certificate), &format!("https://{secure}/announce")).await.unwrap_err();
    assert!(matches!(&*error, AnnounceError::Downgrade(target) if *target == to), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_answer() {
    let Identity { acceptor, certificate } = identity("127.0.0.1");
    let cut = NO_PEERS.trim_end_matches('e').to_owned();
    let address = answering(Some(acceptor), cut).await;
    let error = first_announce(trusting(&certificate), &format!("https://{address}/announce")).await.unwrap_err();
    assert!(matches!(&*error, AnnounceError::Tracker(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_is_not_built_with_a_root_that_is_none() {
    let built = trusting(b"no certificate").build().await;
    assert!(matches!(built, Err(ClientError::Tls(TlsError::Certificate(_)))), "{built:?}");
}
