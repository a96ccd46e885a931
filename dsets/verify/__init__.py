"""See the design's word of the same name."""
