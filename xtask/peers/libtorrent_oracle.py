"""What libtorrent 2.x reads in torrent files, and what it makes of a folder.

usage: libtorrent_oracle.py version
       libtorrent_oracle.py read FILE
       libtorrent_oracle.py create PATH PIECE_LENGTH v1|v2|hybrid OUTPUT [--private] [--comment TEXT]
                            [--tracker URL[,URL]...]... [--web-seed URL]...

FILE holds torrents, each with its length before it in four bytes, the highest first. For each a line of JSON is printed;
names are in hexadecimal.
"""

import argparse
import hashlib
import json
import os
import sys
import warnings

import libtorrent as lt

warnings.simplefilter("ignore")


def text(name):
    return name.encode("utf-8", "surrogateescape").hex()


def digest(hash):
    return "" if hash.is_all_zeros() else str(hash)


def told(parameters, name):
    """A list or a text around the info dictionary; nothing if it is not UTF-8, which this interface to libtorrent cannot tell."""
    try:
        return getattr(parameters, name)
    except UnicodeDecodeError:
        return []


def written_layers(parameters):
    """Piece layers are not told, but written again, unless two files share one."""
    try:
        return lt.write_torrent_file(parameters).get(b"piece layers", {})
    except RuntimeError:
        return None


def layer(layers, storage, number):
    if not layers or not storage.v2() or storage.file_size(number) <= storage.piece_length():
        return ""
    found = layers.get(storage.root(number).to_bytes())
    return hashlib.sha256(found).hexdigest() if found else ""


def describe(bytes):
    try:
        parameters = lt.load_torrent_buffer(bytes)
        info = parameters.ti
    except Exception as error:
        return {"error": str(error)}
    layers = written_layers(parameters) if info.info_hashes().has_v2() else {}
    tiers = {}
    for url, tier in zip(told(parameters, "trackers"), parameters.tracker_tiers):
        tiers.setdefault(tier, []).append(text(url))
    storage, hashes = info.files(), info.info_hashes()
    files = []
    for number in range(storage.num_files()):
        flags = storage.file_flags(number)
        files.append({
            "path": text(storage.file_path(number)),
            "offset": storage.file_offset(number),
            "size": storage.file_size(number),
            "pad": bool(flags & storage.flag_pad_file),
            "link": bool(flags & storage.flag_symlink),
            "target": text(storage.symlink(number).partition("/")[2]) if flags & storage.flag_symlink else "",
            "root": digest(storage.root(number)) if storage.v2() else "",
            "layer": layer(layers, storage, number),
        })
    return {
        "v1": digest(hashes.v1),
        "v2": digest(hashes.v2),
        "piece_length": info.piece_length(),
        "name": text(info.name()),
        "private": info.priv(),
        "comment": text(told(parameters, "comment") or ""),
        "trackers": [tiers[tier] for tier in sorted(tiers)],
        "web_seeds": [text(url) for url in told(parameters, "url_seeds")],
        "untold_layers": layers is None,
        "files": files,
    }


def read(path):
    with open(path, "rb") as file:
        while head := file.read(4):
            print(json.dumps(describe(file.read(int.from_bytes(head, "big")))))


def create(arguments):
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[arguments.version]
    storage = lt.file_storage()
    # Its own walk takes files as the file system has them, and a v1 torrent keeps that order.
    parent = os.path.dirname(arguments.path)
    found = [arguments.path] if os.path.isfile(arguments.path) else sorted(
        (os.path.join(folder, name) for folder, _, names in os.walk(arguments.path) for name in names),
        key=lambda path: os.fsencode(path).split(b"/"),
    )
    for path in found:
        storage.add_file(os.path.relpath(path, parent), os.path.getsize(path))
    torrent = lt.create_torrent(storage, piece_size=arguments.piece_length, flags=int(flags))
    torrent.set_priv(arguments.private)
    if arguments.comment:
        torrent.set_comment(arguments.comment)
    for tier, urls in enumerate(arguments.tracker):
        for url in urls.split(","):
            torrent.add_tracker(url, tier)
    for url in arguments.web_seed:
        torrent.add_url_seed(url)
    lt.set_piece_hashes(torrent, parent)
    with open(arguments.output, "wb") as file:
        file.write(lt.bencode(torrent.generate()))


if sys.argv[1] == "version":
    print(lt.version)
elif sys.argv[1] == "read":
    read(sys.argv[2])
else:
    parser = argparse.ArgumentParser()
    parser.add_argument("create")
    parser.add_argument("path")
    parser.add_argument("piece_length", type=int)
    parser.add_argument("version")
    parser.add_argument("output")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--comment")
    parser.add_argument("--tracker", action="append", default=[])
    parser.add_argument("--web-seed", action="append", default=[])
    create(parser.parse_args())
