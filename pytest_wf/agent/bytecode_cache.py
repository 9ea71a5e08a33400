"""Bytecode cache of the agent's zipapp.

Python caches the bytecode of plain files, but not of modules in a zip: every process of the agent
would compile all of them again, and a sweep starts a process for each attempt of each row. So the
first process writes a second zipapp beside the first, with compiled modules. Its name holds the
name of the zipapp, the version of Python and its own digest: a damaged or foreign one is not used.

This file is the zipapp's ``__main__``.
"""

import hashlib
import os
import sys

_SUFFIX = ".pyz"
_MAIN = "import sys\nfrom pytest_wf.agent.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"


def compiled_zipapp(path: str) -> str:
    """Path of the compiled zipapp for the one at `path`; it is created if missing.

    `path` itself if it is in memory or nothing can be written beside it.
    """
    if not path.endswith(_SUFFIX):
        return path
    folder, name = os.path.split(os.path.abspath(path))
    python = "%s-%x" % (sys.implementation.cache_tag, sys.hexversion)
    head = "%s.%s." % (name[: -len(_SUFFIX)], python)
    try:
        for entry in sorted(os.listdir(folder)):
            if entry.startswith(head) and entry.endswith(_SUFFIX):
                with open(os.path.join(folder, entry), "rb") as f:
                    if entry == head + hashlib.sha256(f.read()).hexdigest() + _SUFFIX:
                        return os.path.join(folder, entry)
        content = _compiled(path)
        made = os.path.join(folder, head + hashlib.sha256(content).hexdigest() + _SUFFIX)
        _store(made, content)
    except OSError:
        return path  # only start-up is slower
    return made


def _compiled(path: str) -> bytes:
    """The content of a zipapp with the compiled modules of the one at `path`."""
    import importlib.util
    import io
    import marshal
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(path) as sources, zipfile.ZipFile(packed, "w") as compiled:
        for name in sources.namelist():
            source = _MAIN if name == "__main__.py" else sources.read(name)
            code = compile(source, name, "exec", dont_inherit=True)
            # flags, time and size of the source stay zero: no source file is beside it
            head = importlib.util.MAGIC_NUMBER + bytes(12)
            compiled.writestr(name + "c", head + marshal.dumps(code))
    return packed.getvalue()


def _store(path: str, content: bytes) -> None:
    temporary = "%s.%d.new" % (path, os.getpid())
    with open(temporary, "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def start() -> None:
    """Run the agent from its compiled zipapp."""
    sys.path[0] = compiled_zipapp(sys.path[0])
    from pytest_wf.agent.__main__ import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
