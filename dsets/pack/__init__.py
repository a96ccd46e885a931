"""Packs: shards, an index, statistics; one split; immutable."""
