"""DHT nodes of libtorrent 2.x.

usage: libtorrent_nodes.py network PATTERN COUNT TORRENTS [IP:PORT]...
       libtorrent_nodes.py peer IP:PORT [IP:PORT]...

A network has nodes at the addresses that come of putting 1, 2 and so on in the place of {}. Each knows the first, its three predecessors and the
named ones. They announce TORRENTS torrents, whose info-hashes are the SHA-1 of "0", "1" and so on; the peers are the nodes, at port 4711. When that is
done the network prints one line of JSON, and runs until it is ended.

A peer is one node that knows the named ones. It prints one line of JSON when it has joined, and one for each command on standard input:
`peers INFO_HASH`, `nodes`, and `queries`: how many it has sent.
"""

import hashlib
import json
import sys
import time

import libtorrent as lt

category = lt.alert.category_t
PORT = 4711
# Torrents that are announced at a time.
TOGETHER = 20


def start(listen, known):
    session = lt.session({
        "listen_interfaces": listen,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": "",
        "dht_upload_rate_limit": 1_000_000_000,
        "dht_block_ratelimit": 10_000_000,
        "alert_mask": category.dht_notification | category.dht_operation_notification | category.stats_notification,
        "alert_queue_size": 10_000,
    })
    for node in known:
        host, port = node.rsplit(":", 1)
        session.add_dht_node((host, int(port)))
    return session


def nodes(session):
    return session.status().dht_nodes


def say(**what):
    print(json.dumps(what), flush=True)


def wait(session, kind, wanted, limit):
    """The next alert of this kind, or nothing when the time is over."""
    end = time.monotonic() + limit
    while (left := end - time.monotonic()) > 0:
        session.wait_for_alert(int(left * 1000) + 1)
        for alert in session.pop_alerts():
            if isinstance(alert, kind) and wanted(alert):
                return alert
    return None


def network(pattern, count, torrents, *known):
    addresses = [pattern.replace("{}", str(number)) for number in range(1, int(count) + 1)]
    sessions = []
    for number, address in enumerate(addresses):
        others = {addresses[0], *addresses[max(0, number - 3):number], *known} - {address}
        sessions.append(start(address, others))
    deadline = time.monotonic() + 30
    while any(nodes(session) < min(4, len(sessions) - 1) for session in sessions) and time.monotonic() < deadline:
        time.sleep(0.05)
    missing = set(range(int(torrents)))
    while missing:
        for number in sorted(missing)[:TOGETHER]:
            info_hash = lt.sha1_hash(hashlib.sha1(str(number).encode()).digest())
            session = sessions[number % len(sessions)]
            session.dht_announce(info_hash, PORT, 0)
            asking = sessions[(number + 1) % len(sessions)]
            asking.pop_alerts()
            asking.dht_get_peers(info_hash)
            found = wait(asking, lt.dht_get_peers_reply_alert,
                         lambda alert: alert.info_hash == info_hash and alert.num_peers(), 0.3)
            if found:
                missing.discard(number)
    say(nodes=len(sessions), known=sorted(nodes(session) for session in sessions)[len(sessions) // 2])
    while True:
        for session in sessions:
            session.pop_alerts()
        time.sleep(0.5)


def peer(listen, *known):
    session = start(listen, known)
    while known and not nodes(session):
        time.sleep(0.01)
    # It goes on to look for its neighbourhood.
    time.sleep(1)
    say(listen=listen)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "peers":
            info_hash = lt.sha1_hash(bytes.fromhex(words[1]))
            session.pop_alerts()
            begin = time.monotonic()
            session.dht_get_peers(info_hash)
            found = wait(session, lt.dht_get_peers_reply_alert,
                         lambda alert: alert.info_hash == info_hash and alert.num_peers(), 5)
            first = (time.monotonic() - begin) * 1e3
            # It does not tell when it is done.
            say(first_ms=first if found else None, complete_ms=None, peers=found.num_peers() if found else 0)
        elif words[0] == "nodes":
            say(nodes=nodes(session))
        elif words[0] == "queries":
            session.post_session_stats()
            stats = wait(session, lt.session_stats_alert, lambda alert: True, 5).values
            kinds = "ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes"
            say(queries=sum(stats[f"dht.dht_{kind}_out"] for kind in kinds))
        else:
            say(error="unknown command")


{"network": network, "peer": peer}[sys.argv[1]](*sys.argv[2:])
