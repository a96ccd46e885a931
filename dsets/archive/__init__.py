"""Files from strangers, read as streams: never unpacked to disk, never further than allowed.

What is refused, always with one DataError that names the file:

    stream.py    more bytes than the caller allows (bombs), truncation, a wrong length at the end
    gz.py        damaged deflate data, wrong CRC or length, anything but zeros after the last member
    names.py     names that lead outside
    zipindex.py  overlapping members, lying sizes and CRCs, encryption, links, duplicates
    tar.py       hostile names, links, devices, negative or impossible sizes, a missing end mark
"""
