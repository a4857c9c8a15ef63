//! Connections: how they are opened over TCP, and how a protocol that moves no payload is carried over a stream.

use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use unchoke_core::{Outgoing, StreamProtocol};

/// Why a stream came to its end before its time.
#[derive(Debug)]
pub(crate) enum StreamError<E> {
    Io(io::Error),
    Protocol(E),
}

impl<E> From<io::Error> for StreamError<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a connection, from the address of `source` if that is a particular one of the same family.
pub(crate) async fn connect(address: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let usable = |source: &SocketAddr| source.is_ipv4() == address.is_ipv4() && !source.ip().is_unspecified();
    if let Some(source) = source.filter(usable) {
        socket.bind(SocketAddr::new(source.ip(), 0))?;
    }
    socket.connect(address).await
}

/// Writes out what the protocol has to send.
pub(crate) async fn flush<P: StreamProtocol, S: AsyncWrite + Unpin>(
    protocol: &mut P,
    stream: &mut S,
) -> io::Result<()> {
    while let Some(outgoing) = protocol.poll_transmit(Instant::now(), 0) {
        if let Outgoing::Bytes(bytes) = outgoing {
            stream.write_all(&bytes).await?;
            protocol.handle_sent(Instant::now(), bytes.len());
        }
    }
    stream.flush().await
}

/// Carries the protocol on until it has an event, or the connection ends or is `done` (`None`).
pub(crate) async fn next_event<P: StreamProtocol, S: AsyncRead + AsyncWrite + Unpin>(
    protocol: &mut P,
    stream: &mut S,
    input: &mut BytesMut,
    done: impl Fn(&P) -> bool,
) -> Result<Option<P::Event>, StreamError<P::Error>> {
    let mut ended = false;
    loop {
        flush(protocol, stream).await?;
        if let Some(event) = protocol.poll_event() {
            return Ok(Some(event));
        }
        if ended || done(protocol) {
            return Ok(None);
        }
        let deadline = protocol.poll_timeout();
        let sleep = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stream.read_buf(input) => {
                let read = match read {
                    // Over TLS many close without saying so. What they sent must show by itself that it is whole.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                    read => read?,
                };
                if read == 0 {
                    ended = true;
                    protocol.handle_end(Instant::now()).map_err(StreamError::Protocol)?;
                } else {
                    protocol.handle_input(Instant::now(), input).map_err(StreamError::Protocol)?;
                }
            }
            () = sleep => protocol.handle_timeout(Instant::now()).map_err(StreamError::Protocol)?,
        }
    }
}
