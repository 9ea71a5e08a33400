"""What the command of a row may refer to: words of the template, variables of the environment.

The documentation, `wf keys TRAIN_COMMAND_TEMPLATE`, the comment in workflow.env, the check of a
template and the names that no secret may have all come from this table.
"""

from typing import NamedTuple, Tuple


class Variable(NamedTuple):
    """A variable that each row's process has in its environment."""

    name: str
    meaning: str
    #: Whether a template for a usual trainer needs it.
    is_usual: bool = False
    #: Whether the pod's login or WF_SECRET_ENV may give it another value.
    is_default: bool = False


class Word(NamedTuple):
    """A word that a template may use besides variables."""

    text: str
    meaning: str


#: The words of TRAIN_COMMAND_TEMPLATE besides the variables.
WORDS: Tuple[Word, ...] = (
    Word(
        "launch",
        "The command of TRAIN_LAUNCHER for the row's processes: `launch train.py` or "
        "`launch -m package.module`. It is a shell function, so no command can be before it, "
        "such as `exec` or `timeout`.",
    ),
    Word('"$@"', "The row's overrides, one word each, with the quotes removed."),
)

VARIABLES: Tuple[Variable, ...] = (
    Variable("RUN_ID", "The row's run_id.", True),
    Variable("CONFIG", "The row's config.", True),
    Variable("SEED", "The row's seed.", True),
    Variable("TRAIN_OUT_DIR", "The folder for results, an absolute path; it is fetched.", True),
    Variable(
        "RESUME_FROM",
        "The newest checkpoint of earlier attempts, or empty; "
        '`${RESUME_FROM:+--resume "$RESUME_FROM"}` leaves the option out if it is empty.',
        True,
    ),
    Variable("OVERRIDES", "The row's overrides as they are in the CSV, one text."),
    Variable("NPROC_PER_NODE", "Number of processes, one for each GPU of the row.", True),
    Variable("DATA_DIR", "The config's DATA_DIR; may be empty.", True),
    Variable("VENV_PYTHON", "The interpreter of the checkout's environment.", True),
    Variable("OPS_REMOTE_REPO", "The working tree of the campaign's commit."),
    Variable("CUDA_VISIBLE_DEVICES", "The row's GPUs, if some are assigned."),
    Variable("HF_HOME", "The config's HF_HOME, unless it is empty."),
    Variable("HF_ENDPOINT", "The config's HF_ENDPOINT, unless it is empty."),
    Variable("WANDB_LOG", "`True` if SWEEP_WANDB is 1, else `False`."),
    Variable("WANDB_PROJECT", "W&B project."),
    Variable("WANDB_GROUP_VALUE", "The config's WANDB_GROUP."),
    Variable("WANDB_RUN_GROUP", "W&B group.", is_default=True),
    Variable("WANDB_RUN_NAME", "The row's run_id."),
    Variable("WANDB_NAME", "The row's run_id.", is_default=True),
    Variable("WANDB_RUN_ID", "Id of the row's run in W&B.", is_default=True),
    Variable("WANDB_RESUME", "`allow`: a retry continues the run in W&B.", is_default=True),
    Variable("WANDB_MODE", "`offline` if the pod has no login to W&B.", is_default=True),
    Variable("WANDB_DIR", "Where W&B writes; in the run, fetched.", is_default=True),
    Variable("WANDB_DATA_DIR", "Where W&B has artifacts; in the run, fetched.", is_default=True),
    Variable("MLFLOW_TRACKING_URI", "MLflow's store; in the run, fetched.", is_default=True),
    Variable("MLFLOW_ALLOW_FILE_STORE", "`true`: MLflow may write files.", is_default=True),
    Variable("MLFLOW_EXPERIMENT_NAME", "Name of the project.", is_default=True),
    Variable("MLFLOW_RUN_CONTEXT", "Gives a run in MLflow the row's run_id.", is_default=True),
    Variable("TENSORBOARD_LOGGING_DIR", "For TensorBoard; in the run, fetched.", is_default=True),
    Variable("OMP_NUM_THREADS", "1 if torchrun launches."),
    Variable("PYTHONPATH", "Packages that are installed editable from the checkout."),
    Variable("PYTHONUNBUFFERED", "1: the log comes line by line."),
    Variable("WF_HEARTBEAT_FILE", "A file that a silent trainer may touch to show that it works."),
    Variable("WF_COOKIE", "Marks the processes of the row."),
)

#: All of them in the form that a template uses, with their meaning.
TERMS: Tuple[Tuple[str, str], ...] = (
    *((word.text, word.meaning) for word in WORDS),
    *(("$" + variable.name, variable.meaning) for variable in VARIABLES),
)
NAMES = frozenset(variable.name for variable in VARIABLES)
