"""What libtorrent 2.x reads in torrent files, and what it makes of a folder.

usage: libtorrent_oracle.py version
       libtorrent_oracle.py read FILE
       libtorrent_oracle.py create PATH PIECE_LENGTH v1|v2|hybrid

FILE holds torrents, each with its length before it in four bytes, the highest first. For each a line of JSON is printed;
names are in hexadecimal.
"""

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


def describe(bytes):
    try:
        info = lt.load_torrent_buffer(bytes).ti
    except Exception as error:
        return {"error": str(error)}
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
        })
    return {
        "v1": digest(hashes.v1),
        "v2": digest(hashes.v2),
        "piece_length": info.piece_length(),
        "files": files,
    }


def read(path):
    with open(path, "rb") as file:
        while head := file.read(4):
            print(json.dumps(describe(file.read(int.from_bytes(head, "big")))))


def create(path, piece_length, version):
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    storage = lt.file_storage()
    lt.add_files(storage, path)
    torrent = lt.create_torrent(storage, piece_size=piece_length, flags=int(flags))
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    hashes = lt.torrent_info(torrent.generate()).info_hashes()
    print(json.dumps({"v1": digest(hashes.v1), "v2": digest(hashes.v2)}))


if sys.argv[1] == "version":
    print(lt.version)
elif sys.argv[1] == "read":
    read(sys.argv[2])
else:
    create(sys.argv[2], int(sys.argv[3]), sys.argv[4])
