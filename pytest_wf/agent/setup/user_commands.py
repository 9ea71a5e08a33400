"""CHECKOUT_INSTALL_CMD and CHECKOUT_POST_CMD: run in the checkout's environment and no other."""

import ast
import io
import os
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.image_packages import ImagePackages
from pytest_wf.agent.setup.logged_step import BASH, Step, StepLog, run_step
from pytest_wf.wire.files import sha256_bytes, write_atomic
from pytest_wf.wire.messages import Refusal

_TIMEOUT_S = 3600
_LOOK_TIMEOUT_S = 120.0

#: Installs one package without content, to see where an installer puts it.
_TRIALS = {
    "pip": "pip --disable-pip-version-check install --ignore-installed --no-index --no-deps",
    "uv": "uv pip install --reinstall --no-index --no-deps",
}
_TRIAL = "wf_install_trial-1"
_TRIAL_FILES = {
    "METADATA": "Metadata-Version: 2.1\nName: wf-install-trial\nVersion: 1\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: wf\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "".join("%s.dist-info/%s,,\n" % (_TRIAL, n) for n in ("METADATA", "WHEEL", "RECORD")),
}
#: An empty value overrides the one in a configuration file of the login or the image.
_PIP_CONF = """\
# Written by pytest-wf: what is installed here stays here.
[global]
target =
prefix =
root =
user =
python =
dry-run =
[install]
target =
prefix =
root =
user =
dry-run =
"""
_CONFLICT_REMEDY = (
    "Loosen that requirement to what the image has, install that package with --no-deps or build "
    "it with --no-build-isolation, or point REMOTE_PYTHON_BIN at a Python with what it needs."
)
_NO_TORCH_REMEDY = (
    "A flow installs no torch: point REMOTE_PYTHON_BIN at the Python that has it, or install it "
    "there yourself."
)


class UserCommands:
    """The user's own commands of a checkout; `torch` is the image's, by `check_torch`."""

    def __init__(
        self, settings: Settings, log: StepLog, torch: Optional[Mapping[str, Any]]
    ) -> None:
        self._settings = settings
        self._log = log
        self._torch = torch
        self._image: Optional[ImagePackages] = None
        self._env: Dict[str, str] = {}

    def run(self, key: str, kind: str) -> Step:
        """Run the config's command `key`, which is not empty.

        Raises Refusal `kind`; 'torch' if it needs another torch than the image's; 'venv' if its
        packages would go elsewhere.
        """
        image, env = self._prepared()
        done = run_step(
            self._log,
            [*BASH, "-c", self._settings[key]],
            timeout_s=self._settings.int("WF_PHASE_TIMEOUT_SECS") or _TIMEOUT_S,
            cwd=self._settings.repo,
            env=env,
        )
        said = self._taken_pip_log()
        if done.ok:
            return done
        facts = {"rc": done.returncode, "log_tail": done.tail()}
        why = image.why_in_conflict("%s\n%s" % (done.output, said))
        if why:
            remedy = _CONFLICT_REMEDY if self._torch else _NO_TORCH_REMEDY
            raise Refusal("torch", "%s: %s" % (key, why), remedy, facts)
        raise Refusal(
            kind,
            "%s: %s" % (key, done.says()),
            "Correct the command; its output is in the log of the checkout.",
            facts,
        )

    def _prepared(self) -> Tuple[ImagePackages, Dict[str, str]]:
        if self._image is None:
            self._image = ImagePackages(self._settings, self._log, self._torch)
            env = virtualenv.venv_environment(self._settings)
            self._put_pip_conf()
            env.update(self._image.protect(env, self._configured_constraints(env)))
            env["PIP_LOG"] = os.path.join(os.path.dirname(self._log.path), "pip.log")
            env["UV_PYTHON"] = self._settings.venv_python  # overrides `system = true` in uv.toml
            self._env = env
            self._try("pip")
            # uv.toml of the login does not matter if no command names uv
            keys = ("CHECKOUT_INSTALL_CMD", "CHECKOUT_POST_CMD")
            if any(re.search(r"\buv\b", self._settings[key]) for key in keys):
                self._try("uv")
        return self._image, self._env

    def _taken_pip_log(self) -> str:
        """The end of pip's log, which a quiet command has too; the log is removed."""
        log = StepLog(self._env["PIP_LOG"])
        lines = log.tail(200)
        if os.path.exists(log.path):
            os.unlink(log.path)  # unlike ours, nothing is masked in it
        return "\n".join(re.sub(r"^\S+ ", "", line) for line in lines)

    def _put_pip_conf(self) -> None:
        path = os.path.join(self._settings.repo, ".venv", "pip.conf")
        if not os.path.lexists(path):  # else it is the user's, or exists already
            write_atomic(path, _PIP_CONF.encode())

    def _configured_constraints(self, env: Mapping[str, str]) -> List[str]:
        """The constraint files that pip's configuration files name."""
        argv = [*BASH, "-c", "pip config list"]
        done = run_step(self._log, argv, timeout_s=_LOOK_TIMEOUT_S, env=env)
        found = re.findall(r"(?m)^(?:global|install)\.constraint=(['\"].*)$", done.output)
        try:
            return [path for text in found for path in str(ast.literal_eval(text)).split()]
        except (SyntaxError, ValueError):
            return []

    def _try(self, tool: str) -> None:
        """Raise Refusal 'venv' if `tool` installs into another place than the environment.

        A tool that cannot install is not refused: the command may not use it.
        """
        wheel = _wheel(os.path.join(os.path.dirname(self._log.path), "trial"))
        argv = [*BASH, "-c", _TRIALS[tool] + ' "$0"', wheel]
        done = run_step(
            self._log, argv, timeout_s=_LOOK_TIMEOUT_S, cwd=self._settings.repo, env=self._env
        )
        site = virtualenv.site_packages(
            os.path.dirname(os.path.dirname(self._settings.venv_python))
        )
        landed = os.path.join(site, _TRIAL + ".dist-info")
        if os.path.isdir(landed):
            shutil.rmtree(landed)
        elif done.ok:
            raise Refusal(
                "venv",
                "%s does not install into %s: its configuration on the pod names another place"
                % (tool, self._settings.venv_python),
                "Look at `pip config debug` or uv.toml there, and take out target, prefix, user, "
                "system and the like.",
                {"log_tail": done.tail()},
            )


def _wheel(folder: str) -> str:
    """A requirement on an empty package, in `folder`; strict policies require its digest."""
    content = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(content, "w") as archive:
        for name, text in _TRIAL_FILES.items():
            archive.writestr("%s.dist-info/%s" % (_TRIAL, name), text)
    path = os.path.join(folder, _TRIAL + "-py3-none-any.whl")
    os.makedirs(folder, exist_ok=True)
    write_atomic(path, content.getvalue())
    digest = sha256_bytes(content.getvalue())
    return "wf-install-trial @ file://%s#sha256=%s" % (quote(path), digest)
