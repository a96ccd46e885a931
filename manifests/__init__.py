"""Manifests: one TOML a dataset."""
