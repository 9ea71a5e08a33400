"""The table of the core's config keys: type, default, phase and meaning of each.

The attributes of `Config` are the table. The reader, the checks, the docs and the types
for mypy all come from it. A provider declares keys in the same way, in a dataclass of its
own; its field `ttl` is the key `LIUM_TTL` of the provider `lium`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from pytest_wf.config import formats, slurm
from pytest_wf.config.log_pattern import LOG_PATTERN
from pytest_wf.config.types import (
    COMMAND,
    FLAG,
    TEXT,
    Kind,
    choice,
    maybe,
    or_empty,
    version,
    whole,
)
from pytest_wf.wire.trainer import variables

#: The folder that the defaults of paths on the pod are in; its own default depends on the target.
POD_ROOT = "WF_POD_ROOT"
#: The key of a target that no provider rents.
HOST_KEY = "OPS_DEFAULT_HOST"
#: The key whose default is the name of REPO_URL or of the project's folder.
PROJECT = "WF_PROJECT"
#: Roles of a provider's keys: the key that names a pod, and the key that consents in advance.
TARGET, CONSENT = "target", "consent"

T = TypeVar("T")


@dataclass(frozen=True)
class Key:
    """One config key."""

    name: str
    kind: Kind[Any]
    #: As it would be in the file, including `${...}`.
    default: str
    section: str
    #: The phases that read it.
    phase: str
    doc: str
    required: bool = False
    #: An empty value means none, not the default.
    empty_counts: bool = False
    #: TARGET or CONSENT if it has that role for a provider.
    role: str = ""
    #: The provider that declares it; '' for a key of the core.
    provider: str = ""
    #: An example value; required without a default.
    example: str = ""
    #: References that its value may contain: the text, and its meaning.
    terms: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        """The name of its type, for people."""
        return self.kind.name


@dataclass(frozen=True)
class _Section:
    title: str

    def __call__(self, kind: Kind[T], default: str, phase: str, doc: str, **further: Any) -> T:
        """A field of `Config`. The return type lets mypy compare it with the annotation."""
        key = Key("", kind, default, self.title, phase, doc, **further)
        return cast(T, field(metadata={"key": key}))


def key(kind: Kind[T], default: str, phase: str, doc: str, **further: Any) -> T:
    """A field of a provider's dataclass of keys; `further` are fields of `Key`, such as `role`."""
    return cast(T, field(metadata={"key": Key("", kind, default, "", phase, doc, **further)}))


def prefix_of(provider: str) -> str:
    """The prefix of a provider's keys: `LIUM_` for 'lium'."""
    return f"{provider.upper()}_"


def keys_of(table: type, provider: str = "") -> tuple[Key, ...]:
    """The keys that the fields of a dataclass declare, in order."""
    prefix = prefix_of(provider) if provider else ""
    found = [(f.name.upper(), f.metadata["key"]) for f in fields(table) if "key" in f.metadata]
    return tuple(
        replace(k, name=prefix + name, section=k.section or provider, provider=provider)
        for name, k in found
    )


_control = _Section("control")
_target = _Section("target")
_provisioning = _Section("provisioning")
_layout = _Section("layout")
_bootstrap = _Section("bootstrap")
_checkout = _Section("checkout")
_tasks = _Section("tasks")
_sweep = _Section("sweep")
_slurm = _Section("slurm")
_fetch = _Section("fetch")
_ssh = _Section("ssh")
_runs = _Section("runs")
_safety = _Section("safety")


#: Version of the laws that this release enforces.
CONSTITUTION_VERSION = 1


@dataclass(frozen=True)
class Config:
    """The active config: one typed attribute a key, in lower case; made by `config.load`."""

    # control
    wf_constitution_version: int = _control(
        version(CONSTITUTION_VERSION),
        "1",
        "P00",
        "Version of the laws that this project follows.",
    )
    wf_project: str = _control(
        formats.WORD,
        "",
        "P60",
        "Name of the project, recorded with every campaign and run; empty for the name of the "
        "repository in `REPO_URL`, otherwise of the project's folder.",
        example="my-project",
    )
    wf_allow_override: bool = _control(
        FLAG, "0", "P00", "Whether another config may be used (`WORKFLOW_CONFIG`, `--wf-config`)."
    )
    wf_require_noninteractive_safe: bool = _control(
        FLAG, "1", "P00", "Without a terminal, fail at once if a command would prompt."
    )
    wf_default_teardown: str = _control(
        formats.POLICY, "keep", "P90", "What P90 does without `--wf-teardown`."
    )
    wf_phase_court_enforce: bool = _control(
        FLAG, "1", "all", "0 records failures of the courts without halting."
    )
    wf_subagent_validator_cmd: str = _control(
        formats.LOCAL_COMMAND,
        "python -m pytest_wf.auditor",
        "all",
        "The auditor: reads one JSON document on stdin and writes one to stdout.",
    )
    wf_subagent_validator_timeout_secs: int = _control(
        formats.INTERVAL, "120", "all", "Maximum time of the auditor for a phase."
    )
    wf_subagent_validator_ahead: bool = _control(
        FLAG,
        "0",
        "all",
        "1 starts the auditor when a phase begins, to hide its start-up time. It must read "
        "all of stdin before it does anything. The default auditor is always started this way.",
    )
    wf_flow_evidence_dir: str = _control(
        formats.LOCAL_PATH, "reports/flows", "all", "Folder for the evidence of flows."
    )
    wf_checklist_path: str = _control(
        formats.LOCAL_PATH, "reports/checklist.md", "all", "The checklist."
    )
    wf_checklist_reset_on_end: bool = _control(
        FLAG, "1", "P99", "Reset the checklist at the end; the last one is kept in `<path>.last`."
    )
    wf_fsm_enforce: bool = _control(
        FLAG, "1", "all", "0 allows commands in states where they are illegal."
    )
    wf_state_file: str = _control(
        formats.REMOTE_PLACE,
        "${OPS_REMOTE_OUTPUTS_DIR}/_control/workflow_state.json",
        "P30",
        "File with the pod's state.",
    )
    wf_flow_wait_interval_secs: int = _control(
        formats.INTERVAL,
        "30",
        "P70",
        "Time between two lines of progress while a flow waits for a sweep.",
    )
    wf_flow_wait_max_polls: int = _control(
        whole(0, remedy="Write a whole number, 0 for no limit."),
        "0",
        "P70",
        "Stop waiting after this many intervals; 0 for never.",
    )
    # target
    ops_default_host: str = _target(
        formats.HOST,
        "",
        "P20",
        "The machine to work on, or several, separated by blanks; `local` is the embedded pod on "
        "the controller itself.",
        example="my-pod",
    )
    wf_pods: int = _target(
        formats.PODS,
        "1",
        "P10, P20",
        "Number of pods that share the sweep; with several targets, it is their number. "
        "`${WF_MEMBER}` in a remote path is the name of the pod: pod1, pod2 and so on.",
    )
    wf_pods_min: int | None = _target(
        maybe(formats.PODS),
        "",
        "P10 to P60",
        "Minimum number of usable pods, below which the flow halts; empty for all of them.",
        example="2",
    )
    wf_rebalance: bool = _target(
        FLAG,
        "1",
        "P70",
        "While a flow on several pods waits, rows that have not begun move to pods that are idle.",
    )
    remote_env_path: str = _target(
        formats.REMOTE_PLACE, "${WF_POD_ROOT}/project.env", "P30", "The pod's copy of this config."
    )
    # provisioning
    wf_provider: str = _provisioning(
        formats.WORD,
        "",
        "P10",
        "The provider that rents; empty for the only one that is configured, or installed.",
        example="lium",
    )
    pod_wait_max_secs: int = _provisioning(
        formats.INTERVAL,
        "300",
        "P30 to P99",
        "Time without an answer after which a pod is lost: nothing waits for it any more.",
    )
    pod_silence_max_secs: int = _provisioning(
        formats.INTERVAL,
        "1800",
        "P70",
        "The same while a sweep, a task or a log is watched.",
    )
    # layout
    wf_pod_root: str = _layout(
        or_empty(formats.REMOTE_PATH),
        "",
        "P30 to P90",
        "Folder on the pod that `${WF_POD_ROOT}` means in other keys and their defaults; "
        "empty for `/mnt` on a remote pod, and `<project>/.wf/pod` on the local one.",
        example="/home/ada/wf",
    )
    ops_remote_repo: str = _layout(
        formats.REMOTE_PLACE,
        "",
        "P50",
        "The training repository's checkout.",
        required=True,
        example="/mnt/repo",
    )
    ops_remote_outputs_dir: str = _layout(
        formats.REMOTE_PLACE,
        "",
        "P30 to P90",
        "Directory for results and control files; durable.",
        required=True,
        example="/mnt/outputs",
    )
    data_dir: str = _layout(
        or_empty(formats.REMOTE_PLACE),
        "",
        "P50, P60",
        "The data set, which rows get as `data_dir=`; empty for none.",
        example="/mnt/data/fineweb10B",
    )
    data_link: str = _layout(
        or_empty(formats.relative_path("the repository")),
        "${TRAIN_WORKDIR_REL}/data/fineweb10B",
        "P50",
        "Path in the repository that becomes a link to `DATA_DIR`. If the repository has a folder "
        "there, each entry of `DATA_DIR` becomes a link in it.",
        empty_counts=True,
    )
    hf_home: str = _layout(
        or_empty(formats.REMOTE_PLACE),
        "${WF_POD_ROOT}/huggingface",
        "P50, P60",
        "Hugging Face's cache.",
        empty_counts=True,
    )
    hf_endpoint: str = _layout(
        formats.ENDPOINT,
        "",
        "P50, P60",
        "Address of a mirror of the Hugging Face hub; empty for that of the pod's environment.",
        example="https://hf-mirror.example",
    )
    local_artifacts_dir: str = _layout(
        formats.LOCAL_PATH, "reports/runs", "P80", "Folder for fetched runs."
    )
    # bootstrap
    auto_install_prereqs: bool = _bootstrap(
        FLAG, "0", "P40", "Install missing prerequisites with apt."
    )
    apt_packages: tuple[str, ...] = _bootstrap(
        formats.PACKAGES,
        "git tmux rsync python3-venv",
        "P40",
        "Packages that apt installs.",
        empty_counts=True,
    )
    bootstrap_script: str = _bootstrap(
        or_empty(formats.REMOTE_PATH),
        "",
        "P40",
        "Script on the pod to run; empty for none.",
        example="/mnt/setup.sh",
    )
    wandb_setup_script: str = _bootstrap(
        or_empty(formats.REMOTE_PATH),
        "",
        "P40",
        "Script on the pod that sets W&B up (writes `~/.netrc`).",
        example="/mnt/wandb-setup.sh",
    )
    run_wandb_setup: bool = _bootstrap(
        FLAG, "0", "P40", "Run `WANDB_SETUP_SCRIPT` also without `SWEEP_WANDB`."
    )
    # checkout
    repo_url: str = _checkout(
        formats.REPOSITORY,
        "",
        "P50",
        "The training repository; `.` for this checkout.",
        required=True,
        example="https://github.com/you/training.git",
    )
    checkout_branch: str = _checkout(
        formats.BRANCH,
        "",
        "P50",
        "Branch; with neither branch nor pull request, the remote's HEAD.",
        example="main",
    )
    checkout_pr: int | None = _checkout(
        maybe(whole(1, remedy="Write the pull request's number alone, such as 12.")),
        "",
        "P50",
        "Pull request.",
        example="12",
    )
    expect_git_sha: str = _checkout(
        formats.SHA,
        "",
        "P50",
        "The commit that the checkout must result in.",
        example="0123456789abcdef0123456789abcdef01234567",
    )
    checkout_force_clean: bool = _checkout(
        FLAG, "0", "P50", "Discard modifications of tracked files on the pod."
    )
    remote_python_bin: str = _checkout(
        formats.PROGRAM,
        "python3",
        "P50",
        "The Python that has torch; the venv is made from it.",
    )
    venv_recreate: bool = _checkout(FLAG, "0", "P50", "Create the venv again.")
    checkout_install_cmd: str = _checkout(
        COMMAND,
        "",
        "P50",
        "Installs dependencies with pip or uv, in the repository with the venv active.",
        example="pip install -r requirements.txt",
    )
    checkout_post_cmd: str = _checkout(
        COMMAND, "", "P50", "Runs after the installation.", example="python data/prepare.py"
    )
    require_gpu_torch: bool = _checkout(
        FLAG, "1", "P50", "Stop unless torch >= 2.3 is installed and finds a GPU."
    )
    download_fineweb: bool = _checkout(
        FLAG, "0", "P50", "Download one training and one validation shard if they are missing."
    )
    checkout_via: str = _checkout(
        choice("pod", "bundle"),
        "pod",
        "P50",
        "Whether the pod clones, or this machine with your credentials, which then sends a bundle.",
    )
    # tasks
    wf_tmux_session: str = _tasks(formats.TMUX, "wf", "tasks", "tmux session of tracked tasks.")
    task_timeout_secs: int = _tasks(
        formats.SECONDS, "86400", "tasks", "Time limit of a task; 0 for none."
    )
    # sweep
    wf_engine: str = _sweep(
        choice("pod", "slurm"),
        "pod",
        "P30 to P70",
        "What executes the rows: the pod itself, by its GPUs, or the Slurm of a login node.",
    )
    wf_slurm_args: tuple[str, ...] = _slurm(
        slurm.ARGS,
        "",
        "P60",
        "Options of `sbatch` for every row.",
        example="partition=gpu qos=long",
    )
    wf_slurm_time: str = _slurm(
        slurm.TIME,
        "",
        "P60",
        "Time limit of the job of a row without a time-out; empty for the partition's own.",
        example="12:00:00",
    )
    wf_slurm_array_limit: int | None = _slurm(
        maybe(formats.COUNT),
        "",
        "P60",
        "Maximum number of rows of an array that run at once; empty for no limit but Slurm's.",
        example="8",
    )
    wf_slurm_setup_cmd: str = _slurm(
        COMMAND,
        "",
        "P60",
        "Shell commands in each job before the row: `module load`, a container.",
        example="'module load cuda/12.4'",
    )
    wf_slurm_keep_env: bool = _slurm(
        FLAG, "0", "P60", "Whether trainers see the variables `SLURM_*` of their job."
    )
    wf_slurm_secret_file: str = _slurm(
        or_empty(formats.REMOTE_PATH),
        "",
        "P60",
        "File on the cluster, of mode 600, with lines `NAME=value` for names of WF_SECRET_ENV.",
        example="/home/me/.wf-secrets",
    )
    sweep_csv: str = _sweep(
        or_empty(formats.LOCAL_PATH),
        "",
        "P00, P60",
        "The sweep's CSV; required if a sweep is run.",
        example="flows/sweep.csv",
    )
    sweep_tmux_session: str = _sweep(
        formats.TMUX, "sweeps", "P60", "tmux session with the live log."
    )
    sweep_match: str = _sweep(
        TEXT,
        "",
        "P60",
        "Only rows whose run_id matches this glob, such as `mhc-*`.",
        example="lr-*",
    )
    sweep_start_at: str = _sweep(
        or_empty(formats.RUN_ID),
        "",
        "P60",
        "Leave out the rows before this run_id.",
        example="lr-0.1",
    )
    sweep_limit: int = _sweep(
        whole(0, remedy="Write a number of rows, 0 for all."),
        "0",
        "P60",
        "Maximum number of rows; 0 for all.",
    )
    sweep_adopt: str = _sweep(
        choice("same-code", "same-commit", "never"),
        "same-code",
        "P60",
        "Which good results of earlier campaigns count for an identical row.",
    )
    sweep_retrain: tuple[str, ...] = _sweep(
        formats.RUN_IDS,
        "",
        "P60",
        "Run ids that are trained again, even with good earlier results.",
        example="lr-0.1 lr-0.2",
    )
    sweep_force: bool = _sweep(
        FLAG, "0", "P60", "Train all rows again; earlier runs move to the archive."
    )
    sweep_dry_run: bool = _sweep(FLAG, "0", "P60", "Record the commands and run none.")
    run_timeout_secs: int = _sweep(formats.SECONDS, "0", "P60", "Time limit of a row; 0 for none.")
    run_out_mode: str = _sweep(
        choice("durable", "local_sync"),
        "durable",
        "P60",
        "Train into the outputs directory, or into a fast local directory that is mirrored to it.",
    )
    run_out_local_root: str = _sweep(
        formats.REMOTE_PLACE,
        "${OPS_REMOTE_REPO}/${TRAIN_WORKDIR_REL}/out",
        "P60",
        "The fast local directory of `local_sync`.",
    )
    sync_interval_secs: int = _sweep(
        formats.INTERVAL, "60", "P60", "Time between two copies to the outputs directory."
    )
    cuda_visible_devices: str = _sweep(
        formats.GPUS, "", "P60", "The GPUs that may be used; empty for all.", example="0,1"
    )
    sweep_wandb: bool = _sweep(
        FLAG,
        "0",
        "P40, P60",
        "Log to W&B: `wandb_log=True` without a template, and for any trainer the variables that "
        "name a run after its row (`WANDB_NAME`, `WANDB_RUN_ID`, `WANDB_RUN_GROUP`). Runs are kept "
        "offline if the pod has no login.",
    )
    wandb_project: str = _sweep(
        TEXT, "", "P60", "W&B project; empty for `WF_PROJECT`.", example="my-project"
    )
    wandb_group: str = _sweep(
        TEXT, "", "P60", "W&B group; empty for the campaign's id.", example="first-sweep"
    )
    train_workdir_rel: str = _sweep(
        formats.relative_path("the repository"),
        "examples/nanogpt",
        "P50, P60",
        "Directory in the repository in which rows are trained.",
    )
    train_entrypoint: str = _sweep(
        formats.ENTRYPOINT, "train.py", "P60", "The training script, or `-m package.module`."
    )
    train_command_template: str = _sweep(
        COMMAND,
        "",
        "P60",
        "Shell command that trains a row, in place of `<launcher> <entrypoint> <config> "
        'out_dir=... seed=... <overrides>`; `launch` is the launcher, `"$@"` the overrides.',
        example='launch train.py --output_dir "$TRAIN_OUT_DIR" --seed "$SEED" "$@"',
        terms=variables.TERMS,
    )
    smoke_overrides: tuple[str, ...] = _sweep(
        formats.ARGUMENTS,
        "",
        "P60",
        "Overrides that `--wf-smoke` adds to the first row, to end it early.",
        example="max_iters=5",
    )
    smoke_timeout_secs: int = _sweep(
        formats.INTERVAL, "600", "P60", "Time limit of the run of `--wf-smoke`."
    )
    # fetch
    fetch_include_checkpoints: str = _fetch(
        choice("auto", "0", "1"),
        "auto",
        "P80",
        "Fetch checkpoints too; `auto`: if this flow may delete the pod.",
    )
    checkpoint_patterns: tuple[str, ...] = _fetch(
        formats.FILE_PATTERNS,
        "ckpt*.pt *.ckpt checkpoint-*/ checkpoints/ state_step*.pt *.distcp",
        "P60, P80, P90",
        "Names of checkpoints: of files, and of folders if they end with '/'.",
    )
    # ssh
    ssh_host_key_policy: str = _ssh(
        choice("strict", "accept-new"),
        "strict",
        "P30",
        "Refuse hosts that are not known, or pin their key on first contact.",
    )
    ssh_host_fingerprint: str = _ssh(
        formats.FINGERPRINT,
        "",
        "P30",
        "Fingerprint of the host's key; no other key is then accepted.",
        example="SHA256:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    )
    ssh_known_hosts: str = _ssh(
        or_empty(formats.LOCAL_PATH),
        "",
        "P30",
        "Known hosts file; empty for the project's and your own.",
        example="~/.ssh/known_hosts",
    )
    ssh_identity_file: str = _ssh(
        or_empty(formats.LOCAL_PATH),
        "",
        "P30",
        "Private key; empty for the ssh agent and ~/.ssh/config.",
        example="~/.ssh/id_ed25519",
    )
    ssh_connect_timeout_secs: int = _ssh(
        formats.INTERVAL, "15", "P30", "Time limit for connecting."
    )
    ssh_keepalive_secs: int = _ssh(
        formats.INTERVAL, "15", "all", "Time between two keepalive messages."
    )
    # runs
    wf_secret_env: tuple[str, ...] = _runs(
        formats.SECRET_NAMES,
        "",
        "P60",
        "Variables passed from your environment to runs, never to a disk.",
        example="HF_TOKEN WANDB_API_KEY",
    )
    nproc_per_node: int | None = _runs(
        maybe(formats.COUNT),
        "",
        "P60",
        "Processes per row; empty for the number of its GPUs.",
        example="4",
    )
    gpus_per_run: int | None = _runs(
        maybe(formats.COUNT),
        "",
        "P60",
        "GPUs per row; empty for all. With fewer, several rows run at once.",
        example="1",
    )
    sweep_fail_fast: bool = _runs(FLAG, "0", "P60, P70", "Stop the sweep at the first failed row.")
    run_retries: int = _runs(
        whole(0, 1000, remedy="Write the number of retries, 0 for none."),
        "1",
        "P60",
        "Number of retries of a failed row.",
    )
    run_retry_on: tuple[str, ...] = _runs(
        formats.FAILURES,
        "nccl preempted stalled",
        "P60",
        "Failure classes that are retried.",
        empty_counts=True,
    )
    run_kill_grace_secs: int = _runs(
        formats.SECONDS, "30", "P60", "Time between terminating a run and killing it."
    )
    run_linger_secs: int = _runs(
        formats.SECONDS,
        "60",
        "P60",
        "How long processes that outlive their trainer may keep writing.",
    )
    run_heartbeat_secs: int = _runs(
        formats.SECONDS,
        "900",
        "P60",
        "A row without output or growing files for this time has stalled; 0 for never.",
    )
    train_launcher: str = _runs(
        choice("torchrun", "python", "accelerate"),
        "torchrun",
        "P60",
        "Starts the training script or module: torchrun, Python or `accelerate launch`.",
    )
    wf_expect: str = _runs(
        formats.EXPECTATIONS,
        "",
        "P00, P70",
        "Conditions on every row's metrics: `min(val_loss)<3.3; tokens_per_s>=0.95*baseline`.",
        example="min(val_loss)<3.3; tokens_per_s>=0.95*baseline",
    )
    wf_rank_by: str = _runs(
        formats.RANK_RULE,
        "",
        "all",
        "Metric that the rows are ranked by: `val_loss`, `min(val_loss)`, `maximize tokens_per_s`; "
        "chosen by its name if empty.",
        example="val_loss",
    )
    metrics_log_pattern: str = _runs(
        or_empty(LOG_PATTERN),
        "",
        "P60",
        "Finds metrics in log lines that are not read correctly. Named groups of its matches are "
        "metrics, `step` and `epoch` included; `name` and `value` are a pair.",
        example=r"loss is (?P<loss>\S+)|^It (?P<step>\d+)",
    )
    # safety
    wf_teardown_on_failure: str = _safety(
        formats.POLICY, "keep", "P90", "What P90 does after a halt."
    )
    wf_delete_unfetched: bool = _safety(
        FLAG, "0", "P90", "Allow deleting results that were not fetched and verified."
    )
    wf_delete_checkpoints: bool = _safety(
        FLAG, "0", "P90", "Allow deleting checkpoints that were not fetched."
    )
    wf_max_usd_per_hour: float | None = _safety(
        maybe(formats.DOLLARS), "", "P10", "Maximum price of a rented pod, per hour.", example="3"
    )
    wf_max_usd: float | None = _safety(
        maybe(formats.DOLLARS),
        "",
        "P60, P70",
        "Begin no further row once the flow has cost this much; the pod itself enforces it.",
        example="25",
    )
    wf_idle_delete_secs: int = _safety(
        formats.SECONDS,
        "0",
        "P30 to P90",
        "Delete an idle rented pod this long after its last sweep or task; 0 for never.",
    )
    wf_phase_timeout_secs: int = _safety(
        formats.SECONDS, "3600", "all", "Time limit of a phase; not for P70, rows and P80."
    )
    wf_notify: tuple[str, ...] = _safety(
        formats.ENV_NAMES,
        "",
        "P00, all",
        "Variables of your environment that contain Apprise URLs, which get messages about halts, "
        "failed rows, a kept pod and the end. Their values are masked and not passed to runs.",
        example="NTFY_URL",
    )
    wf_signing_key_file: str = _safety(
        or_empty(formats.LOCAL_PATH),
        "",
        "P00",
        "Ed25519 key of `wf keygen` that signs the evidence; empty for none.",
        example="~/.config/wf/signing.pem",
    )

    #: The canonical string of every core key: the pod's copy of the config.
    values: Mapping[str, str] = field(default_factory=dict)
    #: Typed values of the keys that providers declare.
    provided: Mapping[str, Any] = field(default_factory=dict)
    #: The line of each key that is in the file; other keys have their defaults.
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    #: All keys, of the core and of providers.
    table: tuple[Key, ...] = ()

    def source(self, key: str) -> int | None:
        """The line that sets `key`; None if it has its default."""
        return self.lines.get(key)

    def key_of(self, provider: str, role: str) -> Key | None:
        """The key of `provider` that has `role` (TARGET, CONSENT); None if there is none."""
        return next((k for k in self.table if (k.provider, k.role) == (provider, role)), None)

    def of(self, provider: str, table: type[T]) -> T:
        """The values of a provider's keys, as an instance of the dataclass that declares them."""
        prefix = prefix_of(provider)
        names = [f.name for f in fields(cast(Any, table)) if "key" in f.metadata]
        return table(**{name: self.provided[prefix + name.upper()] for name in names})

    @property
    def target_key(self) -> str:
        """The key that names the target: a provider's, else OPS_DEFAULT_HOST; '' for no target."""
        for key in self.table:
            if key.role == TARGET and self.provided[key.name]:
                return key.name
        return HOST_KEY if self.ops_default_host else ""

    @property
    def target(self) -> str:
        """The target of the flow that the config names; '' for none."""
        return str(self.provided.get(self.target_key) or self.ops_default_host)

    @property
    def target_provider(self) -> str:
        """The provider whose key names the target; '' for OPS_DEFAULT_HOST and for no target."""
        return next((k.provider for k in self.table if k.name == self.target_key), "")

    @property
    def least_pods(self) -> int:
        """The minimum number of usable pods."""
        return self.wf_pods_min or self.wf_pods

    @property
    def is_local(self) -> bool:
        """Whether the embedded pod on this machine is the target."""
        return not self.target_provider and self.ops_default_host == "local"


#: All keys of the core in the order of the table.
KEYS: tuple[Key, ...] = keys_of(Config)
