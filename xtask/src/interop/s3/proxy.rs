//! A proxy for HTTP that refuses some requests, cuts off the answers of some, and lets some wait.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What it has done so far.
#[derive(Default)]
pub(super) struct Proxy {
    requests: AtomicU32,
    refused: AtomicU32,
    cut: AtomicU32,
    delayed: AtomicU32,
}

impl Proxy {
    pub(super) fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    pub(super) fn cut(&self) -> u32 {
        self.cut.load(Ordering::SeqCst)
    }

    pub(super) fn delayed(&self) -> u32 {
        self.delayed.load(Ordering::SeqCst)
    }

    /// What becomes of the next request. For a while none succeeds, whoever tries again.
    fn next(&self) -> Fate {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let (counter, fate) = match number {
            4..44 => (&self.refused, Fate::Refused),
            _ if number % 5 == 2 => (&self.refused, Fate::Refused),
            _ if number % 7 == 4 => (&self.cut, Fate::Cut),
            _ if number % 3 == 1 => (&self.delayed, Fate::Delayed),
            _ => return Fate::Passed,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        fate
    }

    /// Carries one request and its answer. The connection ends with it.
    fn carry(&self, client: TcpStream, server: SocketAddrV4) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let (mut head, mut length) = (String::new(), 0_u64);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.trim().is_empty() {
                break;
            }
            if !lower.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        if head.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        let mut client = client;
        let fate = self.next();
        if fate == Fate::Refused {
            let answer = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            let length = answer.len();
            write!(
                client,
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
            )?;
            return client.shutdown(Shutdown::Write);
        }
        if fate == Fate::Delayed {
            std::thread::sleep(DELAY);
        }
        let mut server = TcpStream::connect(server)?;
        server.write_all(head.as_bytes())?;
        server.write_all(b"Connection: close\r\n\r\n")?;
        server.write_all(&body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let kept = if fate == Fate::Cut { answer.len() / 2 } else { answer.len() };
        client.write_all(answer.get(..kept).unwrap_or_default())?;
        client.shutdown(Shutdown::Write)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    Refused,
    /// It is done, and half of the answer comes.
    Cut,
    Delayed,
}

/// Takes connections for as long as the program runs.
pub(super) fn start(listen: SocketAddrV4, server: SocketAddrV4) -> io::Result<Arc<Proxy>> {
    let listener = TcpListener::bind(listen)?;
    let proxy = Arc::new(Proxy::default());
    let shared = Arc::clone(&proxy);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let proxy = Arc::clone(&shared);
            // A client that has gone is no failure of the proxy.
            std::thread::spawn(move || drop(proxy.carry(client, server)));
        }
    });
    Ok(proxy)
}

/// How long a request waits that has to.
const DELAY: Duration = Duration::from_millis(300);
