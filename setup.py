"""Builds the compiled reader of operands. Without a C compiler snnprof is installed without it, and PyTorch reads."""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

FAST = ["-O3", "-fno-trapping-math"]
THREADS = ["-fopenmp"]


class Build(build_ext):
    """Builds with threads where the compiler knows OpenMP."""

    def build_extension(self, extension: Extension) -> None:
        extension.extra_compile_args, extension.extra_link_args = FAST + THREADS, THREADS
        try:
            super().build_extension(extension)
        except (CompileError, LinkError):
            extension.extra_compile_args, extension.extra_link_args = FAST, []
            super().build_extension(extension)


setup(
    ext_modules=[Extension("snnprof.record._sweep", ["snnprof/record/_sweep.c"], optional=True)],
    cmdclass={"build_ext": Build},
)
