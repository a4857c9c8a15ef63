//! TCP connections: how they are opened, and how a protocol that moves no payload is carried over one.

use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use unchoke_core::{Outgoing, StreamProtocol};

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
pub(crate) async fn flush<P: StreamProtocol>(protocol: &mut P, stream: &mut TcpStream) -> io::Result<()> {
    while let Some(outgoing) = protocol.poll_transmit(Instant::now(), 0) {
        if let Outgoing::Bytes(bytes) = outgoing {
            stream.write_all(&bytes).await?;
            protocol.handle_sent(Instant::now(), bytes.len());
        }
    }
    Ok(())
}

/// Carries the protocol on until it has an event, or the connection ends (`None`).
pub(crate) async fn next_event<P: StreamProtocol>(
    protocol: &mut P,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> io::Result<Option<P::Event>> {
    let mut ended = false;
    loop {
        flush(protocol, stream).await?;
        if let Some(event) = protocol.poll_event() {
            return Ok(Some(event));
        }
        if ended {
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
                if read? == 0 {
                    ended = true;
                    protocol.handle_end(Instant::now()).map_err(io::Error::other)?;
                } else {
                    protocol.handle_input(Instant::now(), input).map_err(io::Error::other)?;
                }
            }
            () = sleep => protocol.handle_timeout(Instant::now()).map_err(io::Error::other)?,
        }
    }
}
