"""Lets the simulator of the conformance suite sign with ed25519 where it would with ECDSA P-256."""

from tuf_conformance._internal.repository_simulator import RepositorySimulator

RepositorySimulator.new_signer.__defaults__ = ("ed25519", "ed25519")
