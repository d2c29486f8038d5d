"""Signs a draft with python-tuf, as a publisher may who has no other tool.

    sign.py DRAFT.json KEY.pem SIGNED.json
"""

import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata


def main(draft: str, key: str, signed: str) -> None:
    metadata = Metadata.from_file(draft)
    metadata.sign(CryptoSigner(load_pem_private_key(Path(key).read_bytes(), None)))
    metadata.to_file(signed)


main(*sys.argv[1:])
