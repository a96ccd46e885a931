"""Pipelines: one Python module a preprocessing recipe, small enough to copy and change.

The contract, checked when a pipeline is loaded:

    STATISTICS: str | None
        The image field over which a training pack's exact statistics are computed. Pixels, uint8
        (height, width, channels), are counted as they are stored. Encoded images, uint8 (None,),
        are counted as `dsets.codecs.decode` gives them back; every one is decoded as it goes in, in
        any split, and quarantined if it cannot be.

    def fields(manifest: Manifest) -> tuple[Field, ...]
        The fields that the pack will have, from what the manifest declares.

    def make(sample: Sample) -> Mapping[str, object]
        One value for each of those fields, from one sample. A pure function: the same sample gives
        the same bytes on any worker. Raising DataError quarantines the sample. Values of other
        names are left out.

    def environment() -> Mapping[str, str]                                            (optional)
        The versions that the pixels depend on, such as a codec's. Recorded in the pack; shards of
        two environments are never mixed.

    def make_batch(batch: Batch) -> Mapping[str, object] | None                       (optional)
        What ``make`` gives of each sample, for many at once, to the byte: of each field one array
        (n, …), or a list of n arrays. None where one of them wants more care: then ``make`` gets
        them one by one, as it gets whatever the reader finds not to be ordinary. Not asked where
        STATISTICS names an image, nor of readers that give no batches (youtube8m's video level
        does).

    VARYING_BYTES: int                                                                (optional)
        About what the values of varying size take together in one sample. It decides how many
        samples go into a shard. Without it: the mean size of the raw files, a sample.

    DECODED_SHAPE: tuple[int, int, int]                                               (optional)
        Height, width and channels of every encoded image once it is decoded, if all have one size.
        It tells how much disk the sums of their mean image take while a pack is made.

The source of the module is hashed into every pack that it made.
"""
