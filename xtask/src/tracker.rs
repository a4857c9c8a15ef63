//! A tracker that knows one peer: the one that the announce URL names, `http://TRACKER/PEER_IP:PORT/announce`.
//!
//! It is how peers that take neither an address nor `x.pe` learn of ours.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

/// Answers announces until the program ends.
pub(crate) fn start(address: SocketAddrV4) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A peer that goes away in the middle of an announce asks again.
            let _ = answer(stream);
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let body = reply(&request);
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// The compact reply ([BEP 23]) to an HTTP request line.
///
/// [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html
fn reply(request: &str) -> Vec<u8> {
    let peer = request.split('/').nth(1).unwrap_or_default();
    let Ok(peer) = peer.parse::<SocketAddrV4>() else {
        return b"d14:failure reason16:no peer in the URLe".to_vec();
    };
    let mut body = b"d8:completei1e10:incompletei0e8:intervali30e5:peers6:".to_vec();
    body.extend(peer.ip().octets());
    body.extend(peer.port().to_be_bytes());
    body.push(b'e');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_peer() {
        let body = reply("GET /10.77.0.2:6881/announce?info_hash=x HTTP/1.1");
        assert!(body.ends_with(&[b'6', b':', 10, 77, 0, 2, 0x1a, 0xe1, b'e']));
    }

    #[test]
    fn an_url_without_a_peer_fails() {
        assert!(reply("GET /announce HTTP/1.1").starts_with(b"d14:failure reason16:"));
    }
}
