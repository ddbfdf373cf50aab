"""Builds the compiled reader of operands (`_reader.c`).

Without a C compiler the installation goes on, and snnprof reads operands with PyTorch instead.
"""

import os

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

FAST = ["-O3", "-fno-trapping-math"]
THREADS = ["-fopenmp"]
SANITIZED = [
    "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
]  # fmt: skip
"""Flags of `make sanitize` (it sets SNNPROF_SANITIZE): the first wrong memory access ends the program."""


class Build(build_ext):
    """Builds the reader with threads if the compiler supports OpenMP."""

    def build_extension(self, extension: Extension) -> None:
        """Compiles with OpenMP, or again without it if the compiler or the linker refuses it."""
        if os.environ.get("SNNPROF_SANITIZE"):
            extension.extra_compile_args = FAST + THREADS + SANITIZED
            extension.extra_link_args, extension.optional = THREADS + SANITIZED, False
            return super().build_extension(extension)
        extension.extra_compile_args, extension.extra_link_args = FAST + THREADS, THREADS
        try:
            super().build_extension(extension)
        except (CompileError, LinkError):
            extension.extra_compile_args, extension.extra_link_args = FAST, []
            super().build_extension(extension)


setup(
    ext_modules=[Extension("snnprof.record.read._reader", ["snnprof/record/read/_reader.c"], optional=True)],
    cmdclass={"build_ext": Build},
)
