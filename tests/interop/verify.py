"""Verifies requests by other people's code: FILE is JSON with `key` and `requests` of `headers` and `body`.

Prints the type of each event; ends with 1 at the first that is not what was signed.
"""

import base64
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def verify(key: str, headers: dict, body: str) -> dict:
    """The event, if the key signed it."""
    if key.startswith("whsec_"):
        return Webhook(key).verify(body, headers)
    # The library knows HMAC alone; this is what the specification says of `v1a`.
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    for signature in headers["webhook-signature"].split(" "):
        version, _, text = signature.partition(",")
        if version == "v1a":
            try:
                public.verify(base64.b64decode(text), signed)
                return json.loads(body)
            except InvalidSignature:
                continue
    raise WebhookVerificationError("no matching signature found")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    for request in given["requests"]:
        try:
            print(verify(given["key"], request["headers"], request["body"])["type"])
        except WebhookVerificationError as error:
            sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
