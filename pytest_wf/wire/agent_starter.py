"""The constant program that copies the agent to a pod and starts it.

``python3 -I -S -c LAUNCHER <path> <sha256> <size> <words>`` prints ``wf-agent need`` if the agent
with that digest is not yet at `path`, and reads exactly `size` bytes from stdin. It prints
``wf-agent have`` when the agent is there and runs it, with `words` as its command. An error is
printed as ``wf-agent bad <kind> <reason>``, with a kind of `wire.failures`. With an empty path the
agent stays in memory: nothing is written.

The lines are marked, and begin with a newline: a login's start-up files may print before them.
"""

#: The prefix of the launcher's own lines.
MARK = "wf-agent"

# Runs before anything of ours is on the machine, so it must parse under any Python 3. The outermost
# directory that it had to create is passed on, for the record of created paths. Control files must
# not be writable by everyone, whatever the login's umask.
LAUNCHER = """\
import hashlib, os, sys

def say(*words):
    os.write(1, (" ".join(("\\nwf-agent",) + words) + "\\n").encode("utf-8", "replace"))

def digest(content):
    return hashlib.sha256(content).hexdigest()

def standing(path):
    try:
        with open(path, "rb") as f:
            return digest(f.read())
    except OSError:
        return ""

def receive(size):
    content = b""
    while len(content) < size:
        piece = os.read(0, min(1 << 16, size - len(content)))
        if not piece:
            break
        content += piece
    return content

def new_folder(folder):
    made = ""
    while folder and not os.path.isdir(folder):
        made, folder = folder, os.path.dirname(folder)
    return made

def store(path, content):
    temporary = "%s.%s.new" % (path, os.urandom(6).hex())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return path

def keep_in_memory(content):
    fd = os.memfd_create("wf-agent", 0)
    while content:
        content = content[os.write(fd, content):]
    return "/proc/self/fd/%d" % fd

def main(path, sha, size, words):
    os.umask(os.umask(0o077) | 0o002)
    if sys.version_info < (3, 8):
        return say("bad", "not-a-pod", "python3 is older than 3.8: " + sys.version.split()[0])
    if not sys.platform.startswith("linux"):
        return say("bad", "not-a-pod", "this is %s, and a pod is a Linux machine" % sys.platform)
    made = ""
    try:
        if path:
            made = new_folder(os.path.dirname(path))
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        if not path or standing(path) != sha:
            say("need")
            content = receive(size)
            if len(content) < size:
                return say("bad", "not-a-pod", "the login passes no input on to its commands")
            if digest(content) != sha:
                return say("bad", "link-lost", "the agent arrived damaged")
            path = store(path, content) if path else keep_in_memory(content)
    except OSError as e:
        return say("bad", "pod-disk", "the agent cannot be stored: %s" % e)
    say("have")
    # without a PATH a python that was called by its name does not know where it is
    sys.executable = sys.executable or os.path.realpath("/proc/self/exe")
    sys.argv = [path] + words + [made] * (words == ["serve"])
    sys.path.insert(0, path)
    import zipimport
    exec(zipimport.zipimporter(path).get_code("__main__"), {"__name__": "__main__"})

main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
"""
