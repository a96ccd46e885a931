"""Manifests: one TOML file a dataset, called after it. This is the reference of schema 1.

Unknown keys, wrong types and impossible values are refused, each with one line that names the file,
the key, what was expected and what was found. A manifest is at most 4 MiB of UTF-8. Text is
printable and, but for ``citation`` and ``notes``, on one line. Names that have to differ differ
in more than their case.

At the top:

    schema      1. A manifest of another version is refused, with a word about upgrading.
    name        The dataset's name: the file's own, of a-z, digits, ``.``, ``_``, ``-``
    title       What people call it.
    homepage    The official page, http or https; empty when there is none.
    licence     The terms as the source states them, or that it states none.
    access      "open": anybody may download it. "login", "on request": the user brings the files;
                addresses, if any, only say where they are. "withdrawn": its authors ask not to use
                it any more; "unavailable": nobody is known to offer it. Of these two no addresses,
                and files and splits may be left out.
    citation    What to cite.
    reader      A module of ``dsets.readers``.
    pipeline    A module of ``dsets.pipelines``, the default; never a path, which would run code.
    notes       Anything else (optional). Where access is open and a file has no address, the notes
                must be there, and say where it comes from.

``[catalogue]``, of a dataset that no reader reads: it is told of, and fetched where it is open and
has files; ``reader``, ``pipeline``, splits and fields are then refused, and files may be left out:

    status      How it can be had, or why not, in a line: what ``fetch`` says if it cannot.
    size        How large it is, in words.

``[[file]]``, one or more, as published:

    name        Its name in the store and below a mirror: no path, not hidden, not ``*.part``, at
                most 200 bytes.
    addresses   URLs in order of preference: https, http, file, s3, gs; no passwords. Optional.
    bytes       Its exact size. Optional.
    sha256      Digests in lower-case hexadecimal, those that are published. Optional, each; every
    sha1        one given is verified.
    md5
    part        What it belongs to, such as "annotations". Optional.
    known_as    Other names under which people keep it; they prove nothing. Optional.
    unverified  true for a file that nobody published, as ``adopt --unverified`` writes it; what is
                made from it carries the mark. Optional.
    singly      URLs of folders in which an archive's members lie one by one, by their base
                names: where subsets take images that no archive gives. Optional.
    listed_bytes
                Where the file is a listing (see ``dsets.readers._listing``): the size of all that
                it lists. Optional.
    [[file.member]]
                Figures published for a member of an archive: ``name``, its path inside, and
                ``bytes``, ``sha256``, ``md5`` as far as they are known. Optional.

``[split.NAME]``, one or more, the training split first:

    samples     How many: 1 or more.
    files       The names of the files that it needs.
    training    true in exactly one split, the first: statistics are computed from it. Optional.
    withheld    Fields of one signed integer that nobody published for this split; they are -1 in
                it. Optional.
    [split.NAME.reader]
                What the reader must know. Each reader documents and checks its own keys.

``[field.NAME]``, one or more; what a sample has, as the reader hands it out:

    dtype       bool, uint8 … uint64, int8 … int64, float16 … float64.
    shape       Sizes of one sample: [] for a number, [height, width, channels] for an image; -1 for
                a size that varies; encoded bytes are uint8 [-1].
    classes     The names of a whole-number label's values, in order, all different. Optional.

NAME of a field is an identifier in ASCII other than key, key_hash, offsets, checksum and shape,
which packs use themselves.
"""
