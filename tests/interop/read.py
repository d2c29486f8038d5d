"""Fetches one target as any TUF client does: python-tuf, a root, a server.

    read.py ROOT.json https://HOST:PORT TARGET FOLDER

The target ends in FOLDER/target, the metadata that led to it in FOLDER/metadata. OpenSSL takes the authority
of the server's certificate from SSL_CERT_FILE.
"""

import sys
from pathlib import Path

from tuf.ngclient import Updater


def main(root: str, server: str, name: str, folder: str) -> None:
    metadata = Path(folder, "metadata")
    metadata.mkdir(parents=True)
    updater = Updater(
        metadata_dir=str(metadata),
        metadata_base_url=f"{server}/tuf/metadata/",
        target_base_url=f"{server}/tuf/targets/",
        bootstrap=Path(root).read_bytes(),
    )
    updater.refresh()
    info = updater.get_targetinfo(name)
    if info is None:
        sys.exit(f"nobody signed {name}")
    updater.download_target(info, str(Path(folder, "target")))


main(*sys.argv[1:])
