"""Bytes at rest and their names: paths, digests, the Merkle tree, staging files, packs. No rows here."""
