"""The pod clones over https: a real git server behind real TLS, of a CA that the test makes."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]
TOKEN = "s3cret-token-of-ada"


class Authority:
    """A certificate authority, and a server certificate of its for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        key, self.name = ec.generate_private_key(ec.SECP256R1()), _name("A CA of the test")
        own = _certificate(self.name, self.name, key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(_pem(own.sign(key, hashes.SHA256())))
        server = ec.generate_private_key(ec.SECP256R1())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        leaf = _certificate(_name("127.0.0.1"), self.name, server.public_key())
        leaf = leaf.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        self.server_file = folder / "server.pem"
        private = server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.server_file.write_bytes(private + _pem(leaf.sign(key, hashes.SHA256())))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - day).not_valid_after(now + day)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class GitServer:
    """``git http-backend`` behind TLS: every repository below `root`, to ada alone if private."""

    def __init__(self, root: Path, authority: Authority) -> None:
        self.is_private = False
        #: What was asked for: method, path, and whether with credentials.
        self.asked: list[tuple[str, str, bool]] = []
        git_server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                path, _, query = self.path.partition("?")
                given = self.headers.get("Authorization")
                git_server.asked.append((self.command, path, given is not None))
                known = "Basic " + base64.b64encode(f"ada:{TOKEN}".encode()).decode()
                if git_server.is_private and given != known:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="private"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=body,
                    capture_output=True,
                    env={
                        "PATH": os.environ["PATH"],
                        "GIT_PROJECT_ROOT": str(root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
                        "GIT_CONFIG_COUNT": "1",
                        "GIT_CONFIG_KEY_0": "safe.directory",
                        "GIT_CONFIG_VALUE_0": "*",
                        "REQUEST_METHOD": self.command,
                        "PATH_INFO": path,
                        "QUERY_STRING": query,
                        "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                        "CONTENT_LENGTH": str(len(body)),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
                    },
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
                status = next((v for k, v in fields if k == "Status"), "200 OK")
                self.send_response(int(status.split()[0]))
                for key, value in fields:
                    if key != "Status":
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.server_file)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, repository: Path) -> str:
        """The address of a repository."""
        return f"https://{self.host}/{repository.name}/.git"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args: Any) -> None:
        """A client that does not trust us hangs up; that is what some tests are about."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody trusts yet."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(
    upstream: Upstream, authority: Authority, pod_home: Path, settings: Settings
) -> Iterator[GitServer]:
    """A git server over https, for a pod that is bootstrapped."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    serving = GitServer(upstream.path.parent, authority)
    yield serving
    serving.close()


@pytest.fixture
def pod_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the pod's user, without any configuration of git."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return home


@pytest.fixture
def configure(pod_home: Path) -> Callable[[str, str], None]:
    """Sets a key in the ~/.gitconfig of the pod's user, as one would by hand."""

    def write(key: str, value: str) -> None:
        file = str(pod_home / ".gitconfig")
        subprocess.run(["git", "config", "--file", file, "--add", key, value], check=True)

    return write


@pytest.fixture
def trusted(configure: Callable[[str, str], None], authority: Authority) -> None:
    """The pod's user trusts the CA."""
    configure("http.sslCAInfo", str(authority.ca_file))


@pytest.mark.usefixtures("trusted")
@pytest.mark.slow
def test_a_clone_the_news_a_branch_a_change_request_and_a_pinned_commit_come_over_https(
    act: Act, upstream: Upstream, server: GitServer
) -> None:
    url = server.url(upstream.path)
    first = upstream.head

    def take(**keys: str) -> str:
        result = act("checkout", keys={"REPO_URL": url, **keys})
        assert result["remote"] == url
        return str(result["git_sha"])

    assert take() == first
    second = upstream.commit("train.py", "print('better')\n")
    assert take() == second
    upstream.git("checkout", "-q", "-b", "feature/x")
    on_branch = upstream.commit("extra.py", "")
    assert take(CHECKOUT_BRANCH="feature/x") == on_branch
    proposed = upstream.commit("proposed.py", "")
    upstream.git("update-ref", "refs/pull/12/head", proposed)
    upstream.git("checkout", "-q", "main")
    upstream.git("branch", "-q", "-f", "feature/x", on_branch)
    assert take(CHECKOUT_PR="12") == proposed
    assert take(EXPECT_GIT_SHA=first) == first
    with pytest.raises(Refusal) as refused:
        take(EXPECT_GIT_SHA="ab" * 20)
    assert refused.value.kind == "wrong-sha"
    assert {method for method, _, _ in server.asked} == {"GET", "POST"}, "git's smart protocol"


@pytest.mark.usefixtures("trusted")
def test_a_commit_that_only_a_change_request_holds_can_be_pinned(
    act: Act, upstream: Upstream, server: GitServer
) -> None:
    first = upstream.head
    proposed = upstream.commit("proposed.py", "")
    upstream.git("update-ref", "refs/pull/7/head", proposed)
    upstream.git("reset", "-q", "--hard", first)

    keys = {"REPO_URL": server.url(upstream.path), "EXPECT_GIT_SHA": proposed}

    assert act("checkout", keys=keys)["git_sha"] == proposed


def test_a_ca_that_the_environment_of_the_pod_names_is_trusted(
    act: Act,
    upstream: Upstream,
    server: GitServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.ca_file))

    result = act("checkout", keys={"REPO_URL": server.url(upstream.path)})

    assert result["git_sha"] == upstream.head


def test_a_certificate_that_the_pod_does_not_trust_is_refused_with_the_way_out(
    act: Act, upstream: Upstream, server: GitServer, settings: Settings
) -> None:
    server.is_private = True

    with pytest.raises(Refusal, match=r"https://127\.0\.0\.1.* cannot be read from the pod") as no:
        act("checkout", keys={"REPO_URL": server.url(upstream.path)})

    assert no.value.kind == "clone"
    assert "certificate" in no.value.message
    assert "http.sslCAInfo" in no.value.remedy
    assert "CHECKOUT_VIA=bundle" in no.value.remedy
    assert server.asked == [], "nothing is said to a server that is not trusted"
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED


@pytest.mark.usefixtures("trusted")
def test_a_credential_helper_of_the_pod_opens_a_private_repository(
    act: Act,
    upstream: Upstream,
    server: GitServer,
    configure: Callable[[str, str], None],
    pod_home: Path,
    tmp_path: Path,
) -> None:
    server.is_private = True
    (pod_home / "kept").write_text(f"https://ada:{TOKEN}@{server.host}\n")
    configure("credential.helper", f"store --file={pod_home}/kept")
    keys = {"REPO_URL": server.url(upstream.path)}

    result = act("checkout", keys=keys)

    assert result["git_sha"] == upstream.head
    newer = upstream.commit("train.py", "print('newer')\n")
    assert act("checkout", keys=keys)["git_sha"] == newer
    assert TOKEN not in str(result)
    assert _files_with(TOKEN, tmp_path) == [pod_home / "kept"]


@pytest.mark.usefixtures("trusted")
def test_without_credentials_nobody_is_asked_and_the_bundle_is_named(
    act: Act,
    upstream: Upstream,
    server: GitServer,
    configure: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.is_private = True
    asks = tmp_path / "asks"
    asks.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/canary\necho {TOKEN}\n")
    asks.chmod(0o755)
    configure("core.askPass", str(asks))
    monkeypatch.setenv("SSH_ASKPASS", str(asks))
    monkeypatch.setenv("DISPLAY", ":0")

    # a stdin that never ends: whoever read it would wait for ever
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        with pytest.raises(Refusal, match="cannot be read from the pod") as refused:
            act("checkout", keys={"REPO_URL": server.url(upstream.path)})
    finally:
        os.dup2(kept, 0)
        for fd in (reading, writing, kept):
            os.close(fd)

    assert refused.value.kind == "clone"
    assert "could not read Username" in refused.value.message
    assert "CHECKOUT_VIA=bundle" in refused.value.remedy
    assert not (tmp_path / "canary").exists()


@pytest.mark.usefixtures("trusted")
def test_a_token_in_the_address_is_stored_nowhere_not_even_by_a_helper(
    act: Act,
    upstream: Upstream,
    server: GitServer,
    configure: Callable[[str, str], None],
    pod_home: Path,
    tmp_path: Path,
) -> None:
    server.is_private = True
    configure("credential.helper", f"store --file={pod_home}/kept")
    clean = server.url(upstream.path)

    result = act("checkout", keys={"REPO_URL": clean.replace("//", f"//ada:{TOKEN}@")})

    assert (result["git_sha"], result["remote"]) == (upstream.head, clean)
    assert _files_with(TOKEN, tmp_path) == []


def _files_with(text: str, folder: Path) -> list[Path]:
    """Files below `folder` that hold `text`, the virtual environment aside."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and ".venv" not in path.parts and text.encode() in path.read_bytes()
    ]
