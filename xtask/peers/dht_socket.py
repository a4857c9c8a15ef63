"""Asks a DHT node over a plain UDP socket: announces torrents there and has it tell them in a sample (BEP 51).

usage: dht_socket.py OWN_IP NODE_IP:PORT

Ends with success when the node has told all of them. libtorrent lends its bencode.
"""

import hashlib
import os
import socket
import sys
import time

import libtorrent as lt

host, port = sys.argv[2].rsplit(":", 1)
node = host, int(port)
own = os.urandom(20)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))


def ask(method, **arguments):
    """Asks until there is an answer, and answers what the node asks meanwhile."""
    transaction = os.urandom(2)
    arguments = {name.encode(): value for name, value in arguments.items()}
    query = lt.bencode({b"t": transaction, b"y": b"q", b"q": method.encode(), b"a": {b"id": own, **arguments}})
    for _ in range(20):
        sock.sendto(query, node)
        end = time.monotonic() + 1
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                datagram, source = sock.recvfrom(2048)
            except socket.timeout:
                break
            message = lt.bdecode(datagram)
            if message[b"y"] == b"q":
                sock.sendto(lt.bencode({b"t": message[b"t"], b"y": b"r", b"r": {b"id": own}}), source)
            elif message[b"t"] == transaction:
                assert message[b"y"] == b"r", message
                return message[b"r"]
    sys.exit(f"no answer to {method}")


torrents = {hashlib.sha1(b"sampled %d" % number).digest() for number in range(3)}
for torrent in torrents:
    token = ask("get_peers", info_hash=torrent)[b"token"]
    ask("announce_peer", info_hash=torrent, port=4711, token=token)
end = time.monotonic() + 20
while True:
    told = ask("sample_infohashes", target=os.urandom(20))
    samples = told[b"samples"]
    assert len(samples) % 20 == 0, told
    assert told[b"num"] == len(torrents) and 0 <= told[b"interval"] <= 21600, told
    # Until it knows that we are there it tells no more than three bytes for one.
    if torrents <= {samples[at:at + 20] for at in range(0, len(samples), 20)}:
        break
    assert time.monotonic() < end, told
    time.sleep(0.1)
print("all torrents sampled, interval", told[b"interval"], flush=True)
