"""paramiko as connections import it."""

from __future__ import annotations

import subprocess
import sys

_IMPORT = "import sys; from pytest_wf.pods.ssh.library import paramiko\n"


def said_by(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_connection_does_without_what_reads_ssh_configs_for_paramiko() -> None:
    assert said_by(_IMPORT + "print('invoke' in sys.modules)") == "False"


def test_paramiko_and_others_find_that_where_they_use_it() -> None:
    config = 'Match exec "true"\\nUser ada'
    used = f"print(paramiko.SSHConfig.from_text('{config}').lookup('pod')['user'])"
    assert said_by(_IMPORT + used) == "ada"
    ours = "import invoke; print(invoke.run is paramiko.config.invoke.run)"
    assert said_by(_IMPORT + ours) == "True"
    theirs = "import invoke; from pytest_wf.pods.ssh.library import paramiko; "
    assert said_by(theirs + "print(paramiko.config.invoke is invoke)") == "True"
