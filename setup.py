"""The optional C extension; everything else about the package stands in pyproject.toml.

A machine without a compiler gets the package without it, one without libjpeg-turbo's headers gets
it without its JPEG half; ``DSETS_EXTENSION=0`` leaves it out. ``dsets.extension`` says what was
built.
"""

import os
import tempfile
import warnings
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = (
    *("module", "guard", "checksum", "rows", "gather", "scale", "resample", "resample_wide"),
    *("statistics", "strings", "example"),
)
JPEG_SOURCES = ("decompress", "huffman", "huffman_table", "jpeg", "jpeg_show", "jpeg_rows")


class Build(build_ext):
    def build_extension(self, ext: Extension) -> None:
        if self._has_libjpeg_turbo(ext):
            ext.sources.extend(f"dsets/native/{name}.c" for name in JPEG_SOURCES)
            ext.define_macros.append(("DSETS_JPEG", "1"))
            ext.libraries.append("jpeg")
        super().build_extension(ext)

    def _has_libjpeg_turbo(self, ext: Extension) -> bool:
        probe = """
            #include <stdio.h>
            #include <jpeglib.h>
            int version = LIBJPEG_TURBO_VERSION_NUMBER;
            int main(void) {
                struct jpeg_decompress_struct jpeg;
                return (int)jpeg_skip_scanlines(&jpeg, 1);
            }
        """
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(probe)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder)
                program = str(Path(folder, "probe"))
                self.compiler.link_executable(objects, program, libraries=["jpeg"])
            except Exception:  # no compiler, no headers, another libjpeg: all the same answer
                return False
        return True


# In every editable install setuptools warns that a folder called like the package may be imported
# in its place, and pip shows that. Ours is the package, and its parts elsewhere are found.
warnings.filterwarnings("ignore", "Editable installation", UserWarning)

setup(
    ext_modules=[
        Extension(
            "dsets._native",
            [f"dsets/native/{name}.c" for name in SOURCES],
            depends=[str(path) for path in Path("dsets/native").glob("*.h")],
            extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra"],
            py_limited_api=True,
            optional=True,
        )
    ]
    if os.environ.get("DSETS_EXTENSION") != "0"
    else [],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
