"""Remote git repositories: which ref is meant, and how to read it without a prompt or a trace.

A pod clones by itself, or its controller does and sends a bundle: both get the same commit from the
same config, and neither stores or shows a credential.
"""

import re
import urllib.parse
from typing import List, Mapping, NamedTuple

# http: whatever is before the @ may be a token; elsewhere only a password is secret
_CREDENTIALS = re.compile(
    r"(?i)\b(https?://)[^/\s@'\"]+@|\b([a-z][a-z0-9+.-]*://[^/\s:@'\"]*):[^/\s@'\"]*@"
)


class Remote(NamedTuple):
    """Where commits come from: a URL without credentials, and the environment that has them."""

    url: str
    env: Mapping[str, str]


class Wanted(NamedTuple):
    """The wanted commit: a branch, a change request's number, a full id, or HEAD."""

    branch: str
    change: str
    sha: str

    @property
    def refs(self) -> List[str]:
        """The remote refs that may be meant, of which the first that exists counts."""
        if self.change:
            return ["refs/pull/%s/head" % self.change, "refs/merge-requests/%s/head" % self.change]
        if self.branch:
            return ["refs/heads/" + self.branch, "refs/tags/" + self.branch]
        return ["HEAD"]

    @property
    def what(self) -> str:
        """Its name for people."""
        if self.change:
            return "change request %s" % self.change
        return "branch '%s'" % self.branch if self.branch else "HEAD"


def remote(url: str) -> Remote:
    """`url` split into what may be seen and stored, and what may not."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return Remote(url, {})
    host = parts.netloc.rpartition("@")[2]
    clean = urllib.parse.urlunsplit(parts._replace(netloc=host))
    env = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "url.%s://%s/.insteadOf" % (parts.scheme, parts.netloc),
        "GIT_CONFIG_VALUE_0": "%s://%s/" % (parts.scheme, host),
        # git offers a credential that worked to every helper for storage
        "GIT_CONFIG_KEY_1": "credential.helper",
        "GIT_CONFIG_VALUE_1": "",
    }
    return Remote(clean, env)


def masked(text: str) -> str:
    """`text` without the credentials of the URLs in it."""
    return _CREDENTIALS.sub(lambda m: (m.group(1) or m.group(2)) + "[redacted]@", text)
