"""The command of a row: its launcher, environment and argv, and the script that keeps them."""

import os
import shlex
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run import editable, trackers
from pytest_wf.agent.run.child_process import shell_script
from pytest_wf.agent.run.executor import Share
from pytest_wf.wire.rows import Row
from pytest_wf.wire.trainer import arguments, entrypoint, template


class Launcher(NamedTuple):
    """What starts the training script or module."""

    #: The arguments between Python and the script or `-m`, for a number of processes.
    words: Callable[[int], List[str]]
    #: Variables that it exports to the trainer.
    environment: Dict[str, str]
    #: `words` if it is started on each of several machines; None if it cannot be.
    across: Optional[Callable[[int], List[str]]] = None


def _torchrun(nproc: int) -> List[str]:
    # without --local-addr it hangs if the host's own name does not resolve
    words = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    return [*words, "--nproc_per_node=%d" % nproc]


def _torchrun_across(nproc: int) -> List[str]:
    # how the machines find one another is added on each of them
    return ["-m", "torch.distributed.run", "--nproc_per_node=%d" % nproc]


def _accelerate(nproc: int) -> List[str]:
    # all are given, as its defaults print a warning or come from a file of the pod's user; port 0
    # is a free one, as other rows may run at the same time
    words = ["-m", "accelerate.commands.launch", "--num_machines=1", "--main_process_port=0"]
    return [*words, "--num_processes=%d" % nproc]


#: Each launcher by its name in TRAIN_LAUNCHER, one of the choices in `config/keys.py`.
LAUNCHERS = {
    "accelerate": Launcher(_accelerate, {}),
    "python": Launcher(lambda nproc: [], {}),
    "torchrun": Launcher(_torchrun, {"OMP_NUM_THREADS": "1"}, _torchrun_across),
}


class Command:
    """The command of one attempt. Values are quoted, never evaluated."""

    def __init__(
        self,
        campaign: Campaign,
        row: Row,
        cookie: str,
        share: Share,
        given: Optional[Mapping[str, str]] = None,
        resume_from: str = "",
    ) -> None:
        """`given` are variables that the trainer gets from elsewhere, such as secrets.

        `resume_from` is the path of the checkpoint that the attempt resumes from.
        """
        self._resume_from = resume_from
        self._given = given or {}
        self._campaign = campaign
        self._settings = campaign.settings
        self._row = row
        self._cookie = cookie
        self._share = share
        self._nproc = campaign.settings.int("NPROC_PER_NODE") or max(1, len(share.names))

    @property
    def workdir(self) -> str:
        """Where it runs: `TRAIN_WORKDIR_REL` in the campaign's tree."""
        relative = self._settings["TRAIN_WORKDIR_REL"]
        return os.path.normpath(os.path.join(self._campaign.code, relative))

    @property
    def heartbeat_path(self) -> str:
        """A file that the trainer may touch to show that it is alive."""
        return os.path.join(self._settings.run_dir(self._row.run_id), ".heartbeat")

    def environment(self) -> Dict[str, str]:
        """Everything that is exported to the trainer, secrets left out."""
        settings, row = self._settings, self._row
        exported = {
            "RUN_ID": row.run_id,
            "CONFIG": row.config,
            "SEED": str(row.seed),
            "OVERRIDES": row.overrides,
            "TRAIN_OUT_DIR": settings.out_dir(row.run_id),
            "RESUME_FROM": self._resume_from,
            "NPROC_PER_NODE": str(self._nproc),
            "DATA_DIR": settings["DATA_DIR"],
            "WANDB_LOG": "True" if settings.flag("SWEEP_WANDB") else "False",
            "WANDB_GROUP_VALUE": settings["WANDB_GROUP"],
            "WANDB_RUN_NAME": row.run_id,
            "OPS_REMOTE_REPO": self._campaign.code,
            "VENV_PYTHON": settings.venv_python,
            "WF_HEARTBEAT_FILE": self.heartbeat_path,
            process.COOKIE: self._cookie,
            # a log that comes in blocks looks like a stall
            "PYTHONUNBUFFERED": "1",
        }
        for name in ("HF_HOME", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES"):
            # an empty value means something else than an unset one
            if settings[name]:
                exported[name] = settings[name]
        paths = editable.import_paths(settings, self._campaign.tree) if self._campaign.tree else []
        if paths:
            inherited = os.environ.get("PYTHONPATH")
            exported["PYTHONPATH"] = os.pathsep.join(paths + ([inherited] if inherited else []))
        exported.update(trackers.variables(self._campaign, row, {**os.environ, **self._given}))
        exported.update(self._share.environment)
        if template.uses_launcher(settings):
            exported.update(LAUNCHERS[settings["TRAIN_LAUNCHER"]].environment)
        return exported

    def argv(self) -> List[str]:
        """The trainer's command line."""
        settings, row = self._settings, self._row
        argv = [*self._launcher(), *entrypoint.words(settings["TRAIN_ENTRYPOINT"]), row.config]
        ours = arguments.given(settings, row, settings.out_dir(row.run_id))
        return [*argv, *("%s=%s" % one for one in ours.items()), *row.argv]

    def _launcher(self) -> List[str]:
        settings = self._settings
        launcher = LAUNCHERS[settings["TRAIN_LAUNCHER"]]
        words = launcher.words
        if self._share.prefix and launcher.across is not None:
            words = launcher.across
        return [*self._share.prefix, settings.venv_python, *words(self._nproc)]

    def script(self) -> bytes:
        """The text of ``command.sh``: what is run, and what a person can run again."""
        command = self._settings["TRAIN_COMMAND_TEMPLATE"]
        if command:
            launch = 'launch() { %s "$@"; }' % _quoted(self._launcher())
            lines = [launch, "set -- %s" % _quoted(self._row.argv), command]
        else:
            lines = ["exec " + _quoted(self.argv())]
        return shell_script(self.workdir, self.environment(), "\n".join(lines))


def _quoted(words: Iterable[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
